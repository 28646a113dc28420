"""Building blocks shared by the network families."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genae import distributed
from genae.errors import GenaeError
from genae.losses import in_float32

M = TypeVar("M", bound=nn.Module)


@contextmanager
def batch_norm_explained() -> Iterator[None]:
    """Inside, a batch too small for batch normalisation raises `GenaeError`, which says what to do."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise GenaeError(
                "batch normalisation needs more than one value for each channel of a layer; "
                "raise --batch-size, or choose a --norm without it"
            ) from error
        raise


def memory_format(device: torch.device) -> torch.memory_format:
    """In which order images and weights lie on a device: channels last, with which convolutions are fastest.

    Not on Apple's GPUs: PyTorch computes wrong gradients of batch normalisation there (its issue 175189), and its
    convolutions take longer (193349).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def placed(module: M, device: torch.device) -> M:
    """The module, moved to a device, its weights in the `memory_format` of it."""
    return module.to(device, memory_format=memory_format(device))  # type: ignore[call-overload]


class _NormalisedOverProcesses(torch.autograd.Function):
    """Maps [B, C, H, W] normalised by the mean and variance of all processes' maps; both [C] are returned too, and the
    number of values that they are of, [C]. Processes may have different B.

    Each process takes the statistics of its own maps; one exchange joins them, and one in the backward pass joins the
    two sums over the whole batch that the derivative needs. Kernels are those that PyTorch normalises with.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        means, variances = _moments(x)
        own = torch.stack([variances, means, torch.full_like(means, x.numel() / len(means))])
        every = distributed.gathered(own)  # [processes, 3, C]
        count = every[:, 2].sum(0)
        share = every[:, 2] / count
        mean = (share * every[:, 1]).sum(0)
        variance = (share * (every[:, 0] + (every[:, 1] - mean).square())).sum(0)
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance, count)
        return F.batch_norm(x, mean, variance, weight, bias, eps=epsilon), mean, variance, count

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, variance, count = ctx.saved_tensors
        # With statistics that are constants: the first term of the derivative by x, and this process's own by the rest.
        direct, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, None, None, False, ctx.epsilon, [True, True, True]
        )
        sums = distributed.summed(torch.stack([by_weight, by_bias])) / count
        scale = torch.rsqrt(variance + ctx.epsilon)
        slope = weight * scale.square() * sums[0]
        level = weight * scale * sums[1] - slope * mean
        return direct.sub_(torch.addcmul(_by_map(level), x, _by_map(slope))), by_weight, by_bias, None


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] of maps [B, C, H, W]."""
    if x.device.type == "cpu":  # where `torch.var_mean` takes ten times as long and more
        means, variances = torch.batch_norm_update_stats(x, None, None, 0.0)
    else:
        variances, means = torch.var_mean(x, (0, 2, 3), correction=0)
    return means, variances


def _by_map(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the whole batch, also when processes share it.

    Input and output [B, C, H, W]. One process: exactly `torch.nn.BatchNorm2d`. Several: mean and variance of the
    union of their batches, so that two processes train what one would (`torch.nn.SyncBatchNorm` refuses the CPU).
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and distributed.active()):
            return super().forward(x)
        y, mean, variance, count = _NormalisedOverProcesses.apply(x.float(), self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        if not self.track_running_stats:
            return y.to(x.dtype)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return y.to(x.dtype)


@contextmanager
def unrecorded(network: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation in training takes the batch's statistics, and leaves the stored ones as they are.

    For an encoder that also judges generated images: a trained one is given images of the data.
    """
    layers = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


class GroupNorm(nn.GroupNorm):
    """Group normalisation in float32, whatever the precision: on a CPU its bfloat16 kernels take three times as long.

    Input and output [B, C, H, W]. As many groups as divide the channels, at most 32, of at least 4 channels each.
    Wu and He 2018.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(max(n for n in range(1, 33) if channels % n == 0 and (n == 1 or channels >= 4 * n)), channels)

    def forward(self, x: Tensor) -> Tensor:
        with in_float32(x):
            return super().forward(x.float()).to(x.dtype)


def normalisation(kind: str, channels: int) -> nn.Module:
    """``batch``, ``group`` or ``none``, by name."""
    if kind == "batch":
        return BatchNorm(channels)
    if kind == "group":
        return GroupNorm(channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"normalisation is {kind!r}; expected 'batch', 'group' or 'none'")


def pad_to_multiple(x: Tensor, height: int, width: int) -> Tensor:
    """Extend images [B, C, H, W] to [B, C, height, width] by repeating the border; an odd row goes to the bottom."""
    dy, dx = height - x.shape[-2], width - x.shape[-1]
    if dy == 0 and dx == 0:
        return x
    return F.pad(x, (dx // 2, dx - dx // 2, dy // 2, dy - dy // 2), mode="replicate")


def centre_crop(x: Tensor, height: int, width: int) -> Tensor:
    """Undo `pad_to_multiple`: the centre [B, C, height, width] of images [B, C, H, W]."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def initialise_normal(network: nn.Module, deviation: float = 0.01) -> None:
    """Weights from N(0, deviation^2), biases 0 (AAAE, appendix B, Table III); normalisation layers stay as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, std=deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
