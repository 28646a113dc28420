"""What is to be reproduced, and where: the settings of ``genae reproduce``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from genae.data.sources import ImageData
from genae.errors import GenaeError, nearest
from genae.metrics.probe import expect_seeds
from genae.progress import Progress
from genae.reproduction.budgets import BUDGETS, DATA, PRECISIONS
from genae.reproduction.cells import protocol_name
from genae.reproduction.labs import LABS, Lab
from genae.reproduction.published import TABLES, Table
from genae.settings.parser import shell_line


@dataclass(frozen=True)
class Order:
    """What is reproduced, and where: the settings of ``genae reproduce``. Raises `GenaeError` for unknown names."""

    table: str
    """A name in `TABLES` or `LABS`."""
    budget: str = "cpu"
    """A name in `BUDGETS`."""
    precision: str = PRECISIONS[0]
    """One of `PRECISIONS`: what the rows are trained in."""
    seeds: Sequence[int] = (0,)
    rows: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    """The cells to measure, by default all."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Data set of `DATA` -> folder or zip that holds it; in a lab also a row that is a run of the user's -> its
    folder."""
    data_root: str | None = None
    runs: Path | str = "runs/reproduce"
    """Folder in which runs are kept and resumed."""
    out: Path | str = "results"
    """Folder that the table is written to."""
    keep_features: float = 0.0
    """GB of disk for frozen layers' features while a head is trained (`ProbeRequest`)."""

    def __post_init__(self) -> None:
        tables: Mapping[str, Table | Lab] = {**TABLES, **LABS}
        if self.table not in tables:
            raise GenaeError(f"there is no table {self.table!r}; {nearest(self.table, tables)}")
        for what, value, values in (
            ("budget", self.budget, list(BUDGETS)),
            ("precision", self.precision, list(PRECISIONS)),
        ):
            if value not in values:
                raise GenaeError(f"{what} is {value!r}; {nearest(value, values)}")
        table = tables[self.table]
        sources = [*DATA, *(LABS[self.table].runs_of_the_user if self.table in LABS else ())]
        for what, wanted, names in (
            ("row", self.rows, list(table.rows)),
            ("column", self.columns, list(table.columns)),
            ("data set", self.sources, sources),
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


class Tools(NamedTuple):
    """What an order is carried out with."""

    open_images: Callable[..., ImageData]
    """`open_data`, or a version of it that remembers."""
    say: Callable[[str], None]
    """Receives a line for every cell and seed, and for every failure."""
    progress: Progress
    """What is done of a training or a measurement."""
