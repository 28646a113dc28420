"""The files of a reproduced table: Markdown and JSON that set it beside the paper's, and pictures."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from genae.model import Model, is_run, load
from genae.reports import figures
from genae.reports.tables import markdown
from genae.reproduction.budgets import PRECISIONS
from genae.reproduction.published import TABLES
from genae.reproduction.results import NOT_REQUESTED, Cell, Results
from genae.storage import write_atomically

SHOWN = 12
"""Images in a picture of reconstructions."""


def draw_reconstructions(path: Path, results: Results) -> None:
    """For each data set, held-out images and every row's reconstructions of them (ALAE Fig. 3), beside ``path``.

    A picture stays as it is where a row's run is gone: a new one would lack that row.
    """
    for data, runs in results.runs.items():
        picture = _picture(path, data)
        if picture.exists() and not all(is_run(run) for run, _ in runs.values()):
            continue
        images: Tensor | None = None
        rows: dict[str, Tensor] = {}
        for name, run, space in _reconstructing(results, runs):
            model = load(run)
            if not model.spaces:
                continue
            if images is None:
                images = _held_out(model)
            rows[name] = model.reconstruct(images, space)
        if images is not None:
            grid = figures.grid(
                torch.stack([images, *rows.values()]),
                ["held out", *rows],
                title=f"Reconstructions, {data}, the lowest seed of each row",
            )
            figures.save_picture(grid, picture)


def _reconstructing(results: Results, runs: Mapping[str, list[str]]) -> list[tuple[str, str, str]]:
    """Row, run and space of every different reconstruction, in the order of the table. Rows that differ in their prior
    alone give the same ones: the first stands for them."""
    first: dict[tuple[str, str], str] = {}
    for name, (run, space) in runs.items():
        first.setdefault((run, space), name)
    rows = TABLES[results.table].rows
    order = list(rows)
    shown = [(name, run, space) for (run, space), name in first.items() if rows[name][0].model and is_run(run)]
    return sorted(shown, key=lambda entry: order.index(entry[0]))


def _held_out(model: Model) -> Tensor:
    """Test images from all over the split, which is often sorted by class."""
    source = model.open_data()
    test = source.split("test")
    return source.images(test[torch.linspace(0, len(test) - 1, SHOWN).long()])


def draw_traversals(path: Path, results: Results) -> None:
    """For each data set, ways between samples in z and in codes, beside ``path``: of the first row whose prior maps
    noise to codes that are learned (ALAE Fig. 4)."""
    for data, runs in results.runs.items():
        for row, (run, _) in runs.items():
            if not is_run(run):
                continue
            model = load(run)
            mapped = [name for name, prior in model.autoencoder.priors.items() if figures.is_mapped(prior)]
            if mapped:
                ways = figures.traversal_grid(model, mapped[0], title=f"{row}, {data}: ways between samples")
                figures.save_picture(ways, _picture(path, f"{data}-paths"))
                break


def _picture(table: Path, name: str) -> Path:
    return table.with_name(f"{table.stem}-{name}.png")


def write_table(path: Path, results: Results) -> Path:
    """Write the table as JSON to ``path`` and as Markdown beside it; returns the latter's path."""
    write_atomically(path, results.to_json())
    write_atomically(path.with_suffix(".md"), to_markdown(results, path))
    return path.with_suffix(".md")


def to_markdown(results: Results, path: Path) -> str:
    """The table as Markdown, with the pictures that lie beside ``path``."""
    table = TABLES[results.table]
    rows = [
        [row, *(_cell(cells[column]) for column in table.columns if column in cells)]
        for row, cells in results.rows.items()
    ]
    protocol = f"budget {results.budget}" + ("" if results.precision == PRECISIONS[0] else f", {results.precision}")
    pictures = [
        *((f"Held-out images of {data} and what each row gives back", _picture(path, data)) for data in results.runs),
        *((f"Ways between samples, in z and in codes, {data}", _picture(path, f"{data}-paths"))
          for data in results.runs),
    ]  # fmt: skip
    smoke = "**A smoke test: the figures mean nothing; digits stand in for every data set.**\n\n"
    return (
        f"# {results.table}\n\n```\n{results.command}\n```\n\n{smoke if results.budget == 'smoke' else ''}"
        "Each cell: paper / measured; of several seeds their mean ± standard deviation (over n, not n - 1), and n.\n\n"
        + "".join(f"{note}\n\n" for note in table.notes)
        + markdown(["", *table.columns], rows)
        + "\n\n"
        + "".join(f"![{caption}]({file.name})\n\n" for caption, file in pictures if file.exists())
        + _items(_notes(results))
        + f"\nHow each row was trained ({protocol}):\n\n"
        + _items(f"{row}: {how}" for row, how in results.how.items())
        + "\nProtocol:\n\n"
        + _items(
            f"{column}: {', '.join(f'{key} {value}' for key, value in protocol.items())}"
            for column, protocol in results.protocol.items()
        )
    )


def _items(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _notes(results: Results) -> list[str]:
    """Why cells are empty, and which of their numbers should not be compared with others."""
    rows = {name: row for name, (row, _) in TABLES[results.table].rows.items() if name in results.rows}
    notes = {f"{name}: {row.quoted or row.note}" for name, row in rows.items() if row.quoted or row.note}
    notes |= {
        f"{row}, {column}: {cell['why']}"
        for row, cells in results.rows.items()
        for column, cell in cells.items()
        if cell["why"] not in (None, NOT_REQUESTED, row in rows and rows[row].quoted)
    }
    notes |= _together(results.unlike, "not comparable with the rest of its column")
    notes |= _together(results.otherwise, "not trained as the row's other seeds")
    return sorted(notes)


def _together(notes: Mapping[str, str], what: str) -> set[str]:
    """A sentence for each cell and way in which it is ``what``, for all its seeds together."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for cell, way in notes.items():
        name, _, seed = cell.partition(", seed ")
        seeds.setdefault((name, way), []).extend([int(seed)] if seed else [])
    return {
        f"{name}{', seed ' if of else ''}{', '.join(map(str, sorted(of)))}: {what}: {way}"
        for (name, way), of in seeds.items()
    }


def _cell(cell: Cell) -> str:
    paper = "-" if cell["paper"] is None else f"{cell['paper']:g}"
    measured = cell["measured"]
    if measured is None:
        return f"{paper} / -"
    several = f" ± {measured['std']:.2g} ({measured['n']})" if measured["n"] > 1 else ""
    return f"{paper} / {measured['mean']:.4g}{several}"
