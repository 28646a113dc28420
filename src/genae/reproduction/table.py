"""Reproduce a paper's table: train what is missing, measure it, and write it beside the published numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import TypedDict, Unpack

from genae import distributed
from genae.data.sources import open_data
from genae.errors import GenaeError, nearest
from genae.metrics.probe import expect_seeds
from genae.progress import Progress, silent
from genae.reproduction.budgets import BUDGETS, DATA, PRECISIONS
from genae.reproduction.cells import Request, measure_cell, protocol_name, train_row
from genae.reproduction.output import write_table
from genae.reproduction.pictures import draw_pictures
from genae.reproduction.published import TABLES
from genae.reproduction.results import Results, reasons
from genae.settings.parser import shell_line


@dataclass(frozen=True)
class Order:
    """What is reproduced, and where: the settings of ``genae reproduce``. Raises `GenaeError` for unknown names."""

    table: str
    """A name in `TABLES`."""
    budget: str = "cpu"
    """A name in `BUDGETS`."""
    precision: str = PRECISIONS[0]
    """One of `PRECISIONS`: what the rows are trained in."""
    seeds: Sequence[int] = (0,)
    rows: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    """The cells to measure, by default all."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Data set of `DATA` -> folder or zip that holds it."""
    data_root: str | None = None
    runs: Path | str = "runs/reproduce"
    """Folder in which runs are kept and resumed."""
    out: Path | str = "results"
    """Folder that the table is written to."""
    keep_features: float = 0.0
    """GB of disk for frozen layers' features while a head is trained (`ProbeRequest`)."""

    def __post_init__(self) -> None:
        if self.table not in TABLES:
            raise GenaeError(f"there is no table {self.table!r}; {nearest(self.table, TABLES)}")
        for what, value, values in (
            ("budget", self.budget, list(BUDGETS)),
            ("precision", self.precision, list(PRECISIONS)),
        ):
            if value not in values:
                raise GenaeError(f"{what} is {value!r}; {nearest(value, values)}")
        table = TABLES[self.table]
        for what, wanted, names in (
            ("row", self.rows, list(table.rows)),
            ("column", self.columns, list(table.columns)),
            ("data set", self.sources, list(DATA)),
        ):
            for name in wanted or ():
                if name not in names:
                    raise GenaeError(f"{self.table} has no {what} {name!r}; {nearest(name, names)}")
        expect_seeds(self.seeds)

    @property
    def path(self) -> Path:
        """The JSON file of the table. Each budget and precision has its own; that of the budget ``cpu`` has the name
        of the table alone."""
        protocol = protocol_name(self.budget, self.precision)
        return Path(self.out) / f"{self.table.replace('/', '-')}{'' if protocol == 'cpu' else f'-{protocol}'}.json"

    @property
    def command(self) -> str:
        """The command that does the same: what is not left as it is by default."""
        words = ["genae", "reproduce", self.table]
        for default in fields(self)[1:]:
            value = getattr(self, default.name)
            value = str(value) if isinstance(value, Path) else value
            if isinstance(value, Mapping):
                words += [word for name, source in value.items() for word in ("--data", f"{name}={source}")]
            elif value is not None and (default.name == "budget" or not _alike(value, default.default)):
                flag = f"--{default.name.replace('_', '-')}"
                words += [flag, str(value) if isinstance(value, str | float) else ",".join(map(str, value))]
        return shell_line(words)

    def wants(self, row: str, column: str) -> bool:
        """Whether a cell is to be measured."""
        return (self.rows is None or row in self.rows) and (self.columns is None or column in self.columns)


def _alike(value: object, default: object) -> bool:
    """Whether a flag may be left out. Paths may be text, and tuples lists."""
    return list(value) == [*default] if isinstance(value, Sequence) and isinstance(default, tuple) else value == default


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

    table: a name in `TABLES`. settings: fields of `Order`. The files of the budgets ``smoke`` and ``gpu`` end in their
    names, and those of a training in bfloat16 in its. say: receives a line for every cell and seed, and for every
    failure; progress: what is done of a training or a measurement.

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
    for name, (row, published) in TABLES[table].rows.items():
        for column, paper in zip(TABLES[table].columns, published, strict=True):
            if not order.wants(name, column):
                results.leave_out(name, column, paper)
                continue
            values = results.values(name, column)
            failures: dict[str, list[int]] = {}
            for seed in () if row.quoted else order.seeds:
                say(f"{name}, {column}, seed {seed}")
                request = Request(
                    row.within(order.budget), column, order.budget, seed, order.sources, order.data_root,
                    Path(order.runs), order.precision, order.keep_features,
                )  # fmt: skip
                data = request.measure.data
                try:
                    how = train_row(request, open_images, progress)
                    if seed == min({seed, *map(int, values)}):  # whether or not it can be measured, it can be shown
                        results.runs.setdefault(data, {})[name] = [str(request.run), request.space]
                    results.note_training(name, data, seed, how)
                    measurement = measure_cell(request, progress)
                except GenaeError as error:
                    failures.setdefault(str(error), []).append(seed)
                    say(str(error))
                    continue
                values[str(seed)] = measurement.value
                results.note_protocol(column, f"{name}, {column}, seed {seed}", measurement.protocol)
            results.fill(name, column, paper, values, row.quoted or reasons(failures, order.seeds))
            distributed.by_writer(partial(write_table, order.path, results))  # after every cell: nothing is lost
    return distributed.by_writer(partial(_complete, order.path, results))


def _begun(order: Order) -> Results:
    """After the checks, before the work."""
    order.path.parent.mkdir(parents=True, exist_ok=True)
    return Results.begin(order.path, order.table, order.budget, order.precision, order.command)


def _complete(path: Path, results: Results) -> Path:
    """The pictures, and the table that shows them."""
    draw_pictures(path, results)
    return write_table(path, results)


def _unsaid(_: str) -> None:
    """What processes other than the first say."""
