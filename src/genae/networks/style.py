"""The networks of StyleGAN and StyleALAE: a generator driven by styles, its mirror image that reads them, and a critic.

Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks (2019); Pidhorskyi,
Adjeroh, Doretto: Adversarial Latent Autoencoders (2020), Section 5. Levels count resolutions from 4 x 4 (level 0).
A network holds the blocks of all its levels from the start; ``level`` says which is its highest in use, and ``blend``
in [0, 1] how much of that level's output is mixed in while it grows (1: all of it).
"""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.networks.equalised import LEAK, EqualisedLinear
from genae.protocol import draw

Blend = Tensor | float


def levels_of(resolution: int) -> int:
    """Levels up to ``resolution``: 2 for 8 pixels, 9 for 1,024. Raises ValueError for another side than 4 x 2^n."""
    levels = int(math.log2(max(resolution, 1))) - 1
    if not 2 <= levels <= 9 or 4 * 2 ** (levels - 1) != resolution:
        raise ValueError(f"images of {resolution} pixels; expected 8, 16, 32, ... or 1024 (--size brings them there)")
    return levels


def channels_of(levels: int, width: int, most: int) -> list[int]:
    """Channels of every level, from 4 x 4 up: ``width`` at the top, doubled at every level below, at most ``most``."""
    return [min(most, width * 2 ** (levels - 1 - level)) for level in range(levels)]


class _Blur(torch.autograd.Function):
    """The blur is its own derivative: symmetric taps, zeros outside. Autograd's would loop over the channels when it is
    differentiated twice."""

    @staticmethod
    def forward(_: object, x: Tensor) -> Tensor:
        taps = torch.tensor([1.0, 2.0, 1.0], device=x.device, dtype=x.dtype) / 4
        kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(x, kernel, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(_: object, *gradients: Tensor) -> Tensor:
        return blur(gradients[0])


def blur(x: Tensor) -> Tensor:
    """Maps [B, C, H, W] filtered with [1, 2, 1] / 4 along both axes, zeros outside (Karras et al. 2019, appendix C)."""
    return _Blur.apply(x)  # type: ignore[no-untyped-call, no-any-return]


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
        weight = self.weight * self.scale
        if self.change == "double":
            return F.conv_transpose2d(x, widened(weight), bias, stride=2, padding=1)
        if self.change == "half":
            return F.conv2d(x, widened(weight) / 4, bias, stride=2, padding=1)
        return F.conv2d(x, weight, bias, padding=self.size // 2)


def widened(weight: Tensor) -> Tensor:
    """Kernels [..., 3, 3] -> [..., 4, 4]: the sum of the four places of a 3 x 3 kernel in a 4 x 4 one."""
    tall = F.pad(weight, (0, 0, 0, 1)) + F.pad(weight, (0, 0, 1, 0))
    wide = F.pad(tall, (0, 1)) + F.pad(tall, (1, 0))
    return wide.contiguous(memory_format=torch.channels_last)


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
    return F.interpolate(x, scale_factor=2, mode="nearest")


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


class _GeneratorBlock(nn.Module):
    """Two layers of one level; the first doubles the map of the level below, or at level 0 starts from a constant."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, level: int) -> None:
        super().__init__()
        if level == 0:
            # Ones, as in StyleGAN, would be normalised to nothing, and gradients would be rounding errors at first.
            self.constant = nn.Parameter(torch.randn(1, outputs, 4, 4))
        else:
            self.first = Convolution(inputs, outputs, change="double")
        self.second = Convolution(outputs, outputs)
        self.styled = nn.ModuleList([StyledLayer(outputs, style_dim) for _ in range(2)])

    def forward(self, x: Tensor | None, styles: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Maps of the level below, two styles [B, 2, style_dim] and two noise maps -> maps of this level."""
        x = self.constant.expand(len(styles), -1, -1, -1) if x is None else blur(self.first(x))
        x = self.styled[0](x, styles[:, 0], noise[0])
        return self.styled[1](self.second(x), styles[:, 1], noise[1])


class StyleDecoder(nn.Module):
    """G: styles [B, layers, style_dim] -> images, not bounded; two layers for each level.

    Noise [B, 1, side, side] for every layer (`noise_for`), or one fixed map for each, so that decoding is a function of
    the styles alone.
    """

    noise0: Tensor

    def __init__(self, colours: int, style_dim: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [_GeneratorBlock(channels[max(i - 1, 0)], c, style_dim, i) for i, c in enumerate(channels)]
        )
        self.to_colours = nn.ModuleList([Colour(c, colours, gain=0.03) for c in channels])
        for layer in range(2 * len(channels)):
            side = 4 * 2 ** (layer // 2)
            fixed = torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(layer))
            self.register_buffer(f"noise{layer}", fixed, persistent=False)

    def noise_for(self, count: int, level: int) -> list[Tensor]:
        """Fresh noise for the layers in use."""
        sides = [4 * 2 ** (layer // 2) for layer in range(2 * level + 2)]
        return [draw(torch.randn, count, 1, side, side, device=self.noise0.device) for side in sides]

    def forward(self, styles: Tensor, level: int, blend: Blend = 1.0, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Images [B, colours, 4 2^level, 4 2^level] from the first 2 (level + 1) styles."""
        noise = noise or [self.get_buffer(f"noise{layer}") for layer in range(2 * level + 2)]
        x: Tensor | None = None
        for i in range(level):
            x = self.blocks[i](x, styles[:, 2 * i : 2 * i + 2], noise[2 * i : 2 * i + 2])
        top = self.blocks[level](x, styles[:, 2 * level : 2 * level + 2], noise[2 * level :])
        image: Tensor = self.to_colours[level](top)
        if x is None or isinstance(blend, float):
            return image
        return torch.lerp(doubled(self.to_colours[level - 1](x)), image, blend)


class _Reading(nn.Module):
    """C_i of Eq. 9: mean and deviation of each map [B, C, H, W] -> [B, style_dim]; also the normalised maps."""

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        self.linear = EqualisedLinear(2 * channels, style_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, rest, variance = centred(x)
        style = self.linear(torch.cat([mean, torch.sqrt(variance + 1e-8)], 1).flatten(1))
        return style, rest * torch.rsqrt(variance + 1e-5)


class _EncoderBlock(nn.Module):
    """Two layers of one level, each read and normalised; the second halves the map."""

    def __init__(self, inputs: int, outputs: int, style_dim: int) -> None:
        super().__init__()
        self.first, self.second = Convolution(inputs, inputs), Convolution(inputs, outputs, change="half")
        self.biases = nn.ParameterList([torch.zeros(inputs), torch.zeros(outputs)])
        self.readings = nn.ModuleList([_Reading(inputs, style_dim), _Reading(outputs, style_dim)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of this level -> maps of the level below, and what they add to the style."""
        a, x = self.readings[0](F.leaky_relu(self.first(x, self.biases[0]), LEAK))
        b, x = self.readings[1](F.leaky_relu(self.second(blur(x), self.biases[1]), LEAK))
        return x, a + b


class _Growing(nn.Module):
    """Blocks from images down to 2 x 2 or 4 x 4, one for each level, and an entrance to each."""

    def __init__(
        self, colours: int, channels: Sequence[int], blocks: Sequence[nn.Module], entrance_leak: float = LEAK
    ) -> None:
        super().__init__()
        self.entrance_leak = entrance_leak
        self.from_colours = nn.ModuleList([Colour(colours, c) for c in channels])
        self.blocks = nn.ModuleList(blocks)

    def enter(self, x: Tensor, level: int) -> Tensor:
        """Images [B, colours, 4 2^level, 4 2^level] -> maps."""
        return F.leaky_relu(self.from_colours[level](x), self.entrance_leak)


class StyleEncoder(_Growing):
    """E: images [B, colours, 4 2^level, 4 2^level] -> w [B, style_dim], the sum over layers of Eq. 9.

    A new level's two terms are weighted by ``blend``, as the authors' code has it. ``entrance_leak`` is the slope of
    the leaky ReLU after the colours.
    """

    def __init__(
        self, colours: int, style_dim: int, channels: Sequence[int], bottom: int, entrance_leak: float = LEAK
    ) -> None:
        outputs = [bottom, *channels]
        blocks = [_EncoderBlock(c, outputs[i], style_dim) for i, c in enumerate(channels)]
        super().__init__(colours, channels, blocks, entrance_leak)

    def forward(self, x: Tensor, level: int, blend: Blend = 1.0) -> Tensor:
        """w."""
        maps, w = self.blocks[level](self.enter(x, level))
        if level and not isinstance(blend, float):
            maps, w = torch.lerp(self.enter(halved(x), level - 1), maps, blend), w * blend
        for i in reversed(range(level)):
            maps, style = self.blocks[i](maps)
            w = w + style
        return w


class _CriticBlock(nn.Module):
    """Two layers of one level; the second halves the map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = Convolution(inputs, inputs), Convolution(inputs, outputs, change="half")
        self.biases = nn.ParameterList([torch.zeros(inputs), torch.zeros(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x, self.biases[0]), LEAK)
        return F.leaky_relu(self.second(blur(x), self.biases[1]), LEAK)


class _Verdict(nn.Module):
    """4 x 4 maps -> one logit: their deviation over the batch as one more map, a convolution, two dense layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = Convolution(channels + 1, channels)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.dense = EqualisedLinear(16 * channels, channels)
        self.logit = EqualisedLinear(channels, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        groups = x.reshape(-1, math.gcd(len(x), 4), *x.shape[1:])  # of at most four images
        spread = torch.sqrt(groups.var(1, correction=0) + 1e-8).mean((1, 2, 3))
        spread = spread.repeat_interleave(groups.shape[1])[:, None, None, None].expand(-1, 1, *x.shape[2:])
        x = F.leaky_relu(self.convolution(torch.cat([x, spread], 1), self.bias), LEAK)
        return self.logit(F.leaky_relu(self.dense(x.flatten(1)), LEAK))


class StyleCritic(_Growing):
    """StyleGAN's discriminator: images [B, colours, 4 2^level, 4 2^level] -> one logit each [B, 1]."""

    def __init__(self, colours: int, channels: Sequence[int]) -> None:
        blocks = [_Verdict(channels[0]), *(_CriticBlock(b, a) for a, b in itertools.pairwise(channels))]
        super().__init__(colours, channels, blocks)

    def forward(self, x: Tensor, level: int, blend: Blend = 1.0) -> Tensor:
        """Logits."""
        maps = self.enter(x, level)
        for i in reversed(range(level + 1)):
            maps = self.blocks[i](maps)
            if i == level and level and not isinstance(blend, float):
                maps = torch.lerp(self.enter(halved(x), level - 1), maps, blend)
        return maps
