"""A transformer over the cells of a map: which way each number should go, told a time and a class.

Peebles and Xie 2023 (DiT), Section 3.2: blocks whose normalisation is told what is given (adaLN-Zero).
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEAD = 64
"""Channels of an attention head."""
FREQUENCIES = 64
"""Sines, and as many cosines, that a time is told in."""
LONGEST = 10_000
"""2 pi times as many tokens are the longest wave of the position encoding (Vaswani et al. 2017, Section 3.5)."""


class CellTransformer(nn.Module):
    """Maps [B, c, h, w] as rows [B, c h w], with t [B, 1] or [1, 1] in [0, 1] -> rows of the same shape.

    Every ``patch`` x ``patch`` cells are one token. No weight depends on the grid, so those of one grid work on any
    other: a token is told where it is by its distance from the middle of the map, in tokens.
    ``classes`` is K: `forward` also takes labels [B] from 0 to K, where K stands for a class that is not told.
    """

    def __init__(
        self, code_shape: tuple[int, int, int], width: int = 256, blocks: int = 6, patch: int = 1, classes: int = 0
    ) -> None:
        super().__init__()
        channels, *cells = code_shape
        if any(side % patch for side in cells):
            raise ValueError(
                f"codes are maps of {cells[0]} x {cells[1]} cells, which patches of {patch} x {patch} do not fill; "
                "choose --patch 1"
            )
        if width % HEAD and (width > HEAD or width % 4):
            raise ValueError(f"width is {width}; expected a multiple of {HEAD}, or of 4 below that")
        self.code_shape = code_shape
        self.patch = patch
        self.grid = cells[0] // patch, cells[1] // patch
        self.register_buffer("positions", position_encoding(*self.grid, width), persistent=False)
        self.register_buffer("frequencies", math.pi * 2 ** torch.linspace(-1, 7, FREQUENCIES), persistent=False)
        self.positions: Tensor
        self.frequencies: Tensor
        self.first = nn.Linear(channels * patch**2, width)
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.blocks = cast(Sequence[_Block], nn.ModuleList([_Block(width) for _ in range(blocks)]))
        self.normalise = _AdaptiveNorm(width)
        self.last = nn.Linear(width, channels * patch**2)
        self.initialise()

    def initialise(self) -> None:
        """As the paper: Xavier's weights; every gate, and the last layer, begins at zero, so that blocks do nothing."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        if self.label is not None:
            nn.init.normal_(self.label.weight, std=0.02)
        for module in self.modules():
            if isinstance(module, _AdaptiveNorm):
                nn.init.zeros_(module.told.weight)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Velocities."""
        angles = t * self.frequencies
        given = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        if self.label is not None and labels is not None:
            given = given + self.label(labels)
        given = F.silu(given)
        tokens = F.pixel_unshuffle(x.unflatten(1, self.code_shape), self.patch).flatten(2).transpose(1, 2)
        h = self.first(tokens) + self.positions
        for block in self.blocks:
            h = block(h, given)
        (normal,) = self.normalise(h, given)
        maps = self.last(normal).transpose(1, 2).unflatten(2, self.grid)
        return F.pixel_shuffle(maps, self.patch).flatten(1)


class _Block(nn.Module):
    """h + gate attention(norm(h)), then h + gate MLP(norm(h)): tokens [B, T, width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD)
        self.before_attention = _AdaptiveNorm(width, gates=1)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.before_mlp = _AdaptiveNorm(width, gates=1)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, h: Tensor, given: Tensor) -> Tensor:
        normal, gate = self.before_attention(h, given)
        parts = self.queries_keys_values(normal).unflatten(2, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each [B, heads, T, channels of a head]
        attended = _attention(q, k, v).transpose(1, 2).flatten(2)
        h = torch.addcmul(h, gate, self.attended(attended))
        normal, gate = self.before_mlp(h, given)
        return torch.addcmul(h, gate, self.mlp(normal))


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v: each [B, heads, T, d].

    PyTorch's own has a backward pass on the CPU that multiplies small matrices one by one (2.15): with 64 tokens in
    bfloat16 it takes 4 times as long as this product of all matrices at once, with 16 tokens 7 times.
    """
    if q.device.type == "cpu" and q.requires_grad:
        return torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), 3) @ v
    return F.scaled_dot_product_attention(q, k, v)


class _AdaptiveNorm(nn.Module):
    """Tokens [B, T, width], normalised, then scaled and shifted by what is given [B or 1, width]; and the gates."""

    def __init__(self, width: int, gates: int = 0) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.parts = 2 + gates
        self.told = nn.Linear(width, self.parts * width)

    def forward(self, h: Tensor, given: Tensor) -> tuple[Tensor, ...]:
        scale, shift, *gates = self.told(given)[:, None].chunk(self.parts, 2)
        return torch.addcmul(shift, self.normalise(h), 1 + scale), *gates


def position_encoding(height: int, width: int, channels: int) -> Tensor:
    """Sines and cosines of where each token of a grid is, [height width, channels]: half of them of its row.

    Rows and columns are counted from the middle, so that a wider grid has the same tokens in its middle.
    """
    rows, columns = (_waves(size, channels // 4) for size in (height, width))
    by_row = rows[:, None].expand(-1, width, -1)
    by_column = columns[None].expand(height, -1, -1)
    return torch.cat([by_row, by_column], 2).flatten(0, 1)


def _waves(count: int, frequencies: int) -> Tensor:
    """[count, 2 frequencies]."""
    places = torch.arange(count) - (count - 1) / 2
    angles = places[:, None] * LONGEST ** (-torch.arange(frequencies) / frequencies)
    return torch.cat([angles.sin(), angles.cos()], 1)
