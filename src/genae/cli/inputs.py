"""What commands read: runs, and images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genae.cli.arguments import settings_of
from genae.cli.screen import note
from genae.errors import GenaeError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from genae.data.sources import ImageData
    from genae.model import Model
    from genae.operations import Session


def load_run(run: str, checkpoint: str | None = None, solver_steps: int | None = None) -> "Model":
    """The model of RUN, whose flows solve their equations in so many steps."""
    from genae.model import load

    model = load(run, checkpoint=checkpoint)
    if outdated := model.outdated_priors():
        note(f"fitted to other weights of this run, and left out: {', '.join(outdated)}; fit them again")
    if solver_steps is not None:
        model.solve_in(solver_steps)
    return model


def open_source(source: str, arguments: Sequence[str]) -> "ImageData":
    """Open a source with the flags that are arguments of `open_data`."""
    from genae.data.sources import open_data

    return open_data(source, **source_options("genae data", source, arguments))


def source_options(command: str, source: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The flags that are arguments of `open_data`, as its arguments; any other is refused."""
    from genae.settings.parser import parse_settings
    from genae.training.config import Config, run_settings

    allowed = Config(model="", data=source).data_options()
    settings = settings_of(arguments)
    flags = [key.replace("_", "-") for key in allowed]
    for flag in (key.replace("_", "-") for key in settings):
        if flag not in flags:
            raise GenaeError(f"there is no flag --{flag}; {nearest(flag, flags)}")
    options = parse_settings(command, settings, run_settings())
    return Config(model="", data=source, **options).data_options()


def default_split(model: "Model", data: str | None, own: str = "test") -> str:
    """The split ``own`` of the run's own data; all of others."""
    return own if data is None or data == model.config.data else "all"


def images_of(
    model: "Model", data: str | None, data_root: str | None, split: str | None, skip_bad: bool
) -> "tuple[ImageData, Tensor]":
    """The data of a command, and the numbers of its images in the split that is asked for."""
    source = model.open_data(data, data_root, skip_bad=skip_bad or None)
    if data is not None:
        note_conversions(source)
    return source, source.split(split or default_split(model, data))


def know_set(session: "Session", name: str, data_root: str | None, skip_bad: bool) -> None:
    """Let a session know a set of images by its name: a class or attribute of the run's data, or else another source.

    Raises `GenaeError` for what is neither.
    """
    from genae.data.names import NAMES

    if name not in session.sets and (name in NAMES or Path(name).expanduser().exists()):
        source = session.model.open_data(name, data_root, skip_bad=skip_bad or None)
        note_conversions(source)
        session.sets.add(name, source)
    session.sets[name]  # refuses what is unknown


def note_conversions(source: "ImageData") -> None:
    """Say how somebody's images were brought to what the model takes."""
    for conversion in source.conversions:
        note(f"{source.name}: {conversion}")


def shown(source: "ImageData", indices: "Tensor", count: int) -> "Tensor":
    """Of the images ``indices``, up to ``count`` to show: a fixed random choice across classes, in their own order."""
    from genae.data.sampler import across_classes

    labels = None if source.labels is None else source.labels[indices]
    return across_classes(indices, labels)[:count].sort().values


def some(source: "ImageData", indices: "Tensor", count: int) -> "Tensor":
    """``count`` of the indices for a figure: a fixed random choice across classes; all in their order if there are no
    more, so that the pictures of the explorer keep theirs."""
    from genae.data.sampler import across_classes

    if len(indices) <= count:
        return indices
    return across_classes(indices, None if source.labels is None else source.labels[indices])[:count]
