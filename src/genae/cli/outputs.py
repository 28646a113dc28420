"""What commands write: pictures, tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from genae.cli.screen import console, print_table

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from genae.model import Model
    from genae.operations import Operation, Session
    from genae.progress import Progress
    from genae.rows import Rows


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


def save_images(
    model: "Model",
    codes: "Rows",
    space: str,
    target: Path,
    progress: "Progress",
    classes: Sequence[str] = (),
    known: Sequence[str] = (),
) -> None:
    """Decode codes and write the images as they come: as single pictures in a folder, or as one ``.npz`` or ``.npy``.

    ``classes`` names that of each image: its label in an array; where there are several, the folder of its picture.
    Numbered pictures of an earlier call do not stay among them, nor in the folders of other classes, which ``known``
    names. Raises `GenaeError` where an array would not fit on the disk.
    """
    from genae.rows import Stream, in_parts
    from genae.storage import save_arrays

    def decoded() -> "Iterator[Tensor]":
        done = 0
        for part in in_parts(codes, model.batch):
            yield model.decode(part, space)
            done += len(part)
            progress("images decoded", done, len(codes))

    if target.suffix in (".npz", ".npy"):
        labels = {"labels": classes} if classes else {}
        save_arrays(target, {"images": Stream((len(codes), *model.image_shape), decoded())}, **labels)
    else:
        _save_pictures(decoded(), target, classes if len(set(classes)) > 1 else (), known)
    console.print(f"{len(codes)} images: {escape(str(target))}")


def _save_pictures(
    decoded: "Iterator[Tensor]", target: Path, folders: Sequence[str], of_earlier: Sequence[str]
) -> None:
    """Numbered pictures in a folder, or in the one inside it that ``folders`` names for each; none stay of an earlier
    call in the folder, or in those inside it that ``of_earlier`` names."""
    from genae.reports.figures import save_picture, to_picture
    from genae.storage import is_file_name, is_ours

    written: set[Path] = set()
    for images in decoded:
        for image in images:
            number = len(written)
            file = target / (folders[number] if folders else "") / f"{number:06d}.png"
            save_picture(to_picture(image), file)
            written.add(file)
    numbered = "[0-9]" * 6 + ".png"
    inside = [target / name for name in of_earlier if is_file_name(name) and Path(name).name == name]
    for folder in (target, *inside):
        for file in {*folder.glob(numbered)} - written:
            if is_ours(file):  # of an earlier call that wrote more, or other classes: these are other images
                file.unlink()


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]], format: str) -> None:
    """Print a table: on the screen, or as text to be pasted."""
    from genae.reports.tables import FORMATS

    if format == "table":
        print_table(header, rows)
    else:
        print(FORMATS[format](header, rows))
