"""Tables of named attributes of images."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from genae.errors import GenaeError

TRUE, FALSE = {"1", "true", "yes"}, {"0", "-1", "false", "no"}


def read_attributes(table: str, names: Sequence[str], count: int) -> dict[str, Tensor]:
    """Read a table into named booleans [count].

    CSV: a header, the first column holds file names (as in the data, or their last part
    where that tells them apart), the others 0/1, -1/1,
    true/false or yes/no. CelebA's ``list_attr_celeba.txt`` (count, names, rows separated by spaces) is read as well.
    For arrays, which have no file names, the rows stand in the arrays' order.
    """
    path = Path(table).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GenaeError(f"cannot read the attributes in {table}: {error}") from None
    lines = [line for line in lines if line.strip()]
    if lines and lines[0].strip().isdigit():  # CelebA
        header = ["file", *lines[1].split()] if len(lines) > 1 else []
        rows = [line.split() for line in lines[2:]]
    else:
        parsed = list(csv.reader(lines))
        header, rows = (parsed[0], parsed[1:]) if parsed else ([], [])
    if len(header) < 2 or not rows:
        raise GenaeError(f"{table} holds no attributes; expected a header (file, name, ...) and a row per image")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise GenaeError(f"{table}: row {number + 1} has {len(row)} fields; the header has {len(header)}")
    for kind, values in (("column", header), ("row", [row[0] for row in rows] if names else [])):
        if len(set(values)) < len(values):
            twice = next(value for value in values if values.count(value) > 1)
            raise GenaeError(f"{table} has more than one {kind} {twice!r}")
    if names:
        by_name = {row[0]: row for row in rows}
        last = [Path(name).name for name in names]
        short = last if len(set(last)) == len(last) else names  # the last part alone, where it tells files apart
        found = [by_name.get(name, by_name.get(other)) for name, other in zip(names, short, strict=True)]
        missing = [name for name, row in zip(names, found, strict=True) if row is None]
        if missing:
            raise GenaeError(f"{table} has no row for {len(missing)} of {count} images (the first is {missing[0]})")
        rows = [row for row in found if row is not None]
    elif len(rows) != count:
        raise GenaeError(f"{table} has {len(rows)} rows; the array has {count} images")
    table_columns = {name: [row[i].strip().lower() for row in rows] for i, name in enumerate(header) if i > 0}
    for name, column in table_columns.items():
        wrong = set(column) - TRUE - FALSE
        if wrong:
            raise GenaeError(f"{table}: attribute {name} holds {sorted(wrong)[0]!r}; expected 0/1, -1/1, yes/no")
    return {name: torch.tensor([value in TRUE for value in column]) for name, column in table_columns.items()}
