"""Packing: the images of any store into a packed file, once, so that it can be killed at any moment and goes on.

Rows are written in place into ``NAME.genae.part``. ``NAME.genae.journal`` has a line for every block of rows that is
safe on the disk. The same command checks these blocks again, goes on behind them, and renames the file at the end. Its
bytes do not depend on where it was interrupted.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genae import storage
from genae.data.decoded import SKIP, refuse_or_note
from genae.data.files import cause
from genae.data.packed import (
    ENDING,
    PAGE,
    VERSION,
    Layout,
    arrays_of,
    levels_of,
    padded,
    tail_hash,
    texts_of,
)
from genae.data.raw import Raw
from genae.data.store import Store, frame_hash
from genae.errors import GenaeError
from genae.progress import Progress, screen, silent

COMMIT_BYTES, COMMIT_SECONDS = 64_000_000, 1.0
"""After so many bytes or seconds what was written is flushed to the disk, and stands in the journal."""
SPARE = 2048
"""Bytes of the header beyond those of the layout that is expected."""
SHOWN_EVERY = 0.1
"""Seconds between two reports of progress."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Described(NamedTuple):
    """What is known about images, and what their digest takes in beside the pixels; see `Store.digest`."""

    raw: Raw
    """Its store is not looked at."""
    before: bytes
    after: bytes


class Packable(NamedTuple):
    """Images that can be packed."""

    store: Store
    describe: Callable[[Tensor], Described]
    """Numbers of the readable images -> what is known about them."""
    identity: str
    """Changes with the images and with what is done to them: what was begun for another one is not continued."""
    where: str
    """What they are called in messages."""
    integers: bool = False
    """Whether the values are probably whole numbers of 16 bits, where the store has float32."""
    advice: str = SKIP
    """What to do with unreadable files."""


class NoRoomError(GenaeError):
    """A disk is full, or too small."""


class _NotWholeError(Exception):
    """A value does not fit into 16 bits."""


def pack(
    source: Packable,
    path: Path,
    *,
    levels: bool = False,
    skip_bad: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> Layout:
    """Pack images into a file whose name ends in ``.genae``; see `packed`.

    levels: with images that are halved until a side is odd or has 4 pixels: means of the pixels of full size, rounded.
    skip_bad: leave out unreadable files; else they are refused by name after all others are packed.
    force: replace a file that is there.

    The same call goes on where an earlier one was interrupted, if the source is the same. Raises `GenaeError`.
    """
    expect_free(path, force)
    with _alone(path):
        expect_free(path, force)  # the process that had the lock may have packed it
        for kind in _kinds(source, path):
            try:
                with _Packing(source, path, kind, levels_of(source.store.shape) if levels else 0) as packing:
                    return packing.run(skip_bad, progress)
            except _NotWholeError:
                continue
    raise AssertionError("float32 holds every value")


def expect_free(path: Path, force: bool) -> None:
    """Refuse a name of another kind, a file that is there unless it may be replaced, and a folder for it that cannot be
    made or written; it is made."""
    if path.suffix != ENDING:
        raise GenaeError(f"--out is {str(path)!r}; expected a name that ends in {ENDING}")
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or holds a null
        raise GenaeError(f"--out is {str(path)[:60]!r}, which cannot be a path: {cause(error)}") from None
    if path.is_dir() or (there and not force):
        way = "choose another --out" + ("" if path.is_dir() else ", or replace it with --force")
        raise GenaeError(f"{path} is already there; {way}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise GenaeError(
            f"{path.parent} cannot be a folder for {path.name} ({error.strerror}); choose another --out"
        ) from None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process packs the same file."""
    lock, owner = beside(path, "lock"), beside(path, "owner")
    with storage.held(lock, owner, f"{path} is being packed by process {{}}; wait for it, or choose another --out"):
        try:
            yield
        finally:
            for file in (owner, lock):
                with suppress(OSError):  # Windows removes no file that is locked
                    file.unlink()


def beside(path: Path, what: str) -> Path:
    """A file that exists while ``path`` is packed: ``part``, ``journal``, ``lock``, ``owner``."""
    return path.with_name(f"{path.name}.{what}")


def _kinds(source: Packable, path: Path) -> list[str]:
    """How values may be stored, in the order in which it is tried."""
    if source.store.dtype == torch.uint8:
        return ["uint8"]
    begun = next(iter(_lines(beside(path, "journal"))), {})
    has_fractions = begun.get("identity") == source.identity and begun.get("kind") == "float32"
    return ["uint16", "float32"] if source.integers and not has_fractions else ["float32"]


def _lines(journal: Path) -> list[dict[str, Any]]:
    """The readable lines of a journal: first what is packed, then a line for each block, in order."""
    lines = storage.read_lines(journal, "block")
    return [line for place, line in enumerate(lines) if line["block"] == place - 1]


@dataclass
class _Rows:
    """The rows of one resolution, on their way into the file, and the hashes of their blocks."""

    start: int
    """Byte of the file at which they begin."""
    rows_per_block: int
    count: int = 0
    hashes: list[bytes] = field(default_factory=list)
    sha: Any = field(default_factory=hashlib.sha256)

    def take(self, rows: np.ndarray, file: BinaryIO) -> None:
        """Write rows behind those that are there."""
        row_bytes = rows[0].nbytes
        _write(file, self.start + self.count * row_bytes, rows.data.cast("B"))
        self.hash(rows)

    def hash(self, rows: np.ndarray) -> None:
        """Take in rows that are written."""
        while len(rows):
            part = rows[: self.rows_per_block - self.count % self.rows_per_block]
            self.sha.update(part.data.cast("B"))
            self.count += len(part)
            rows = rows[len(part) :]
            if self.count % self.rows_per_block == 0:
                self.finish()

    def finish(self) -> None:
        """End a block."""
        self.hashes.append(self.sha.digest())
        self.sha = hashlib.sha256()


class _Packing:
    """One packing of images whose values are stored as ``kind``."""

    def __init__(self, source: Packable, path: Path, kind: str, levels: int) -> None:
        self.source, self.path = source, path
        store = source.store
        self.total = len(store)
        expected = source.describe(torch.arange(self.total))
        self.layout = Layout.of(expected.raw, self.total, self.total, store.shape, kind, levels)
        """If every image is readable; the rows lie at the same places if not."""
        self.header = -(-(8 + len(self.layout.header({})) + SPARE) // PAGE) * PAGE
        self.rows = [
            _Rows(self.header + self.layout.start(level), self.layout.rows_per_block(level))
            for level in range(levels + 1)
        ]
        self.before = expected.before
        self.digest = hashlib.sha256(self.before)
        self.names = expected.raw.names
        self.low, self.high = np.inf, -np.inf
        self.read = 0
        """Images of the source whose blocks are written."""
        self.bad: list[tuple[int, str]] = []
        """Numbers of unreadable images, and why."""
        self.noted = 0
        """How many of them stand in the journal."""
        self.waiting: list[dict[str, object]] = []
        """Lines of the journal whose rows are not flushed yet."""
        self.flushed_at, self.shown_at = time.monotonic(), 0.0
        self.part, self.journal = beside(path, "part"), beside(path, "journal")
        self.file: BinaryIO | None = None

    def __enter__(self) -> "_Packing":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self.file is None:
            return
        try:
            if kind:  # also Ctrl-C: what is written is not packed again
                with suppress(OSError):
                    self._commit()
        finally:
            self.file.close()
            if kind and not _lines(self.journal)[1:]:  # nothing worth keeping
                self.part.unlink(missing_ok=True)
                self.journal.unlink(missing_ok=True)

    def run(self, skip_bad: bool, progress: Progress) -> Layout:
        """Pack; raises `GenaeError` and `_NotWholeError`."""
        try:
            self._continue(skip_bad, progress)
            self._expect_room()
            self._pack(progress)
            return self._finish(skip_bad, progress)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise NoRoomError(
                f"the disk of {self.path} is full after {self.read:,} of {self.total:,} images; make room and give the "
                "same command, which goes on from there"
            ) from None

    def _continue(self, skip_bad: bool, progress: Progress) -> None:
        """Open the file, and take over what an earlier start has packed."""
        plan = {
            "block": -1, "version": VERSION, "identity": self.source.identity, "header": self.header,
            "total": self.total, "shape": list(self.layout.shape), "kind": self.layout.kind,
            "levels": self.layout.levels, "names": hashlib.sha256(json.dumps(self.names).encode()).hexdigest(),
        }  # fmt: skip
        lines = _lines(self.journal)
        if lines and lines[0] != plan:
            if lines[0] | {"kind": self.layout.kind} != plan:
                screen.note(f"{self.part} was begun from other images or with other settings; it is begun anew")
            lines = []
        new = not lines or not self.part.exists()
        if new:
            self.part.write_bytes(b"")
        self.file = open(self.part, "r+b", buffering=0)  # noqa: SIM115 (closed by __exit__)
        taken = [] if new else list(self._taken_over(lines[1:], skip_bad, progress))
        storage.write_atomically(self.journal, "".join(json.dumps(line) + "\n" for line in (plan, *taken)))
        self.noted = len(self.bad)

    def _taken_over(self, lines: list[dict[str, Any]], skip_bad: bool, progress: Progress) -> Iterator[dict[str, Any]]:
        """The journal's lines up to the first block that is not on the disk as they say."""
        rows, shape = self.layout.rows_per_block(), self.layout.shape
        for line in lines:
            bad = [(int(number), str(why)) for number, why in line["bad"]]
            if not skip_bad and any(self._is_readable(number) for number, _ in bad):
                return  # a file was repaired, which its name, size and time do not tell
            block = np.empty((rows, *shape), self.layout.dtype)
            start = self.rows[0].start + self.rows[0].count * self.layout.row_bytes()
            with suppress(EOFError):
                storage.PlacedFile(self.part).fill(block.data.cast("B"), start)
            if hashlib.sha256(block.data).hexdigest() != line["sha"]:
                return
            self.bad += bad
            self._take(block, written=True)
            self.read = int(line["read"])
            self._show(progress, "checking what is packed", self.read)
            yield line

    def _is_readable(self, number: int) -> bool:
        try:
            self.source.store.read(torch.tensor([number]))
        except GenaeError:
            return False
        return True

    def _expect_room(self) -> None:
        """Refuse a disk that cannot hold what is still to be written."""
        assert self.file
        there = getattr(os.fstat(self.file.fileno()), "st_blocks", 0) * 512
        needed = self.header + self.layout.end() - there
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise NoRoomError(
                f"{self.path} needs {needed / 1e9:,.2f} GB more, and its disk has {free / 1e9:,.2f} GB free; "
                "make room, choose another --out, or a smaller --size"
            )

    def _pack(self, progress: Progress) -> None:
        """Pack the images that are left."""
        rows = self.layout.rows_per_block()
        type_of_rows = np.uint8 if self.source.store.dtype == torch.uint8 else np.float32
        block, filled = np.empty((rows, *self.layout.shape), type_of_rows), 0
        for number, row in enumerate(self.source.store.rows(self.read), self.read):
            if isinstance(row, str):
                self.bad.append((number, row))
            else:
                block[filled] = row.numpy()
                filled += 1
            if filled == rows:
                sha = self._take(self._as_stored(block))
                self.read = number + 1
                self._note(sha)
                filled = 0
            self._show(progress, "packing", number + 1)
        if filled:
            self._take(self._as_stored(block[:filled]))
            self.rows[0].finish()
        for level in self.rows[1:]:
            if level.count % level.rows_per_block:
                level.finish()
        progress("packing", self.total, self.total)

    def _show(self, progress: Progress, message: str, done: int) -> None:
        now = time.monotonic()
        if now - self.shown_at >= SHOWN_EVERY:
            self.shown_at = now
            progress(message, done, self.total)

    def _as_stored(self, rows: np.ndarray) -> np.ndarray:
        if self.layout.kind != "uint16":
            return rows
        with np.errstate(invalid="ignore"):
            whole = rows.astype(np.uint16)
        if not np.array_equal(whole, rows):
            raise _NotWholeError
        return whole

    def _take(self, rows: np.ndarray, written: bool = False) -> bytes:
        """Hash rows, write them unless they are ``written``, and write them halved; the hash of a block."""
        assert self.file
        self.low, self.high = min(self.low, rows.min()), max(self.high, rows.max())
        self.digest.update((rows if self.layout.kind != "uint16" else rows.astype(np.float32)).data)
        if written:
            self.rows[0].hash(rows)
        else:
            self.rows[0].take(rows, self.file)
        for level, smaller in zip(self.rows[1:], halved(rows, self.layout.levels), strict=True):
            level.take(smaller, self.file)
        return self.rows[0].hashes[-1] if self.rows[0].hashes else b""

    def _note(self, sha: bytes) -> None:
        """A block is written: it is put into the journal when it is on the disk."""
        block = len(self.rows[0].hashes) - 1
        self.waiting.append({"block": block, "read": self.read, "sha": sha.hex(), "bad": self.bad[self.noted :]})
        self.noted = len(self.bad)
        waits = len(self.waiting) * self.layout.rows_per_block() * self.layout.row_bytes()
        if waits >= COMMIT_BYTES or time.monotonic() - self.flushed_at >= COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        """Flush the rows to the disk, then the journal's lines about them."""
        assert self.file
        if self.waiting:
            os.fsync(self.file.fileno())
            with open(self.journal, "ab", buffering=0) as journal:
                _write(journal, None, memoryview("".join(json.dumps(line) + "\n" for line in self.waiting).encode()))
                os.fsync(journal.fileno())
        self.waiting = []
        self.flushed_at = time.monotonic()

    def _finish(self, skip_bad: bool, progress: Progress) -> Layout:
        """Write what is known about the images and the header, and give the file its name."""
        assert self.file
        reasons = [f"{self.names[number]} ({why})" for number, why in self.bad]
        notes = refuse_or_note(reasons, self.total, self.source.where, skip_bad, self.source.advice)
        good = torch.ones(self.total, dtype=torch.bool)
        good[[number for number, _ in self.bad]] = False
        described = self.source.describe(good.nonzero().flatten())
        raw = replace(described.raw, notes=(*described.raw.notes, *notes))
        layout = Layout.of(raw, self.rows[0].count, self.total, self.layout.shape, self.layout.kind, self.layout.levels)
        tail = self._tail(layout, raw)
        for place in [place for name, place in layout.tensors().items() if name.startswith("unused")]:
            _write(self.file, self.header + place.start, memoryview(bytes(place.end - place.start)))
        _write(self.file, self.header + layout.tail(), memoryview(tail))
        metadata = {
            "range": json.dumps([float(self.low), float(self.high)]),
            "frame": frame_hash(described.before, described.after),
            "digest": self._digest(described, progress),
        }
        metadata["tail"] = tail_hash(layout, metadata, tail)
        header = layout.header(metadata)
        assert len(header) + 8 <= self.header, "the header has outgrown its room"
        _write(self.file, 0, memoryview(padded(header, self.header)))
        self.file.truncate(self.header + layout.end())
        os.fsync(self.file.fileno())
        self.file.close()
        storage.replace(self.part, self.path)
        storage.flush_folder(self.path.parent)
        self.journal.unlink(missing_ok=True)
        return layout

    def _tail(self, layout: Layout, raw: Raw) -> bytes:
        """The bytes behind the images."""
        arrays = arrays_of(raw) | {"texts": np.frombuffer(texts_of(raw), np.uint8)}
        for level, rows in enumerate(self.rows):
            arrays[f"hashes{layout.name_of(level)}"] = np.frombuffer(b"".join(rows.hashes), np.uint8)
        return b"".join(arrays[name].tobytes() for name in layout.tensors() if name in arrays)

    def _digest(self, described: Described, progress: Progress) -> str:
        """As `Store.digest`. What comes before the pixels is known only now if files were left out, and for floats."""
        sha = self.digest
        if described.before != self.before:
            sha, row, rows = hashlib.sha256(described.before), self.layout.row_bytes(), self.layout.rows_per_block()
            for first in range(0, self.rows[0].count, rows):
                block = bytearray(min(rows, self.rows[0].count - first) * row)
                storage.PlacedFile(self.part).fill(memoryview(block), self.rows[0].start + first * row)
                in_memory = np.frombuffer(block, np.uint16).astype(np.float32) if self.layout.kind == "uint16" else None
                sha.update(block if in_memory is None else in_memory.data)
                self._show(progress, "hashing", first)
        sha.update(described.after)
        return sha.hexdigest()[:16]


def halved(rows: np.ndarray, levels: int) -> Iterator[np.ndarray]:
    """Images [B, C, H, W] -> halved 1, 2, ... times: means of their pixels, rounded once, half to even; but floats."""
    if not levels:
        return
    exact = {"uint8": torch.int32, "uint16": torch.int64, "float32": torch.float64}[rows.dtype.name]
    sums = torch.from_numpy(rows.astype(np.int32) if rows.dtype == np.uint16 else rows).to(exact)
    for level in range(1, levels + 1):
        sums = sums[..., ::2, :] + sums[..., 1::2, :]
        sums = sums[..., ::2] + sums[..., 1::2]
        means = sums.double() / 4**level
        yield (means if rows.dtype.kind == "f" else means.round()).numpy().astype(rows.dtype)


def _write(file: BinaryIO, offset: int | None, memory: memoryview) -> None:
    """Write all bytes, at ``offset`` or at the end of a file that is open for appending."""
    if offset is not None:
        file.seek(offset)
    while len(memory):
        memory = memory[file.write(memory) :]
