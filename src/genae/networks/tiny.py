"""The networks of the tiny autoencoders for other models' codes (TAESD and its successors, by Ollin Boer Bohan).

Facts of their files (https://github.com/madebyollin/taesd): encoder and decoder are one plain sequence of layers each,
and the names of their weights are the places in it. The networks below have the same places, so nothing is renamed.
"""

import torch
from torch import Tensor, nn

SCALE = 8
"""Pixels along a side of a cell of the code."""
GROUPS = 4
"""Groups in which the pooling branch is normalised."""


class TinyBlock(nn.Module):
    """[B, width, H, W] -> the same: ReLU(convolutions(x) + x), where ``pooled`` first adds a normalised branch to x."""

    def __init__(self, width: int, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.pool = nn.Identity() if not pooled else nn.Sequential(
            nn.Conv2d(width, 4 * width, 1, bias=False),
            nn.GroupNorm(GROUPS, 4 * width),
            nn.ReLU(),
            nn.Conv2d(4 * width, width, 1, bias=False),
        )  # fmt: skip
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        if self.pooled:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class SoftClamp(nn.Module):
    """3 tanh(x / 3): what lies far outside the codes that the decoder was trained on does less harm."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


class TinyEncoder(nn.Sequential):
    """[B, colours, H, W] in [0, 1] -> [B, channels, H/8, W/8]."""

    def __init__(self, colours: int, channels: int, width: int, pooled: bool) -> None:
        def halved(pooled: bool = False) -> list[nn.Module]:
            halving = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
            return [halving, *(TinyBlock(width, pooled) for _ in range(3))]

        super().__init__(
            nn.Conv2d(colours, width, 3, padding=1),
            TinyBlock(width),
            *halved(),
            *halved(),
            *halved(pooled),
            nn.Conv2d(width, channels, 3, padding=1),
        )


class TinyDecoder(nn.Sequential):
    """[B, channels, h, w] -> [B, colours, 8h, 8w], in [0, 1] for codes of images, and not clipped."""

    def __init__(self, colours: int, channels: int, width: int, pooled: bool) -> None:
        def doubled(pooled: bool = False) -> list[nn.Module]:
            doubling = [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1, bias=False)]
            return [*(TinyBlock(width, pooled) for _ in range(3)), *doubling]

        super().__init__(
            SoftClamp(),
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            *doubled(pooled),
            *doubled(),
            *doubled(),
            TinyBlock(width),
            nn.Conv2d(width, colours, 3, padding=1),
        )
