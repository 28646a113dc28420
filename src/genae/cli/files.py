"""What commands read and write: runs, images, pictures, tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from genae.cli.arguments import settings_of
from genae.cli.screen import console, print_table
from genae.errors import GenaeError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from genae.data.sources import ImageData
    from genae.model import Model


def load_run(run: str) -> "Model":
    """The model of RUN."""
    from genae.model import load

    return load(run)


def open_source(source: str, arguments: Sequence[str]) -> "ImageData":
    """Open a source with the flags that are arguments of `open_data`."""
    from genae.data.sources import open_data
    from genae.settings.parser import parse_settings
    from genae.training.config import Config, run_settings

    known = Config(model="", data=source).data_options()
    settings = settings_of(arguments)
    for key in settings:
        if key not in known:
            raise GenaeError(f"there is no flag --{key.replace('_', '-')}; {nearest(key, known)}")
    options = parse_settings("genae data", settings, run_settings())
    return open_data(source, **Config(model="", data=source, **options).data_options())


def default_split(model: "Model", data: str | None, own: str = "test") -> str:
    """The split ``own`` of the run's own data; all of others."""
    return own if data is None or data == model.config.data else "all"


def images_of(
    model: "Model", data: str | None, data_root: str | None, split: str | None, skip_bad: bool
) -> "tuple[ImageData, Tensor]":
    """The data of a command, and the numbers of its images in the split that is asked for."""
    source = model.open_data(data, data_root, skip_bad=skip_bad or None)
    return source, source.split(split or default_split(model, data))


def draw_operation(
    run: str, model: "Model", operation: str, images: "Tensor | None", settings: Mapping[str, Any], out: str
) -> None:
    """Write the figure of an operation, or its animation, as the explorer would."""
    import torch

    from genae.operations.render import Renderer
    from genae.reports.figures import save_animation

    renderer = Renderer(model, run)
    pictures = torch.zeros(0, *model.image_shape) if images is None else images
    if Path(out).suffix == ".gif":
        save_animation(renderer.frames(pictures, settings), Path(out))
        console.print(escape(out))
    else:
        save_figure(renderer.figure(operation, pictures, settings), out)


def save_figure(picture: Any, out: str) -> None:
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
