"""Gradients summed over the processes while the backward pass still works on earlier layers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUCKET = 16 << 20
"""Bytes of gradients that travel together: few calls, and the first leaves long before the backward pass ends."""


@contextmanager
def summed_gradients(parameters: Sequence[nn.Parameter], processes: int) -> Iterator[None]:
    """Inside, one backward pass computes the gradients of ``parameters``; after it they are sums over the processes.

    A backward pass reaches the last layers first. Their gradients travel in flat buckets as soon as a bucket is
    complete, in the same order in every process, so that the mean does not depend on when they were.
    """
    if processes == 1:
        yield
        return
    buckets = _Buckets(parameters)
    hooks = [p.register_post_accumulate_grad_hook(buckets.complete) for p in parameters]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    buckets.finish()


class _Buckets:
    """Parameters, last ones first, in buckets of about `BUCKET` bytes; each is sent once its gradients are there."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.members: list[list[nn.Parameter]] = [[]]
        size = 0
        for p in reversed(parameters):
            if size and size + p.nbytes > BUCKET:
                self.members.append([])
                size = 0
            self.members[-1].append(p)
            size += p.nbytes
        self.bucket_of = {p: number for number, members in enumerate(self.members) for p in members}
        self.missing = [len(members) for members in self.members]
        self.sent: list[tuple[Tensor, dist.Work | None]] = []

    def complete(self, p: Tensor) -> None:
        """The gradient of ``p`` is there: send every bucket whose turn has come."""
        self.missing[self.bucket_of[p]] -= 1  # type: ignore[index]
        while len(self.sent) < len(self.members) and self.missing[len(self.sent)] == 0:
            self._send()

    def _send(self) -> None:
        gradients = [_as_it_lies(p.grad) for p in self.members[len(self.sent)] if p.grad is not None]
        # A large gradient travels as it is: a copy would cost as much as an optimiser's step.
        flat = gradients[0] if len(gradients) == 1 else torch.cat(gradients) if gradients else torch.empty(0)
        self.sent.append((flat, dist.all_reduce(flat, async_op=True) if gradients else None))

    def finish(self) -> None:
        """Send what the loss did not wholly reach, and put the sums in place."""
        while len(self.sent) < len(self.members):
            self._send()
        for members, (flat, work) in zip(self.members, self.sent, strict=True):
            if work is None:
                continue
            work.wait()
            first = flat.storage_offset()
            for p in members:
                if p.grad is not None:
                    p.grad = flat.as_strided(p.shape, _dense(p.grad).stride(), first)
                    first += p.numel()


def _as_it_lies(gradient: Tensor) -> Tensor:
    """The numbers of a gradient in the order of its memory, without a copy: [numel]."""
    return _dense(gradient).as_strided((gradient.numel(),), (1,))


def _dense(gradient: Tensor) -> Tensor:
    """The gradient, in PyTorch's order or in channels_last."""
    if gradient.ndim == 4 and gradient.is_contiguous(memory_format=torch.channels_last):
        return gradient
    return gradient.contiguous()
