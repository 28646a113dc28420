"""Encoder and decoder whose code is a map: a grid of cells with a few numbers each.

Rombach, Blattmann, Lorenz, Esser, Ommer: High-Resolution Image Synthesis with Latent Diffusion Models (2022), Section
3.1 and appendix G: residual blocks, strided convolutions down, repeated pixels and convolutions up, attention at the
lowest resolution. For processors: the first halving is the encoder's first layer and the last doubling the decoder's
last one, so that no layer has many channels at the full resolution, where an image has most of its pixels.
"""

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from genae.networks.convolution import Conv2d
from genae.networks.layers import normalisation

MOST = 4
"""Channels of the lowest resolutions, in multiples of the width."""


def grid_of(image_shape: tuple[int, int, int], cells: int) -> tuple[int, int]:
    """Rows and columns of a grid with ``cells`` cells along the shorter side of an image; cells are square.

    A cell's side is a power of 2 from 2 to 64 pixels, and both sides of the image are multiples of it: 8 cells are 8 x
    8 at 64 x 64 pixels (of 8 pixels each) and 8 x 12 at 32 x 48. Raises ValueError where there is no such grid.
    """
    _, height, width = image_shape
    side, left = divmod(min(height, width), cells) if cells > 0 else (0, 0)
    if left or side not in (2, 4, 8, 16, 32, 64) or height % side or width % side:
        fit = [min(height, width) // s for s in (2, 4, 8, 16, 32, 64) if height % s == 0 and width % s == 0]
        raise ValueError(
            f"code-grid is {cells}; images of {height} x {width} pixels have grids of "
            f"{', '.join(map(str, fit)) or 'no number of'} cells along the shorter side"
        )
    return height // side, width // side


def _channels(image_shape: tuple[int, int, int], cells: int, width: int) -> list[int]:
    """Of the maps at half the resolution, a quarter, ... down to the grid."""
    halvings = int(math.log2(image_shape[1] // grid_of(image_shape, cells)[0]))
    return [width * min(2**i, MOST) for i in range(halvings)]


class Block(nn.Module):
    """Maps [B, channels, h, w] -> the same: two times normalisation, SiLU and a 3 x 3 convolution, added to the input.

    The second convolution begins with zeros, so that a new block passes its input on.
    """

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        last = Conv2d(channels, channels, 3, 1, 1)
        nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(
            normalisation(norm, channels), nn.SiLU(), Conv2d(channels, channels, 3, 1, 1, bias=norm == "none"),
            normalisation(norm, channels), nn.SiLU(), last,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Maps."""
        return x + self.layers(x)


class Attention(nn.Module):
    """Maps [B, channels, h, w] -> the same: every cell asks all cells, with one head; added to the input.

    softmax(q k^T / sqrt(channels)) v; the last layer begins with zeros.
    """

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.normalise = normalisation(norm, channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Maps."""
        rows = self.queries_keys_values(self.normalise(x)).flatten(2).transpose(1, 2)  # [B, h w, 3 channels]
        attended = F.scaled_dot_product_attention(*rows.chunk(3, dim=2))
        return x + self.out(attended.transpose(1, 2).unflatten(2, x.shape[2:]))


def _middle(channels: int, norm: str) -> nn.Sequential:
    return nn.Sequential(Block(channels, norm), Attention(channels, norm), Block(channels, norm))


class GridEncoder(nn.Module):
    """Images [B, C, H, W] -> maps [B, outputs, h, w] with ``cells`` cells along the shorter side (`grid_of`).

    A 4 x 4 convolution of stride 2 to ``width`` channels, then a residual block and a 3 x 3 convolution of stride 2
    for each further halving, which doubles channels up to 4 ``width``; on the grid a block, attention and a block.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], outputs: int, width: int = 64, norm: str = "group", cells: int = 8
    ) -> None:
        super().__init__()
        channels = _channels(image_shape, cells, width)
        layers: list[nn.Module] = [Conv2d(image_shape[0], width, 4, 2, 1)]
        for here, below in pairwise(channels):
            layers += [Block(here, norm), Conv2d(here, below, 3, 2, 1)]
        layers += [_middle(channels[-1], norm), normalisation(norm, channels[-1]), nn.SiLU()]
        self.layers = nn.Sequential(*layers, Conv2d(channels[-1], outputs, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps."""
        return self.layers(x)


class GridDecoder(nn.Module):
    """Maps [B, inputs, h, w] -> images [B, C, H, W] in [-1, 1]: the encoder's layers in reverse.

    Doublings repeat pixels before a 3 x 3 convolution; the last one is a 3 x 3 convolution to four values for each
    channel of the image, which are its 2 x 2 pixels (Shi et al. 2016).
    """

    def __init__(
        self, image_shape: tuple[int, int, int], inputs: int, width: int = 64, norm: str = "group", cells: int = 8
    ) -> None:
        super().__init__()
        channels = _channels(image_shape, cells, width)[::-1]
        layers: list[nn.Module] = [Conv2d(inputs, channels[0], 3, 1, 1), _middle(channels[0], norm)]
        for here, above in pairwise(channels):
            layers += [nn.Upsample(scale_factor=2), Conv2d(here, above, 3, 1, 1), Block(above, norm)]
        layers += [normalisation(norm, width), nn.SiLU(), Conv2d(width, 4 * image_shape[0], 3, 1, 1)]
        self.layers = nn.Sequential(*layers, nn.PixelShuffle(2), nn.Tanh())

    def forward(self, maps: Tensor) -> Tensor:
        """Images."""
        return self.layers(maps)
