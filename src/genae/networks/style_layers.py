"""Layers of StyleGAN's and StyleALAE's networks (Karras, Laine, Aila 2019, Section 2; blur, equalised weights)."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.networks.equalised import LEAK, EqualisedLinear
from genae.networks.layers import memory_format


def levels_of(resolution: int) -> int:
    """Levels up to ``resolution``: 2 for 8 pixels, 9 for 1,024. Raises ValueError for another side than 4 x 2^n."""
    levels = int(math.log2(max(resolution, 1))) - 1
    if not 2 <= levels <= 9 or 4 * 2 ** (levels - 1) != resolution:
        raise ValueError(f"images of {resolution} pixels; expected 8, 16, 32, ... or 1024 (--size brings them there)")
    return levels


def channels_of(levels: int, width: int, most: int) -> list[int]:
    """Channels of every level, from 4 x 4 up: ``width`` at the top, doubled at every level below, at most ``most``."""
    return [min(most, width * 2 ** (levels - 1 - level)) for level in range(levels)]


class _Filter(torch.autograd.Function):
    """A filter with a kernel [3, 3] that equals its mirror image, zeros outside: it is its own derivative. Autograd's
    would loop over the channels when it is differentiated twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(kernel)
        return F.conv2d(x, kernel.to(x.dtype).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Filter.apply(gradients[0], *ctx.saved_tensors), None  # type: ignore[no-untyped-call]


class Blur(nn.Module):
    """Maps [B, C, H, W] filtered with [1, 2, 1] / 4 along both axes, zeros outside (Karras et al. 2019, appendix C).

    The kernel is where the model is: made of Python's numbers for every map, it would be sent to the GPU each time.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(taps, taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the same shape."""
        return _Filter.apply(x, self.kernel)  # type: ignore[no-untyped-call, no-any-return]


class Convolution(nn.Module):
    """Maps [B, inputs, H, W] -> [B, outputs, h, w] with a 3 x 3 (or 1 x 1) kernel, equalised as `EqualisedLinear`.

    ``change`` is ``same``, ``double`` (each pixel becomes 2 x 2 equal ones, then the convolution) or ``half`` (the
    convolution, then the mean of 2 x 2). The last two run as one convolution of stride 2 with a 4 x 4 kernel: four
    multiplications for each output pixel and channel where the two steps need nine. Weights of ``double`` are those of
    a transposed convolution, [inputs, outputs, 3, 3].
    """

    def __init__(
        self, inputs: int, outputs: int, size: int = 3, change: str = "same", gain: float = math.sqrt(2)
    ) -> None:
        super().__init__()
        first, second = (inputs, outputs) if change == "double" else (outputs, inputs)
        self.weight = nn.Parameter(torch.randn(first, second, size, size))
        self.scale = gain / math.sqrt(inputs * size * size)
        self.size = size
        self.change = change

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``bias`` [outputs] is added."""
        weight = self.scaled_weight()
        if self.change == "double":
            return F.conv_transpose2d(x, widened(weight), bias, stride=2, padding=1)
        if self.change == "half":
            return F.conv2d(x, widened(weight) / 4, bias, stride=2, padding=1)
        return F.conv2d(x, weight, bias, padding=self.size // 2)

    def scaled_weight(self) -> Tensor:
        """The weights that are used."""
        return self.weight * self.scale


def widened(weight: Tensor) -> Tensor:
    """Kernels [..., 3, 3] -> [..., 4, 4]: the sum of the four places of a 3 x 3 kernel in a 4 x 4 one."""
    tall = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
    wide = F.pad(tall, (0, 1)) + F.pad(tall, (1, 0))
    return wide.contiguous(memory_format=memory_format(wide.device))


class Colour(nn.Module):
    """1 x 1 convolution from or to colours, with its bias."""

    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.convolution = Convolution(inputs, outputs, 1, gain=gain)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.convolution(x, self.bias)


def centred(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [B, C, 1, 1] of each map of x [B, C, H, W], x without it, and its variance [B, C, 1, 1] (biased)."""
    mean = x.mean((2, 3), keepdim=True)
    rest = x - mean
    return mean, rest, rest.square().mean((2, 3), keepdim=True)


def doubled(x: Tensor) -> Tensor:
    """Each pixel becomes 2 x 2 equal ones."""
    return F.interpolate(x, scale_factor=2, mode="nearest").to(x.dtype)  # autocast on a GPU answers in float32


def halved(x: Tensor, times: int = 1) -> Tensor:
    """Means over 2 x 2 pixels, ``times`` in a row."""
    return F.avg_pool2d(x, 2**times) if times else x


class StyledLayer(nn.Module):
    """Noise, bias, leaky ReLU, then instance normalisation with a style's scale and shift (AdaIN)."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style = EqualisedLinear(style_dim, 2 * channels, gain=1.0)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Maps [B, channels, side, side], styles [B, style_dim] and noise [B or 1, 1, side, side] -> maps."""
        x = F.leaky_relu(x + self.bias.view(-1, 1, 1) + self.strength.view(-1, 1, 1) * noise, LEAK)
        _, rest, variance = centred(x)
        scale, shift = self.style(style)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, rest, (1 + scale) * torch.rsqrt(variance + 1e-8))
