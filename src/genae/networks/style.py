"""The networks of StyleGAN and StyleALAE: a generator driven by styles, and its mirror image that reads them.

Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial Networks (2019); Pidhorskyi,
Adjeroh, Doretto: Adversarial Latent Autoencoders (2020), Section 5. ``level`` and ``blend`` are those of
`networks.progressive`, where StyleGAN's critic stands too.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.networks.equalised import LEAK, EqualisedLinear
from genae.networks.progressive import Blend, ProgressiveReader
from genae.networks.style_layers import Blur, Colour, Convolution, StyledLayer, centred, doubled, halved
from genae.protocol import draw


class _GeneratorBlock(nn.Module):
    """Two layers of one level; the first doubles the map of the level below, or at level 0 starts from a constant."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, level: int) -> None:
        super().__init__()
        if level == 0:
            # Ones, as in StyleGAN, would be normalised to nothing, and gradients would be rounding errors at first.
            self.constant = nn.Parameter(torch.randn(1, outputs, 4, 4))
        else:
            self.first = Convolution(inputs, outputs, change="double")
            self.blur = Blur()
        self.second = Convolution(outputs, outputs)
        self.styled = nn.ModuleList([StyledLayer(outputs, style_dim) for _ in range(2)])

    def forward(self, x: Tensor | None, styles: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Maps of the level below, two styles [B, 2, style_dim] and two noise maps -> maps of this level."""
        x = self.constant.expand(len(styles), -1, -1, -1) if x is None else self.blur(self.first(x))
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
        self.blur = Blur()
        self.biases = nn.ParameterList([torch.zeros(inputs), torch.zeros(outputs)])
        self.readings = nn.ModuleList([_Reading(inputs, style_dim), _Reading(outputs, style_dim)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of this level -> maps of the level below, and what they add to the style."""
        a, x = self.readings[0](F.leaky_relu(self.first(x, self.biases[0]), LEAK))
        b, x = self.readings[1](F.leaky_relu(self.second(self.blur(x), self.biases[1]), LEAK))
        return x, a + b


class StyleEncoder(ProgressiveReader):
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
            below = self.enter(halved(x), level - 1).to(maps.dtype)  # autocast on a GPU normalises in float32
            maps, w = torch.lerp(below, maps, blend), w * blend
        for i in reversed(range(level)):
            maps, style = self.blocks[i](maps)
            w = w + style
        return w
