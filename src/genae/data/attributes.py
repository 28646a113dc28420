"""Tables of named attributes of images."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import torch
from torch import Tensor

from genae.data.lists import slashed
from genae.errors import GenaeError, reason

TRUE, FALSE = {"1", "true", "yes"}, {"0", "-1", "false", "no"}
SEPARATORS = (",", ";", "\t")


class _Table(NamedTuple):
    path: str
    header: list[str]
    rows: list[list[str]]


def read_attributes(
    path: str, names: Sequence[str], count: int, skip_missing: bool = False
) -> tuple[dict[str, Tensor], Tensor]:
    """Read a table into named booleans [M], and the indices [M] of the images that they describe, in order.

    CSV: a header, the first column holds file names (as in the data, or their last part where that tells them apart),
    the others 0/1, -1/1, true/false or yes/no. Fields are separated by commas, semicolons or tabs. CelebA's
    ``list_attr_celeba.txt`` (count, names, rows separated by spaces) is read as well. For arrays, which have no file
    names, the rows stand in the arrays' order.

    ``M`` is ``count`` unless ``skip_missing`` allows that images have no row. Raises `GenaeError`.
    """
    table = _read_table(path)
    if names:
        rows, described = _rows_of(table, names, skip_missing)
    elif len(table.rows) != count:
        raise GenaeError(f"{path} has {len(table.rows)} rows; the array has {count} images")
    else:
        rows, described = table.rows, list(range(count))
    columns = {name: [row[i].strip().lower() for row in rows] for i, name in enumerate(table.header) if i > 0}
    for name, column in columns.items():
        wrong = set(column) - TRUE - FALSE
        if wrong:
            raise GenaeError(f"{path}: attribute {name} holds {min(wrong)!r}; expected 0/1, -1/1, true/false or yes/no")
    return {name: torch.tensor([v in TRUE for v in column]) for name, column in columns.items()}, torch.tensor(
        described
    )


def _rows_of(table: _Table, names: Sequence[str], skip_missing: bool) -> tuple[list[list[str]], list[int]]:
    """The rows of pictures by their names, and the numbers of the pictures that have one."""
    _expect_unique(table.path, "row", [row[0] for row in table.rows])
    by_name: Mapping[str, list[str]] = {slashed(row[0]): row for row in table.rows}
    full = [slashed(name) for name in names]
    last = [PurePosixPath(name).name for name in full]
    short = last if len(set(last)) == len(last) else full  # the last part alone, where it tells files apart
    rows = [by_name.get(name, by_name.get(other)) for name, other in zip(full, short, strict=True)]
    missing = [name for name, row in zip(names, rows, strict=True) if row is None]
    if missing and (not skip_missing or len(missing) == len(names)):
        advice = "expected file names as in the data" if len(missing) == len(names) else "complete it"
        advice += "" if skip_missing or len(missing) == len(names) else ", or leave these images out with --skip-bad"
        raise GenaeError(
            f"{table.path} has no row for {len(missing)} of {len(names)} images (the first is {missing[0]}); {advice}"
        )
    return [row for row in rows if row is not None], [i for i, row in enumerate(rows) if row is not None]


def _read_table(path: str) -> _Table:
    """The header and the rows of a table; every row has a field for each column."""
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise GenaeError(f"{path} is not text in UTF-8; save the table as CSV in UTF-8") from None
    except OSError as error:
        raise GenaeError(f"cannot read the attributes in {path}: {error.strerror or reason(error)}") from None
    lines = [line for line in lines if line.strip()]
    if lines and lines[0].strip().isdigit():  # CelebA
        records = [["file", *lines[1].split()], *(line.split() for line in lines[2:])] if len(lines) > 1 else []
    else:
        try:
            records = _parse(lines)
        except csv.Error as error:
            raise GenaeError(f"{path} is not a CSV table: {error}") from None
    if len(records) < 2 or len(records[0]) < 2:
        raise GenaeError(
            f"{path} holds no attributes; expected a header (file, name, ...) and a row per image, separated by "
            "commas, semicolons or tabs"
        )
    header, *rows = records
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise GenaeError(f"{path}: row {number + 1} has {len(row)} fields; the header has {len(header)}")
    _expect_unique(path, "column", header)
    return _Table(path, header, rows)


def _expect_unique(path: str, kind: str, values: Sequence[str]) -> None:
    (value, number), *_ = Counter(values).most_common(1)
    if number > 1:
        raise GenaeError(f"{path} has more than one {kind} {value!r}")


def _parse(lines: Sequence[str]) -> list[list[str]]:
    """Split a CSV table at the first separator that gives every row as many fields as the header, at least two.

    Where none does, at the one that the header holds most often. Excel's first line ``sep=;`` is heeded.
    """
    separators: tuple[str, ...] = SEPARATORS
    if lines and lines[0].lower().startswith("sep=") and len(lines[0]) == 5:
        separators, lines = (lines[0][4],), lines[1:]
    if not lines:
        return []
    readings = [list(csv.reader(lines, delimiter=separator)) for separator in separators]
    for records in readings:
        if len(records[0]) > 1 and len({len(record) for record in records}) == 1:
            return records
    return max(readings, key=lambda records: len(records[0]))
