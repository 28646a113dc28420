"""What commands write: pictures, tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from genae.cli.screen import console, print_table

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from genae.operations import Operation, Session


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


def save_images(images: "Tensor", target: Path) -> None:
    """Write images as single pictures in a folder, or as one ``.npz``."""
    from genae.reports.figures import save_picture, to_picture
    from genae.storage import save_arrays

    if target.suffix == ".npz":
        save_arrays(target, {"images": images})
    else:
        for number, image in enumerate(images):
            save_picture(to_picture(image), target / f"{number:06d}.png")
    console.print(f"{len(images)} images: {escape(str(target))}")


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], format: str) -> None:
    """Print a table: on the screen, or as text to be pasted."""
    from genae.reports.tables import FORMATS

    if format == "table":
        print_table(header, rows)
    else:
        print(FORMATS[format](header, rows))
