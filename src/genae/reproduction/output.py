"""The files of a reproduced table: Markdown and JSON that set it beside the paper's. And those of a lab."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from genae.reports.tables import markdown
from genae.reproduction.budgets import PRECISIONS
from genae.reproduction.lab_pictures import lab_pictures_of
from genae.reproduction.labs import FIGURES, LABS, Lab
from genae.reproduction.pictures import pictures_of
from genae.reproduction.published import TABLES, Table
from genae.reproduction.results import NOT_REQUESTED, Cell, Results
from genae.storage import write_atomically

NEVER: Cell = {"paper": None, "measured": None, "why": NOT_REQUESTED}
"""A cell that a table has got since its file was written."""


def write_table(path: Path, results: Results) -> Path:
    """Write the table as JSON to ``path`` and as Markdown beside it; returns the latter's path."""
    write_atomically(path, results.to_json())
    write_atomically(path.with_suffix(".md"), to_markdown(results, path))
    return path.with_suffix(".md")


def to_markdown(results: Results, path: Path) -> str:
    """The table as Markdown, with the pictures that lie beside ``path``."""
    table = LABS.get(results.table) or TABLES[results.table]
    if isinstance(table, Lab):
        begin, trained = "Each cell:", "How each row was trained, and each column fitted"
        cells, pictures = _figures(table, results), lab_pictures_of(path, results)
    else:
        begin, trained = "Each cell: paper / measured;", "How each row was trained"
        cells, pictures = _beside_the_paper(table, results), pictures_of(path, results)
    protocol = f"budget {results.budget}" + ("" if results.precision == PRECISIONS[0] else f", {results.precision}")
    smoke = "**A smoke test: the figures mean nothing; digits stand in for every data set.**\n\n"
    caution = smoke if results.budget == "smoke" else ""
    return (
        f"# {results.table}\n\n{table.title}\n\n```\n{results.command}\n```\n\n{caution}"
        f"{begin} of several seeds their mean ± standard deviation (over n, not n - 1), and n.\n\n"
        + "".join(f"{note}\n\n" for note in table.notes)
        + cells
        + "\n\n"
        + "".join(f"![{caption}]({file.name})\n\n" for caption, file in pictures)
        + _items(_notes(results))
        + f"\n{trained} ({protocol}):\n\n"
        + _items(f"{row}: {how}" for row, how in results.how.items())
        + "\nProtocol:\n\n"
        + _items(
            f"{column}: {', '.join(f'{key} {value}' for key, value in protocol.items())}"
            for column, protocol in results.protocol.items()
        )
    )


def _beside_the_paper(table: Table, results: Results) -> str:
    rows = [
        [row, *(_cell(cells[column]) for column in table.columns if column in cells)]
        for row, cells in results.rows.items()
    ]
    return markdown(["", *table.columns], rows)


def _figures(lab: Lab, results: Results) -> str:
    """A table for each figure, of the rows and columns that were ever asked for."""
    asked = {
        row: [column for column in lab.columns if cells.get(lab.key(column, "fd"), NEVER)["why"] != NOT_REQUESTED]
        for row, cells in results.rows.items()
    }
    columns = [column for column in lab.columns if any(column in others for others in asked.values())]
    tables = []
    for figure, says in FIGURES.items():
        lines = [
            [row, *(_measured(results.rows[row].get(lab.key(column, figure), NEVER)) for column in columns)]
            for row in lab.rows
            if asked.get(row)
        ]
        tables.append(f"**{figure}**: {says}\n\n{markdown(['', *columns], lines)}")
    return "\n\n".join(tables)


def _items(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _notes(results: Results) -> list[str]:
    """Why cells are empty, and which of their numbers should not be compared with others."""
    of_paper = TABLES[results.table].rows if results.table in TABLES else {}
    rows = {name: row for name, (row, _) in of_paper.items() if name in results.rows}
    notes = {f"{name}: {row.quoted or row.note}" for name, row in rows.items() if row.quoted or row.note}
    notes |= {
        f"{row}, {column.rpartition(' of ')[2]}: {cell['why']}"
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
    return f"{paper} / {_measured(cell)}"


def _measured(cell: Cell) -> str:
    measured = cell["measured"]
    if measured is None:
        return "-"
    several = f" ± {measured['std']:.2g} ({measured['n']})" if measured["n"] > 1 else ""
    return f"{measured['mean']:{',.0f' if measured['mean'] >= 10_000 else '.4g'}}{several}"
