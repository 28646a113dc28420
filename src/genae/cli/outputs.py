"""What commands write: pictures, tables."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from genae.cli.screen import console, print_table
from genae.errors import GenaeError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from genae.model import Model
    from genae.operations import Operation, Session
    from genae.progress import Progress


MOST_BYTES = 4_000_000_000
"""Of images in one ``.npz``, which is made in memory."""


def draw(operation: "Operation", session: "Session", pictures: "Tensor | None", out: str) -> None:
    """Write the figure of an operation, as the explorer would, and say where it is."""
    if pictures is None:
        import torch

        pictures = torch.zeros(0, *session.model.image_shape)
    save_figure(operation.figure(session, pictures), out)


def save_figure(picture: "Image", out: str) -> None:
    """Write a figure and say where it is."""
    from genae.reports.figures import save_picture

    save_picture(picture, Path(out))
    console.print(escape(out))


def save_images(model: "Model", codes: "Tensor", space: str, target: Path, progress: "Progress") -> None:
    """Decode codes and write the images as single pictures in a folder, or as one ``.npz``; of more than `MOST_BYTES`
    the latter is refused with a `GenaeError`. Numbered pictures of an earlier call do not stay among them."""
    import torch

    from genae.reports.figures import save_picture, to_picture
    from genae.storage import is_ours, save_arrays

    size = 4 * len(codes) * math.prod(model.image_shape)
    if target.suffix == ".npz" and size > MOST_BYTES:
        raise GenaeError(
            f"{len(codes):,} images take {size / 1e9:.0f} GB, more than an .npz of genae holds "
            f"({MOST_BYTES / 1e9:.0f} GB); lower the count, or write a folder"
        )
    batches, done = [], 0
    for part in codes.split(model.batch):
        images = model.decode(part, space)
        if target.suffix == ".npz":
            batches.append(images)
        else:
            for number, image in enumerate(images, done):
                save_picture(to_picture(image), target / f"{number:06d}.png")
        done += len(part)
        progress("images decoded", done, len(codes))
    if target.suffix == ".npz":
        save_arrays(target, {"images": torch.cat(batches)})
    else:
        for file in target.glob("[0-9]" * 6 + ".png"):  # of an earlier call that wrote more: these are other images
            if int(file.stem) >= len(codes) and is_ours(file):
                file.unlink()
    console.print(f"{len(codes)} images: {escape(str(target))}")


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], format: str) -> None:
    """Print a table: on the screen, or as text to be pasted."""
    from genae.reports.tables import FORMATS

    if format == "table":
        print_table(header, rows)
    else:
        print(FORMATS[format](header, rows))
