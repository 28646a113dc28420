"""Reproduce a paper's table: train what is missing, measure it, and write it beside the published numbers."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from genae.data.sources import open_data
from genae.errors import GenaeError, nearest
from genae.metrics.probe import expect_seeds
from genae.reproduction.budgets import BUDGETS, DATA
from genae.reproduction.cells import Request, measure_cell
from genae.reproduction.columns import measure_of
from genae.reproduction.output import draw_reconstructions, draw_traversals, write_table
from genae.reproduction.published import TABLES
from genae.reproduction.results import Results, reasons

RUNS, OUT = "runs/reproduce", "results"


def reproduce(
    table: str,
    *,
    budget: str = "cpu",
    seeds: Sequence[int] = (0,),
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
    data_root: str | None = None,
    runs: Path | str = RUNS,
    out: Path | str = OUT,
    say: Callable[[str], None] = print,
) -> Path:
    """Train and measure the rows of a table, and write ``<paper>-<table>.json`` and ``.md`` into ``out``.

    table: a name in `TABLES`. budget: a name in `BUDGETS`; with ``smoke`` the files end in ``-smoke``. rows, columns:
    the cells to measure, by default all. sources: data set of `DATA` -> folder or zip that holds it. runs: folder in
    which runs are kept and resumed. say: receives a line for every cell and seed, and for every failure.

    Cells and seeds that were measured before with the same budget are kept, and nothing is measured twice. A cell says
    why it, or one of its seeds, could not be measured. One picture for each data set shows reconstructions by the
    lowest seed of every row. Returns the Markdown file. Raises `GenaeError`.
    """
    sources = sources or {}
    _check(table, budget, rows, columns, sources)
    expect_seeds(seeds)
    Path(out).mkdir(parents=True, exist_ok=True)  # after the checks, before the work
    path = Path(out) / f"{table.replace('/', '-')}{'-smoke' if budget == 'smoke' else ''}.json"
    command = _command_line(table, [
        ("budget", budget, None), ("seeds", seeds, [0]), ("rows", rows, None), ("columns", columns, None),
        *(("data", f"{name}={source}", None) for name, source in sources.items()),
        ("data-root", data_root, None), ("runs", str(runs), RUNS), ("out", str(out), OUT),
    ])  # fmt: skip
    results = Results.begin(path, table, budget, command)
    open_images = lru_cache(maxsize=1)(open_data)  # many cells of a table are of the same images
    for name, (row, published) in TABLES[table].rows.items():
        for column, paper in zip(TABLES[table].columns, published, strict=True):
            if (rows is not None and name not in rows) or (columns is not None and column not in columns):
                results.leave_out(name, column, paper)
                continue
            values = results.values(name, column)
            failures: dict[str, list[int]] = {}
            for seed in seeds:
                say(f"{name}, {column}, seed {seed}")
                request = Request(row.within(budget), column, budget, seed, sources, data_root, Path(runs))
                try:
                    measurement = measure_cell(request, open_images)
                except GenaeError as error:
                    failures.setdefault(str(error), []).append(seed)
                    say(str(error))
                    continue
                values[str(seed)] = measurement.value
                data = measure_of(column).data
                results.note_training(name, data, seed, measurement.how)
                results.note_protocol(column, f"{name}, {column}, seed {seed}", measurement.protocol)
                if seed == min(map(int, values)):
                    results.runs.setdefault(data, {})[name] = [str(measurement.run), measurement.space]
            results.fill(name, column, paper, values, reasons(failures, seeds))
            write_table(path, results)  # after every cell: nothing is lost
    draw_reconstructions(path, results)
    draw_traversals(path, results)
    return write_table(path, results)


def _check(
    table: str,
    budget: str,
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
    sources: Mapping[str, str],
) -> None:
    """Raise `GenaeError` for a name that does not exist."""
    if table not in TABLES:
        raise GenaeError(f"there is no table {table!r}; {nearest(table, TABLES)}")
    if budget not in BUDGETS:
        raise GenaeError(f"budget is {budget!r}; {nearest(budget, BUDGETS)}")
    for names, allowed, what in (
        (rows, TABLES[table].rows, "row"),
        (columns, TABLES[table].columns, "column"),
        (sources, DATA, "data set"),
    ):
        for name in names or ():
            if name not in allowed:
                raise GenaeError(f"{table} has no {what} {name!r}; {nearest(name, allowed)}")


def _command_line(table: str, flags: Sequence[tuple[str, Sequence[object] | str | None, object]]) -> str:
    """The command that does the same: name, value and default of every flag."""
    words = ["genae", "reproduce", table]
    for name, value, default in flags:
        if value is None or value == default or list(value) == default:
            continue
        words += [f"--{name}", value if isinstance(value, str) else ",".join(map(str, value))]
    return shlex.join(words)
