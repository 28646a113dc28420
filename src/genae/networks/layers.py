"""Building blocks shared by the network families."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from genae import distributed
from genae.errors import GenaeError


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


class _SumOverProcesses(torch.autograd.Function):
    """all_reduce(sum) whose backward pass sums the gradients, as differentiating the whole sum requires."""

    @staticmethod
    def forward(_: object, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(_: object, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone()
        dist.all_reduce(gradient)
        return gradient


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the whole batch, also when processes share it.

    Input and output [B, C, H, W]. One process: exactly `torch.nn.BatchNorm2d`. Several: mean and variance of the
    union of their batches, so that two processes train what one would (`torch.nn.SyncBatchNorm` refuses the CPU).
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and distributed.active()):
            return super().forward(x)
        rows = x.float()
        count = torch.tensor([rows.numel() / rows.shape[1] * distributed.world_size()], device=x.device)
        mean = _SumOverProcesses.apply(rows.sum((0, 2, 3))) / count
        centred = rows - mean.view(1, -1, 1, 1)
        variance = _SumOverProcesses.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = (self.weight * torch.rsqrt(variance + self.eps)).view(1, -1, 1, 1)
        return (centred * scale + self.bias.view(1, -1, 1, 1)).to(x.dtype)


def normalisation(kind: str, channels: int) -> nn.Module:
    """``batch`` or ``none``, by name."""
    if kind == "batch":
        return BatchNorm(channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"normalisation is {kind!r}; expected 'batch' or 'none'")


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
