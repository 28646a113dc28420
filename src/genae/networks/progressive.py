"""Networks that grow from 4 x 4 pixels: PGGAN's generator and critic, and PIONEER's encoder.

Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs (2018), Section 2 and Table 2; Heljakka, Solin, Kannala:
Pioneer Networks (2018), Section 3. Levels count resolutions from 4 x 4 (level 0). A network holds the blocks of all its
levels from the start; ``level`` says which is its highest in use, and ``blend`` in [0, 1] how much of that level's
output is mixed in while it grows (1: all of it).
"""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.networks.equalised import LEAK, EqualisedLinear, pixel_norm
from genae.networks.spectral import SpectralConvolution
from genae.networks.style_layers import Blur, Colour, Convolution, doubled, halved

Blend = Tensor | float


class _GeneratorBlock(nn.Module):
    """Two layers of one level; the first doubles the map of the level below, or at level 0 makes one of the code.

    Convolutions are equalised and followed by pixel norm, or with ``spectral`` divided by their spectral norm alone.
    """

    def __init__(self, inputs: int, outputs: int, level: int, spectral: bool) -> None:
        super().__init__()
        kind = SpectralConvolution if spectral else Convolution
        self.spectral = spectral
        self.level = level
        # At level 0 each pixel has its own weights and shares the bias; their gain is the authors'.
        self.first = kind(inputs, outputs, change="double") if level else kind(inputs, 16 * outputs, 1, gain=2**0.5 / 4)
        self.second = kind(outputs, outputs)
        self.biases = nn.ParameterList([torch.zeros(outputs), torch.zeros(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        """Maps of the level below, or codes [B, inputs] -> maps of this level."""
        x = self.first(x) if self.level else self.first(x[:, :, None, None]).flatten(1).unflatten(1, (-1, 4, 4))
        x = self._activated(x + self.biases[0].view(-1, 1, 1))
        return self._activated(self.second(x, self.biases[1]))

    def _activated(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(x, LEAK)
        return x if self.spectral else pixel_norm(x)


class ProgressiveDecoder(nn.Module):
    """G of PGGAN: codes [B, code_dim] -> images, not bounded. A code counts by its direction: G brings it to a mean
    square of 1.

    With ``spectral``, that of Balanced PIONEER: every 3 x 3 layer is divided by its spectral norm, and there is no
    pixel norm.
    """

    def __init__(self, colours: int, code_dim: int, channels: Sequence[int], spectral: bool = False) -> None:
        super().__init__()
        inputs = [code_dim, *channels]
        self.blocks = nn.ModuleList([_GeneratorBlock(inputs[i], c, i, spectral) for i, c in enumerate(channels)])
        self.to_colours = nn.ModuleList([Colour(c, colours, gain=1.0) for c in channels])

    def forward(self, code: Tensor, level: int, blend: Blend = 1.0) -> Tensor:
        """Images [B, colours, 4 2^level, 4 2^level]."""
        x = pixel_norm(code)
        for block in self.blocks[:level]:
            x = block(x)
        image: Tensor = self.to_colours[level](self.blocks[level](x))
        if level == 0 or isinstance(blend, float):
            return image
        return torch.lerp(doubled(self.to_colours[level - 1](x)), image, blend)


class ProgressiveReader(nn.Module):
    """Blocks from images down to 2 x 2 or 4 x 4, one for each level, and an entrance to each, whose leaky ReLU has the
    slope ``entrance_leak``."""

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

    def forward(self, x: Tensor, level: int, blend: Blend = 1.0) -> Tensor:
        """What the last block gives."""
        maps = self.enter(x, level)
        for i in reversed(range(level + 1)):
            maps = self.blocks[i](maps)
            if i == level and level and not isinstance(blend, float):
                maps = torch.lerp(self.enter(halved(x), level - 1), maps, blend)
        return maps


class _ReaderBlock(nn.Module):
    """Two layers of one level; the second halves the map, which is ``blurred`` before in StyleGAN alone."""

    def __init__(self, inputs: int, outputs: int, kind: type[Convolution] = Convolution, blurred: bool = False) -> None:
        super().__init__()
        self.first, self.second = kind(inputs, inputs), kind(inputs, outputs, change="half")
        self.blur = Blur() if blurred else nn.Identity()
        self.biases = nn.ParameterList([torch.zeros(inputs), torch.zeros(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x, self.biases[0]), LEAK)
        return F.leaky_relu(self.second(self.blur(x), self.biases[1]), LEAK)


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


class ProgressiveCritic(ProgressiveReader):
    """PGGAN's discriminator: images [B, colours, 4 2^level, 4 2^level] -> one logit each [B, 1]. ``blurred`` is that of
    StyleGAN."""

    def __init__(self, colours: int, channels: Sequence[int], blurred: bool = False) -> None:
        above = itertools.pairwise(channels)
        blocks = [_Verdict(channels[0]), *(_ReaderBlock(b, a, blurred=blurred) for a, b in above)]
        super().__init__(colours, channels, blocks)


class _Code(nn.Module):
    """4 x 4 maps -> codes [B, code_dim] of length 1: a convolution, and a linear layer of all its pixels."""

    def __init__(self, channels: int, code_dim: int) -> None:
        super().__init__()
        self.convolution = SpectralConvolution(channels, channels)
        self.linear = SpectralConvolution(16 * channels, code_dim, 1)
        self.biases = nn.ParameterList([torch.zeros(channels), torch.zeros(code_dim)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.convolution(x, self.biases[0]), LEAK)
        return F.normalize(self.linear(x.flatten(1)[:, :, None, None], self.biases[1]).flatten(1).float())


class ProgressiveEncoder(ProgressiveReader):
    """E of PIONEER: images [B, colours, 4 2^level, 4 2^level] -> codes [B, code_dim] of length 1.

    PGGAN's discriminator without deviation over the batch; its layers are divided by their spectral norm, and the
    colours enter linearly.
    """

    def __init__(self, colours: int, code_dim: int, channels: Sequence[int]) -> None:
        blocks = [_ReaderBlock(b, a, SpectralConvolution) for a, b in itertools.pairwise(channels)]
        super().__init__(colours, channels, [_Code(channels[0], code_dim), *blocks], entrance_leak=1.0)
