"""Pictures of a patch-vae's parts: where they occur, what is there, and what they become."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genae.data.sources import ImageData
from genae.latent.places import crop_side, crops
from genae.model import Model
from genae.reports.figures import grid, in_colour, lit, save_picture, to_picture
from genae.storage import write_atomically


def occurrence_grid(model: Model, images: Tensor, parts: Sequence[int]) -> Image.Image:
    """Images along the top; below each, orange where a part is likely, a row for every part (PatchVAE Fig. 3)."""
    occurrence = model.parts(images)[1][:, list(parts)]
    shares = F.interpolate(occurrence, size=images.shape[2:], mode="nearest")
    rows = lit(images[:, None], shares[:, :, None]).transpose(0, 1)
    labels = ["image", *(f"part {part}" for part in parts)]
    title = "Where each part occurs: the more orange, the likelier"
    return grid(torch.cat([in_colour(images)[None], rows]), labels, title=title)


class Crops(NamedTuple):
    """Of one part."""

    part: int
    images: Tensor
    """Numbers of the images in the data set [k]."""
    cells: Tensor
    """Row and column [k, 2]."""
    scores: Tensor
    """Probability of the part there [k]."""
    crops: Tensor
    """[k, C, s, s]."""


def part_crops(
    model: Model, data: ImageData, indices: Tensor, parts: Sequence[int], count: int, seed: int | None = None
) -> Iterator[Crops]:
    """For every part, crops around its likeliest places, the surest first, unpicked; with a seed, of images drawn at
    random among those where it is more likely than not."""
    scale = _cell_side(model, data.images(indices[:1]))
    places = model.part_places(data, indices, len(indices) if seed is not None else count)
    for part in parts:
        shown = torch.arange(len(places.images[part]))
        if seed is not None:
            likely = shown[places.scores[part] > 0.5]
            shown = likely[torch.randperm(len(likely), generator=torch.Generator().manual_seed(seed))[:count]]
        numbers, cells = indices[places.images[part, shown]], places.cells[part, shown]
        yield Crops(part, numbers, cells, places.scores[part, shown], crops(data.images(numbers), cells, scale))


def _cell_side(model: Model, image: Tensor) -> int:
    """Side in pixels of a cell of the grid on which parts occur; of one image [1, C, H, W]."""
    return image.shape[2] // model.parts(image)[1].shape[2]


def save_crops(crops_of_parts: Iterable[Crops], data: ImageData, folder: Path) -> int:
    """Write crops as ``part-NN/NNN.png``, the first being the surest, and ``crops.csv`` with where each is from: part,
    probability, number (and name) of the image in the data set, its class, row and column of the cell. Returns how
    many were written."""
    lines = []
    for part, numbers, cells, scores, images in crops_of_parts:
        for place, image in enumerate(images):
            file, number = f"part-{part:02d}/{place:03d}.png", int(numbers[place])
            save_picture(to_picture(image), folder / file)
            name = data.names[number] if data.names else ""
            label = data.classes[int(data.labels[number])] if data.labels is not None else ""
            lines.append([file, part, f"{scores[place]:.4f}", number, name, label, *cells[place].tolist()])
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["file", "part", "probability", "image", "name", "class", "row", "column"], *lines])
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "crops.csv", buffer.getvalue())
    return len(lines)


def crop_grid(
    model: Model, data: ImageData, indices: Tensor, parts: Sequence[int], count: int = 10, seed: int | None = None
) -> Image.Image:
    """A row of crops for every part (PatchVAE Fig. 4), with the probability of the first and the last."""
    side = crop_side(_cell_side(model, data.images(indices[:1])))
    labels, rows = [], []
    for part, _, _, scores, images in part_crops(model, data, indices, parts, count, seed):
        ends = f": {scores.max():.2f} to {scores.min():.2f}" if len(scores) else ": nowhere"
        labels.append(f"part {part}{ends}")
        blank = torch.ones(min(count, len(indices)) - len(images), model.image_shape[0], side, side)
        rows.append(torch.cat([images, blank]))
    title = "The likeliest places of each part, the surest first"
    return grid(
        torch.stack(rows), labels, title=title if seed is None else f"Places of each part, at random, seed {seed}"
    )


def swap_grid(
    model: Model, images: Tensor, sources: Tensor, parts: Sequence[int], from_part: int | None = None
) -> Image.Image:
    """Reconstructions, then for every part the same with that part's appearance from the sources (PatchVAE Fig. 5), of
    the same part or of ``from_part``."""
    changed = [model.swap_part(images, sources, part, from_part) for part in parts]
    what = "swapped" if from_part is None else f"from {from_part}"
    labels = ["image", "source", "reconstruction", *(f"part {part} {what}" for part in parts)]
    rows = [images, sources, model.reconstruct(images), *changed]
    return grid(torch.stack(rows), labels, title="One part's appearance from another image")
