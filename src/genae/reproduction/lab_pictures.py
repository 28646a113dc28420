"""The pictures beside a lab: what every stage I gives back, and what every stage II draws from each."""

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

from genae.metrics.records import CODE
from genae.model import is_run
from genae.reports import figures
from genae.reproduction.labs import LABS, OWN, fitted_name
from genae.reproduction.pictures import ACROSS, SEED, Shown, side_by_side
from genae.reproduction.published import Row
from genae.reproduction.results import Results


def lab_pictures_of(table: Path, results: Results) -> Iterator[tuple[str, Path]]:
    """Caption and file of every picture that there is beside ``table``, the JSON file."""
    files = {"Held-out images, and what each stage I gives back": _path(table, "reconstructions")}
    for row in LABS[results.table].rows:
        files[f"Samples of each stage II on the codes of {row}"] = _path(table, row)
    return ((caption, file) for caption, file in files.items() if file.exists())


def draw_lab_pictures(table: Path, results: Results) -> None:
    """Draw the rows that were trained, of their lowest seeds. A picture stays as it is where a row's run is gone."""
    lab = LABS[results.table]
    runs = results.runs.get(lab.data, {})
    shown = [Shown(name, row or Row(), *runs[name]) for name, row in lab.rows.items() if name in runs]
    here = [each for each in shown if is_run(each.run)]
    for each in here:
        if picture := _samples(each, lab.columns):
            figures.save_picture(picture, _path(table, each.name))
    given_back = _path(table, "reconstructions")
    if here and (len(here) == len(shown) or not given_back.exists()):
        figures.save_picture(_reconstructions(here, lab.data), given_back)


def _path(table: Path, name: str) -> Path:
    return table.with_name(f"{table.stem}-{name}.png")


def _reconstructions(shown: list[Shown], data: str) -> Image.Image:
    """Held-out images, and what each row makes of them."""
    images = shown[0].held_out(ACROSS)
    lines = torch.stack([images, *(row.model.reconstruct(images, CODE) for row in shown)])
    title = f"Reconstructions through the code, {data}, the lowest seed of each row"
    return side_by_side(lines, ["held out", *(row.name for row in shown)], title)


def _samples(row: Shown, columns: tuple[str, ...]) -> Image.Image | None:
    """Held-out images, and a line of samples of each stage II, all from the same seed."""
    priors = {column: row.row.prior if column == OWN else fitted_name(column) for column in columns}
    there = {column: prior for column, prior in priors.items() if prior in row.model.priors}
    if not there:
        return None
    lines = [row.held_out(ACROSS), *(row.model.sample(ACROSS, SEED, prior) for prior in there.values())]
    return side_by_side(torch.stack(lines), ["held out", *there], f"Samples, {row.name}, sampled with seed {SEED}")
