"""The pictures beside a reproduced table: every row on the same images, from the same seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genae.data.sources import ImageData
from genae.model import Model, is_run
from genae.reports import figures
from genae.reports.course import course_of
from genae.reports.curves import Comparison, compare_courses
from genae.reproduction.lookup import trained_model
from genae.reproduction.milestones import distances
from genae.reproduction.published import CURVES, INTERPOLATIONS, PATHS, RECONSTRUCTIONS, SAMPLES, TABLES, Row
from genae.reproduction.results import Results
from genae.training.checkpoint import RunFolder

ACROSS = 12
"""Images in a line of a picture."""
SAMPLE_LINES = 2
"""Lines of samples of each row."""
PAIRS = 2
"""Of images between which each row interpolates."""
STEPS = 10
SIDE = 128
"""Pixels; larger images are reduced, since a picture has dozens of them."""
SEED = 0
"""Of samples."""


@dataclass(frozen=True)
class Shown:
    """A row of a picture."""

    name: str
    row: Row
    """As it was trained."""
    run: str
    space: str
    """What its reconstructions pass through."""

    @cached_property
    def model(self) -> Model:
        """Its trained model."""
        return trained_model(self.row, self.run)

    @cached_property
    def data(self) -> ImageData:
        """What it was trained on."""
        return self.model.open_data()

    def held_out(self, count: int) -> Tensor:
        """Test images from all over the split, which is often sorted by class."""
        test = self.data.split("test")
        return self.data.images(test[torch.linspace(0, len(test) - 1, count).long()])


def picture_path(table: Path, data: str, kind: str) -> Path:
    """The file of a picture, beside the table's."""
    return table.with_name(f"{table.stem}-{data}{ENDINGS[kind]}.png")


def pictures_of(table: Path, results: Results) -> Iterator[tuple[str, Path]]:
    """Caption and file of every picture that there is, for each data set."""
    for data in results.runs:
        for kind in TABLES[results.table].pictures:
            if (file := picture_path(table, data, kind)).exists():
                yield CAPTIONS[kind].format(data=data), file


def draw_pictures(table: Path, results: Results) -> None:
    """Draw what the table has, for each data set, beside ``table``, its JSON file.

    Rows are their lowest seeds. A picture stays as it is where a row's run is gone: a new one would lack that row.
    """
    for data, runs in results.runs.items():
        here = all(is_run(run) for run, _ in runs.values())
        shown = _shown(results, runs)
        for kind in TABLES[results.table].pictures:
            file = picture_path(table, data, kind)
            if (here or not file.exists()) and (picture := DRAWN[kind](shown, data)):
                figures.save_picture(picture, file)


def _shown(results: Results, runs: Mapping[str, list[str]]) -> list[Shown]:
    """The rows whose runs are there, in the order of the table."""
    return [
        Shown(name, row.within(results.budget), *runs[name])
        for name, (row, _) in TABLES[results.table].rows.items()
        if name in runs and row.model and is_run(runs[name][0])
    ]


def _different(shown: list[Shown], of: Callable[[Shown], str]) -> list[Shown]:
    """The first of those rows whose run and ``of`` are the same: they would look alike."""
    first: dict[tuple[str, str], Shown] = {}
    for each in shown:
        first.setdefault((each.run, of(each)), each)
    return list(first.values())


def side_by_side(lines: Tensor, labels: Sequence[str], title: str) -> Image.Image:
    """Lines of images [R, K, C, H, W], reduced to at most about `SIDE` pixels."""
    factor = max(1, round(max(lines.shape[-2:]) / SIDE))
    return figures.grid(F.avg_pool2d(lines.flatten(0, 1), factor).unflatten(0, lines.shape[:2]), labels, title=title)


def _reconstructions(shown: list[Shown], data: str) -> Image.Image | None:
    """Held-out images, and every row's reconstructions of them (ALAE Fig. 3, SWAE Fig. 5)."""
    rows = [each for each in _different(shown, lambda row: row.space) if each.model.spaces]
    if not rows:
        return None
    images = rows[0].held_out(ACROSS)
    lines = torch.stack([images, *(row.model.reconstruct(images, row.space) for row in rows)])
    title = f"Reconstructions, {data}, the lowest seed of each row"
    return side_by_side(lines, ["held out", *(row.name for row in rows)], title)


def _samples(shown: list[Shown], data: str) -> Image.Image | None:
    """Samples of every row, from the same seed (SWAE Fig. 5, AAAE Fig. 2 and 10)."""
    rows = [each for each in _different(shown, lambda row: row.row.prior) if each.row.prior in each.model.priors]
    if not rows:
        return None
    count = SAMPLE_LINES * ACROSS
    images = [rows[0].held_out(count), *(row.model.sample(count, SEED, row.row.prior) for row in rows)]
    labels = [
        label for name in ("held out", *(row.name for row in rows)) for label in (name, *[""] * (SAMPLE_LINES - 1))
    ]
    lines = torch.cat([each.unflatten(0, (SAMPLE_LINES, ACROSS)) for each in images])
    return side_by_side(lines, labels, f"Samples, {data}, the lowest seed of each row, sampled with seed {SEED}")


def _interpolations(shown: list[Shown], data: str) -> Image.Image | None:
    """Straight ways between the same held-out images, in the space of every row (SWAE Fig. 7 and 10)."""
    rows = [each for each in _different(shown, lambda row: row.space) if each.model.spaces]
    if not rows:
        return None
    a, b = rows[0].held_out(2 * PAIRS).chunk(2)
    lines = [
        torch.cat([a[:, None], row.model.interpolate(a, b, STEPS, row.space), b[:, None]], 1) for row in rows
    ]  # fmt: skip
    labels = [label for row in rows for label in (row.name, *[""] * (PAIRS - 1))]
    return side_by_side(
        torch.cat(lines), labels, f"Interpolations, {data}; the outer columns are the images themselves"
    )


def _paths(shown: list[Shown], data: str) -> Image.Image | None:
    """Ways between samples in z and in codes, of the first row whose prior maps noise to codes that are learned (ALAE
    Fig. 4)."""
    for row in shown:
        mapped = [name for name, prior in row.model.autoencoder.priors.items() if figures.is_mapped(prior)]
        if mapped:
            return figures.traversal_grid(row.model, mapped[0], title=f"{row.name}, {data}: ways between samples")
    return None


def _curves(shown: list[Shown], data: str) -> Image.Image | None:
    """What was measured during training (SWAE Fig. 4)."""
    courses = {
        each.name: Comparison(course_of(RunFolder(each.run)).log, dict(distances(Path(each.run))))
        for each in _different(shown, lambda row: "")
    }
    return compare_courses(courses, data) if any(course.log for course in courses.values()) else None


ENDINGS = {
    RECONSTRUCTIONS: "", SAMPLES: "-samples", INTERPOLATIONS: "-interpolations", PATHS: "-paths", CURVES: "-curves",
}  # fmt: skip
"""Kind of picture -> how the name of its file ends."""
CAPTIONS = {
    RECONSTRUCTIONS: "Held-out images of {data} and what each row gives back",
    SAMPLES: "Samples of each row, {data}",
    INTERPOLATIONS: "Between held-out images of {data}, each row",
    PATHS: "Ways between samples, in z and in codes, {data}",
    CURVES: "During training, {data}",
}
DRAWN: dict[str, Callable[[list[Shown], str], Image.Image | None]] = {
    RECONSTRUCTIONS: _reconstructions, SAMPLES: _samples, INTERPOLATIONS: _interpolations, PATHS: _paths,
    CURVES: _curves,
}  # fmt: skip
"""Kind of picture -> what draws it; None where there is nothing to draw."""
