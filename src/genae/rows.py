"""Rows that are read when they are needed: tensors, files of codes, and what a function makes of either."""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from genae.errors import GenaeError

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


class FileRows:
    """The rows of a ``.npy`` file, as float32.

    The file is mapped into memory while a part of it is copied, and no longer: resident memory does not grow with what
    was read, and nothing can write into the file. Raises `GenaeError` for other files, and for one that was cut.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise GenaeError(f"{path} is not a readable NumPy file: there is no such file") from None
        except (ValueError, OSError, EOFError) as error:
            # NumPy's words about pickles advise to run their code.
            why = "it is damaged, cut or of another kind" if "pickle" in str(error) else error
            raise GenaeError(f"{path} is not a readable NumPy file: {why}") from None
        if not isinstance(mapped, np.memmap) or mapped.dtype.kind not in "iuf" or not mapped.flags.c_contiguous:
            raise GenaeError(f"{path} does not hold rows of numbers, one after the other")
        self.shape: tuple[int, ...] = mapped.shape
        self._dtype = mapped.dtype
        self._offset = mapped.offset

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: slice | Tensor, /) -> Tensor:
        """[B, ...] float32, in memory of their own."""
        try:
            mapped = np.memmap(self.path, self._dtype, "r", self._offset, self.shape)
        except (ValueError, OSError) as error:
            raise GenaeError(f"{self.path} was changed while it was read: {error}") from None
        part = mapped[which if isinstance(which, slice) else which.numpy()]
        return torch.from_numpy(np.array(part, np.float32, order="C"))


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
