"""Parts of a model whose codes say what occurs where (PatchVAE): the places of each part, crops around them, swaps."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Places(NamedTuple):
    """For every part, the images in which it is most probable, the surest first."""

    images: Tensor
    """Numbers of images [N, k]."""
    cells: Tensor
    """Row and column of the cell [N, k, 2]."""
    scores: Tensor
    """Probability of the part in this cell [N, k]."""


def best_places(occurrence: Iterable[Tensor], count: int) -> Places:
    """Of probabilities [M, N, h, w], in parts: each image's likeliest cell, and of these for every part the likeliest
    ones."""
    likeliest, columns = [], 0
    for part in occurrence:
        likeliest.append(part.flatten(2).max(2))
        columns = part.shape[3]
    scores, cells = (torch.cat(each) for each in zip(*likeliest, strict=True))  # [M, N]
    top = scores.topk(min(count, len(scores)), 0)
    chosen = cells.gather(0, top.indices)
    return Places(top.indices.T, torch.stack([chosen // columns, chosen % columns], 2).transpose(0, 1), top.values.T)


def crop_side(scale: int) -> int:
    """Side in pixels of what one cell can change in a decoded image: 22 for cells of 8 pixels, 94 for 32."""
    return 3 * scale - 2


def crops(images: Tensor, cells: Tensor, scale: int) -> Tensor:
    """Squares [M, C, s, s] of `crop_side` around the centres of cells [M, 2] of images [M, C, H, W]; borders are
    mirrored."""
    side = crop_side(scale)
    around = side // 2
    padded = F.pad(images, (around,) * 4, mode="reflect" if around < min(images.shape[2:]) else "replicate")
    cut = images.new_empty(len(images), images.shape[1], side, side)
    for number, (row, column) in enumerate(cells.tolist()):
        top, left = (
            round((place + 0.5) * scale) for place in (row, column)
        )  # in the padded image: minus and plus half
        cut[number] = padded[number, :, top : top + side, left : left + side]
    return cut


def swapped(appearance: Tensor, source: Tensor, part: int, from_part: int | None = None) -> Tensor:
    """Appearances [B, N, d] with that of ``part`` replaced by the source's, [B, N, d], of the same part or another."""
    changed = appearance.clone()
    changed[:, part] = source[:, part if from_part is None else from_part]
    return changed
