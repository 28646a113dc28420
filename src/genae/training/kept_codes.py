"""The codes of training images in a run's ``codes/``: written as they come, gone on with after an interruption."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from torch import Tensor

from genae import distributed
from genae.progress import Progress, silent
from genae.rows import HEADER, as_bytes, header_of
from genae.storage import FileRows, expect_disk, flush_folder, replace

FLUSH_EVERY = 30.0
"""Seconds after which what was written is flushed, so that it need not be computed again."""


def kept_codes(
    path: Path, shape: tuple[int, int], make: Callable[[int], Iterator[Tensor]], progress: Progress = silent
) -> FileRows:
    """The rows [N, D] of the ``.npy`` file ``path``. Where it is not there, ``make(start)`` gives them from number
    ``start`` on, in parts.

    The file gets its name when it is whole. Until then it is called ``NAME.ROWS.part``: that many rows are on the disk
    for certain, and the next call begins with the row after them. Processes that want the same codes wait for the
    one that writes. Under torchrun process 0 writes. Raises `GenaeError` where the disk has too little room.
    """
    if distributed.by_writer(path.exists):
        return FileRows(path)
    distributed.by_writer(lambda: path.parent.mkdir(parents=True, exist_ok=True))
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        distributed.by_writer(lambda: _wait(lock, progress))
        if not distributed.by_writer(path.exists):
            _write(path, shape, make)
    finally:
        lock.release()  # where it is held: in process 0
    distributed.by_writer(lambda: Path(lock.lock_file).unlink(missing_ok=True))
    return FileRows(path)


def _wait(lock: FileLock, progress: Progress) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress("waiting for another process that encodes the same images", 0, 1)
        lock.acquire()


def _write(path: Path, shape: tuple[int, int], make: Callable[[int], Iterator[Tensor]]) -> None:
    start: int = distributed.by_writer(lambda: _safe_rows(path, shape))
    parts = make(start) if start < shape[0] else iter(())
    if distributed.rank() != 0:
        for _ in parts:
            pass
        return
    done = start
    while rows := _append(_part(path, done), parts):
        _part(path, done).rename(_part(path, done + rows))  # closed: Windows renames no open file
        done += rows
    replace(_part(path, shape[0]), path)
    flush_folder(path.parent)


def _append(file_name: Path, parts: Iterator[Tensor]) -> int:
    """Append parts for `FLUSH_EVERY` seconds and flush them; how many rows, 0 where no part is left."""
    rows, begun = 0, time.monotonic()
    with open(file_name, "ab") as file:
        for part in parts:
            file.write(as_bytes(part))
            rows += len(part)
            if time.monotonic() - begun >= FLUSH_EVERY:
                break
        file.flush()
        os.fsync(file.fileno())
    return rows


def _part(path: Path, rows: int) -> Path:
    return path.with_name(f"{path.name}.{rows}.part")


def _safe_rows(path: Path, shape: tuple[int, int]) -> int:
    """How many rows an earlier call has left; there is a file of them afterwards, and nothing behind them."""
    count, width = shape
    left = [file for file in path.parent.glob(f"{path.name}.*.part") if re.fullmatch(r"\d+", file.suffixes[-2][1:])]
    start = max((int(file.suffixes[-2][1:]) for file in left), default=0)
    for file in left:
        if file != _part(path, start):
            file.unlink()
    part_file = _part(path, start)
    header = header_of(shape)
    size = len(header) + 4 * width * start
    if part_file.exists() and (start > count or part_file.stat().st_size < size or _begins(part_file) != header):
        part_file.unlink()
        return _safe_rows(path, shape)
    expect_disk(path, 4 * width * (count - start), "--run")
    if not part_file.exists():
        part_file.write_bytes(header)
    os.truncate(part_file, size)
    return start


def _begins(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEADER)
