"""Several processes under torchrun: replicated networks, averaged gradients, no wrapper around the model."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from genae.errors import GenaeError

S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")


def start(device: str) -> torch.device:
    """Join torchrun's process group if there is one, and pick this process's device.

    ``device`` is ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``; another raises `GenaeError`.
    """
    name = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise GenaeError(f"device is {device!r}; expected auto, cpu, cuda or cuda:NUMBER")
    target = torch.device(name)
    if kind == "cuda":
        if int(number) >= torch.cuda.device_count():
            raise GenaeError(f"device is {device!r}; PyTorch can use {torch.cuda.device_count()} GPUs on this machine")
        torch.cuda.set_device(target)
    if "WORLD_SIZE" in os.environ and int(os.environ["WORLD_SIZE"]) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if target.type == "cuda" else "gloo")
    return target


def active() -> bool:
    """Whether this is one of several processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """Number of this process, 0 for the one that writes."""
    return dist.get_rank() if active() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if active() else 1


def barrier() -> None:
    """Wait for every process."""
    if active():
        dist.barrier()


def writer_first(make: Callable[[], T]) -> T:
    """Process 0 makes it (a download, a cached file) while the others wait; then they find it made."""
    if rank() > 0:
        barrier()
    made = make()
    if rank() == 0:
        barrier()
    return made


def by_writer(act: Callable[[], T]) -> T:
    """Process 0 alone acts; what it gets, or its `GenaeError`, is what every process gets."""
    if not active():
        return act()
    told: list[Any] = [None, None]
    if rank() == 0:
        try:
            told[0] = act()
        except GenaeError as error:
            told[1] = str(error)
    dist.broadcast_object_list(told)
    if told[1] is not None:
        raise GenaeError(told[1])
    return told[0]


def in_order(items: Sequence[S], load: Callable[[S], T], compute: Callable[[T], U]) -> Iterator[U]:
    """``compute(load(item))`` of every item, in order, in every process; each is computed by one process alone.

    The next item is loaded in a thread while this one is computed. As every item is computed as in a single process and
    results come in the same order, what is summed over them is the same to the last bit. ``U`` is tensors on the CPU,
    or containers of them.
    """
    results = _loaded_ahead(items[rank() :: world_size()], load, compute)
    if not active():
        yield from results
        return
    for first in range(0, len(items), world_size()):
        gathered: list[Any] = [None] * world_size()
        dist.all_gather_object(gathered, next(results, None))
        yield from gathered[: len(items) - first]


def _loaded_ahead(items: Iterable[S], load: Callable[[S], T], compute: Callable[[T], U]) -> Iterator[U]:
    with ThreadPoolExecutor(1) as loader:
        waiting: Future[T] | None = None
        for item in items:
            following = loader.submit(load, item)
            if waiting:
                yield compute(waiting.result())
            waiting = following
        if waiting:
            yield compute(waiting.result())


def average(x: Tensor) -> Tensor:
    """Mean of a tensor over the processes, in place."""
    if active():
        dist.all_reduce(x)
        x /= world_size()
    return x


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes, in one flat all_reduce."""
    if not active():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = average(torch.cat([g.flatten() for g in gradients]))
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def anywhere(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process."""
    if not active():
        return flag
    return bool(average(torch.tensor([float(flag)], device=device)).item() > 0)


def as_writer(flag: bool, device: torch.device) -> bool:
    """The flag as process 0 has it."""
    return anywhere(flag and rank() == 0, device)


def check_replicas(model: nn.Module) -> None:
    """Raise RuntimeError if the processes hold different parameters."""
    if not active():
        return
    sums = torch.stack([p.detach().double().sum() for p in model.parameters()])
    gathered = [torch.empty_like(sums) for _ in range(world_size())]
    dist.all_gather(gathered, sums)
    for other, values in enumerate(gathered):
        if not torch.equal(values, gathered[0]):
            raise RuntimeError(f"process {other} holds other parameters than process 0: training has diverged")
