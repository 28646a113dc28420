"""The codes of the run's data in two dimensions."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image
from torch import Tensor

from genae.data.sources import SPLITS
from genae.errors import GenaeError, nearest
from genae.operations.atlas import METHODS, Atlas
from genae.operations.operation import Answer, Operation, expect_between
from genae.operations.session import Session

COLOURS = ("label", "error")
CLASS_COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
)  # fmt: skip
"""Of the first ten classes by their numbers, then again from the start: in the figure and on the page."""
MOST_DOTS = 5000
"""Images on the map of a request."""


@dataclass(frozen=True)
class Map(Operation):
    """The codes of up to ``count`` images of a split, as dots coloured by label or by reconstruction error."""

    reads_data: ClassVar[bool] = True

    split: str = "test"
    count: int = 1000
    method: str = METHODS[0]
    colour: str = COLOURS[0]

    def __post_init__(self) -> None:
        expect_between("count", self.count, 3)
        choices = (
            ("split", self.split, (*SPLITS, "all")),
            ("method", self.method, METHODS),
            ("colour", self.colour, COLOURS),
        )
        for name, value, values in choices:
            if value not in values:
                raise GenaeError(f"{name} is {value!r}; {nearest(value, values)}")

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """Of every dot its place, number in the data, label and error; and the colour of every class that occurs."""
        atlas, names = self.atlas(session), session.data.classes
        labels = [] if atlas.labels is None else atlas.labels.tolist()
        numbers = {
            "x": atlas.places[:, 0].tolist(), "y": atlas.places[:, 1].tolist(),
            "labels": [names[label] for label in labels] or None,
            "classes": [{"name": names[label], "colour": class_colour(label)} for label in sorted(set(labels))],
            "errors": atlas.errors.tolist(), "images": atlas.indices.tolist(),
        }  # fmt: skip
        return Answer(numbers=numbers, codes=atlas.codes)

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae map`'s."""
        return map_picture(self.atlas(session), session.data.classes, self.colour)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["map", *self.flags()]

    def limit(self, most: int) -> None:
        """Of dots, which are smaller than images."""
        expect_between("count", self.count, 3, MOST_DOTS)

    def is_ready(self, session: Session) -> bool:
        """Whether the map is drawn already."""
        return session.has_atlas(self.split, self.count, self.method)

    def atlas(self, session: Session) -> Atlas:
        """The codes and their places."""
        return session.atlas(self.split, self.count, self.method)

    def arrays(self, session: Session, pictures: Tensor | None = None) -> dict[str, Tensor]:
        """``codes``, ``places`` and ``indices`` of the dots, as a file holds them."""
        atlas = self.atlas(session)
        return {"codes": atlas.codes, "places": atlas.places, "indices": atlas.indices}


def class_colour(number: int) -> str:
    """The colour of a class on every map, as ``#rrggbb``."""
    return CLASS_COLOURS[number % len(CLASS_COLOURS)]


def map_picture(atlas: Atlas, classes: Sequence[str], colour: str = "label") -> Image.Image:
    """The map, coloured by ``label`` or by reconstruction ``error``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), dpi=110, layout="constrained")
    axes = figure.subplots()
    x, y = atlas.places.T.numpy()
    if colour == "error" or atlas.labels is None:
        dots = axes.scatter(x, y, s=9, c=atlas.errors.numpy(), cmap="viridis")
        figure.colorbar(dots, label="MSE of the reconstruction")
    else:
        for number, name in enumerate(classes):
            here = (atlas.labels == number).numpy()
            if here.any():
                axes.scatter(x[here], y[here], s=9, label=name, alpha=0.8, color=class_colour(number))
        axes.legend(markerscale=2, fontsize=8, ncols=2)
    axes.set_title(f"Codes of {len(atlas.places)} images")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    picture = Image.open(buffer)
    picture.load()
    return picture
