"""Rows that are read when they are needed: tensors, files (`storage.FileRows`), and what a function makes of either."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

CHUNK = 32_000_000
"""Bytes of float32 that are read at a time."""
HELD = 256_000_000
"""Bytes of rows, at most, that are held in memory where they could be read from a file each time."""
HEADER = 512
"""Bytes of the header of a ``.npy`` file that genae writes. NumPy's has 128: by the length they are told apart."""
MAGIC = b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little")


class Rows(Protocol):
    """Rows [N, ...] of numbers, of which parts are read when needed. A tensor is such."""

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...]."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, which: slice | Tensor, /) -> Tensor:
        """The rows of a slice, or those with the numbers [B]."""
        ...


def in_parts(rows: Rows, size: int | None = None) -> Iterator[Tensor]:
    """All rows in order, ``size`` at a time, by default about `CHUNK` bytes of float32."""
    step = size or rows_of_bytes(rows, CHUNK)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def rows_of_bytes(rows: Rows, size: int) -> int:
    """How many rows take ``size`` bytes as float32; at least one."""
    return max(1, size // max(1, 4 * math.prod(rows.shape[1:])))


def bytes_of(rows: Rows) -> int:
    """Of all rows as float32."""
    return 4 * math.prod(rows.shape)


def filled(parts: Iterable[Tensor], count: int, device: torch.device | str | None = None) -> Tensor:
    """Parts [b, ...] of ``count`` rows as one tensor, by default where they are: in memory once, not twice as with
    `torch.cat`."""
    whole: Tensor | None = None
    done = 0
    for part in parts:
        if whole is None:
            whole = torch.empty(count, *part.shape[1:], dtype=part.dtype, device=device or part.device)
        whole[done : done + len(part)] = part
        done += len(part)
    if whole is None or done != count:
        raise ValueError(f"filled: {done} rows came; expected {count}")
    return whole


class Collected:
    """Rows [N, ...] that come in parts and are kept in one tensor. A small tensor for each part would lie between the
    large ones that come and go, and memory would not be used again."""

    def __init__(self) -> None:
        self._room = torch.empty(0)
        self._count = 0

    @property
    def rows(self) -> Tensor:
        """All that came."""
        return self._room[: self._count]

    def add(self, part: Tensor) -> None:
        """Keep a part [b, ...] on the CPU."""
        count = self._count + len(part)
        if count > len(self._room):
            larger = torch.empty(max(count, 2 * self._count), *part.shape[1:], dtype=part.dtype)
            if self._count:
                larger[: self._count] = self.rows
            self._room = larger
        self._room[self._count : count] = part
        self._count = count


def mean_and_covariance(rows: Rows) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D], with divisor N - 1, of rows [N, D]; float64, in two passes."""
    width = rows.shape[1]
    mean, covariance = torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64)
    for part in in_parts(rows):
        mean += part.double().sum(0)
    mean /= len(rows)
    for part in in_parts(rows):
        centred = part.double().sub_(mean)
        covariance += centred.T @ centred
    return mean, covariance / (len(rows) - 1)


class Selected:
    """Some of the rows [N, ...]: those with the numbers [M]."""

    def __init__(self, rows: Rows, numbers: Tensor) -> None:
        self._rows = rows
        self._numbers = numbers
        self.shape: tuple[int, ...] = (len(numbers), *rows.shape[1:])

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, which: slice | Tensor, /) -> Tensor:
        """[B, ...]."""
        return self._rows[self._numbers[which]]


class Through:
    """Rows as a function shows them; worked out for each part that is read."""

    def __init__(self, rows: Rows, function: Callable[[Tensor], Tensor], width: int) -> None:
        self._rows = rows
        self._function = function
        self.shape: tuple[int, ...] = (len(rows), width)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: slice | Tensor, /) -> Tensor:
        """[B, width]."""
        with torch.no_grad():
            return self._function(self._rows[which])


class Stream(NamedTuple):
    """Rows float32 that come in parts: an array that is written before all of it is there."""

    shape: tuple[int, ...]
    """[N, ...]."""
    parts: Iterable[Tensor]
    """[b, ...], together N."""


def header_of(shape: tuple[int, ...]) -> bytes:
    """What a ``.npy`` file of float32 begins with: `HEADER` bytes, filled with spaces as the format asks for."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    return MAGIC + text.encode().ljust(HEADER - len(MAGIC) - 1) + b"\n"


def as_bytes(rows: Tensor) -> memoryview:
    """Float32 rows as a file holds them."""
    return rows.detach().cpu().contiguous().numpy().astype("<f4", copy=False).reshape(-1).data.cast("B")
