"""Reproduce a paper's table: train what is missing, measure it, and write it beside the published numbers."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TypedDict, Unpack

from genae import distributed
from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.progress import Progress, silent
from genae.reproduction.cells import Request, measure_cell, train_row
from genae.reproduction.combinations import fill_lab
from genae.reproduction.lab_pictures import draw_lab_pictures
from genae.reproduction.labs import LABS
from genae.reproduction.order import Order, Tools
from genae.reproduction.output import write_table
from genae.reproduction.pictures import draw_pictures
from genae.reproduction.published import TABLES
from genae.reproduction.results import Results, reasons


class OrderSettings(TypedDict, total=False):
    """Fields of `Order` but the table."""

    budget: str
    precision: str
    seeds: Sequence[int]
    rows: Sequence[str] | None
    columns: Sequence[str] | None
    sources: Mapping[str, str]
    data_root: str | None
    runs: Path | str
    out: Path | str
    keep_features: float


def reproduce(
    table: str,
    *,
    say: Callable[[str], None] = print,
    progress: Progress = silent,
    **settings: Unpack[OrderSettings],
) -> Path:
    """Train and measure the rows of a table, and write ``<paper>-<table>.json`` and ``.md``.

    table: a name in `TABLES` or `LABS`. settings: fields of `Order`. The files of the budgets ``smoke`` and ``gpu`` end
    in their names, and those of a training in bfloat16 in its. say: receives a line for every cell and seed, and for
    every failure; progress: what is done of a training or a measurement.

    Cells and seeds that were measured before with the same budget and precision are kept, and nothing is measured
    twice. A cell says why it, or one of its seeds, could not be measured. Pictures for each data set show the lowest
    seed of every row. Returns the Markdown file. Raises `GenaeError`.

    Under torchrun, processes share every training and measurement; process 0 alone writes the table and calls ``say``.
    """
    order = Order(table, **settings)
    distributed.start("auto")  # before the first cell: the table is begun by process 0 alone
    results = distributed.by_writer(partial(_begun, order))
    say = say if distributed.rank() == 0 else _unsaid
    open_images = lru_cache(maxsize=1)(open_data)  # many cells of a table are of the same images
    fill = fill_lab if table in LABS else _fill_table
    fill(order, results, Tools(open_images, say, progress))
    return distributed.by_writer(partial(_complete, order.path, results))


def _fill_table(order: Order, results: Results, tools: Tools) -> None:
    """Train and measure the cells of a paper's table that are asked for, and write the table after each."""
    table = TABLES[order.table]
    for name, (row, published) in table.rows.items():
        for column, paper in zip(table.columns, published, strict=True):
            if not order.wants(name, column):
                results.leave_out(name, column, paper)
                continue
            values = results.values(name, column)
            failures: dict[str, list[int]] = {}
            for seed in () if row.quoted else order.seeds:
                tools.say(f"{name}, {column}, seed {seed}")
                request = Request(
                    row.within(order.budget), column, order.budget, seed, order.sources, order.data_root,
                    Path(order.runs), order.precision, order.keep_features,
                )  # fmt: skip
                data = request.measure.data
                try:
                    how = train_row(request, tools.open_images, tools.progress)
                    if seed == min({seed, *map(int, values)}):  # whether or not it can be measured, it can be shown
                        results.runs.setdefault(data, {})[name] = [str(request.run), request.space]
                    results.note_training(name, data, seed, how)
                    measurement = measure_cell(request, tools.progress)
                except GenaeError as error:
                    failures.setdefault(str(error), []).append(seed)
                    tools.say(str(error))
                    continue
                values[str(seed)] = measurement.value
                results.note_protocol(column, f"{name}, {column}, seed {seed}", measurement.protocol)
            results.fill(name, column, paper, values, row.quoted or reasons(failures, order.seeds))
            distributed.by_writer(partial(write_table, order.path, results))  # after every cell: nothing is lost


def _begun(order: Order) -> Results:
    """After the checks, before the work."""
    order.path.parent.mkdir(parents=True, exist_ok=True)
    return Results.begin(order.path, order.table, order.budget, order.precision, order.command)


def _complete(path: Path, results: Results) -> Path:
    """The pictures, and the table that shows them."""
    draw = draw_lab_pictures if results.table in LABS else draw_pictures
    draw(path, results)
    return write_table(path, results)


def _unsaid(_: str) -> None:
    """What processes other than the first say."""
