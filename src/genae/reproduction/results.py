"""A table so far: its cells, and how they were trained and measured, as they are kept in JSON."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NotRequired, TypedDict

from genae.errors import GenaeError
from genae.metrics.records import differences
from genae.reproduction.budgets import PRECISIONS
from genae.reproduction.columns import measure_of

NOT_REQUESTED = "not asked for"


class Summary(TypedDict):
    """The values of several seeds."""

    mean: float
    std: float
    """With the divisor n."""
    n: int


class Cell(TypedDict):
    """One row and column."""

    paper: float | None
    """The published number; None where the paper gives none."""
    measured: Summary | None
    values: NotRequired[dict[str, float]]
    """Seed -> value; absent where nobody has asked for the cell."""
    why: str | None
    """Why it, or a seed of it, is not measured."""


@dataclass
class Results:
    """A table of `TABLES` with what was measured of it. The fields are the keys of the JSON file, in its order."""

    table: str
    budget: str
    command: str = ""
    """Every command that measured something of it, one a line."""
    precision: str = PRECISIONS[0]
    """What the rows were trained in."""
    protocol: dict[str, dict[str, object]] = field(default_factory=dict)
    """Column -> how it was measured."""
    unlike: dict[str, str] = field(default_factory=dict)
    """``ROW, COLUMN, seed SEED`` -> in what its protocol differs from the column's."""
    how: dict[str, str] = field(default_factory=dict)
    """``ROW, DATA`` -> how the row was trained there."""
    otherwise: dict[str, str] = field(default_factory=dict)
    """``ROW, DATA, seed SEED`` -> how this seed was trained, where that differs from the row's other seeds."""
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)
    """Row -> column -> cell."""
    runs: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Data set -> row -> folder of its lowest seed's run, and what its reconstructions pass through."""

    @classmethod
    def begin(cls, path: Path, table: str, budget: str, precision: str, command: str) -> "Results":
        """What ``path`` holds, with one more command; an empty table where there is no such file.

        Raises `GenaeError` where it holds something else, or a table of another budget or precision.
        """
        try:
            stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
            results = cls(table, budget, precision=precision) if stored is None else cls(**stored)
        except (ValueError, TypeError, AttributeError):
            raise GenaeError(f"{path} is not a table that genae wrote; move it away, or choose another --out") from None
        for name, wanted in (("table", table), ("budget", budget), ("precision", precision)):
            if (there := getattr(results, name)) != wanted:
                raise GenaeError(
                    f"{path} holds a table of {name} {there}, not {wanted}; move it away, or choose another --out"
                )
        results.command = "\n".join(dict.fromkeys([*results.command.splitlines(), command]))
        return results

    def to_json(self) -> str:
        """The text of the JSON file."""
        return json.dumps(asdict(self), indent=2) + "\n"

    def leave_out(self, row: str, column: str, paper: float | None) -> None:
        """Note a cell that nobody has asked for; what it held before stays."""
        cells = self.rows.setdefault(row, {})
        cells.setdefault(column, {"paper": paper, "measured": None, "why": NOT_REQUESTED})

    def values(self, row: str, column: str) -> dict[str, float]:
        """Seed -> value of a cell, as far as measured; a copy."""
        cell = self.rows.setdefault(row, {}).get(column)
        return dict(cell.get("values", {})) if cell else {}

    def fill(
        self, row: str, column: str, paper: float | None, values: Mapping[str, float], why: str | None = None
    ) -> None:
        """Set a cell: the value of each seed, in the order of seeds, and why others have none."""
        ordered = {seed: values[seed] for seed in sorted(values, key=int)}
        summary: Summary | None = None
        if of := list(ordered.values()):
            summary = {"mean": statistics.mean(of), "std": statistics.pstdev(of), "n": len(of)}
        self.rows[row][column] = {"paper": paper, "measured": summary, "values": ordered, "why": why}

    def note_protocol(self, column: str, cell: str, protocol: dict[str, object]) -> None:
        """Keep the column's protocol, and in what a cell's differs from it: such numbers are not comparable."""
        first = self.protocol.setdefault(column, protocol)
        self.unlike.pop(cell, None)
        if unlike := differences(first, protocol):
            self.unlike[cell] = "; ".join(unlike)

    def note_training(self, row: str, data: str, seed: int, how: str) -> None:
        """Keep how a row was trained on a data set, and whether this seed was trained otherwise than the others."""
        cells = [cell for column, cell in self.rows[row].items() if measure_of(column).data == data]
        others = {other for cell in cells for other in cell.get("values", {})} - {str(seed)}
        where = f"{row}, {data}"
        first = self.how.setdefault(where, how) if others else how
        self.how[where] = first
        self.otherwise.pop(f"{where}, seed {seed}", None)
        if how != first:
            self.otherwise[f"{where}, seed {seed}"] = how


def reasons(failures: Mapping[str, Sequence[int]], seeds: Sequence[int]) -> str | None:
    """Why seeds have no value; ``failures`` is message -> seeds. Seeds are named where others have a value, or another
    reason."""
    if not failures:
        return None
    return "; ".join(
        why if len(failed) == len(seeds) else f"seed {', '.join(map(str, failed))}: {why}"
        for why, failed in failures.items()
    )
