"""Packed files: the pixels of a data set in one file, read by their numbers, with everything that is known about them.

A packed file is a safetensors file, so other programs can open it too. It holds ``images`` [N, C, H, W], perhaps
halved ``images/HxW``, ``labels`` [N], ``splits/NAME``, perhaps ``own/NAME`` (the source's own splits, as they were
before images were held out of them), ``attributes/NAME`` [N], ``hashes`` (SHA-256 of every block of rows) and ``texts``
(JSON). Its header is followed by spaces up to a length that is known before the first row is written, and the images
come first, so rows are written in place while pictures are decoded.
"""

import hashlib
import json
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genae.data.raw import Raw
from genae.data.store import Store, frame_hash
from genae.data.transfer import THREADS
from genae.distributed.ahead import loaded_ahead
from genae.errors import GenaeError
from genae.progress import Progress, silent
from genae.storage import PlacedFile

ENDING = ".genae"
FORMAT, VERSION = "genae-packed", 1
PAGE = 4096
"""Images and header begin at multiples of it."""
BLOCK = 4_000_000
"""Bytes of rows, at most, that have a hash of their own; at least one row."""
PIECE = 1_000_000
"""Bytes of a block that are hashed at a time."""
REMEDY = "pack it again"
LONGEST_HEADER = 100_000_000
SMALLEST_SIDE = 4
"""Pixels of the smallest halved images."""
KINDS = {"uint8": "U8", "uint16": "U16", "float32": "F32"}
"""How values are stored: NumPy's name -> safetensors' name."""


TEXTS = ("value_range", "depth", "classes", "names", "notes", "conversions", "format", "resize")
"""Fields of `Raw` that are no arrays."""


def texts_of(raw: Raw) -> bytes:
    """What is known about images and is no array, as JSON."""
    return json.dumps({key: getattr(raw, key) for key in TEXTS}).encode()


def arrays_of(raw: Raw) -> dict[str, np.ndarray]:
    """What is known about images and is an array, by its tensor's name."""
    labels = {} if raw.labels is None else {"labels": raw.labels}
    tensors = labels | {f"splits/{name}": members for name, members in raw.splits.items()}
    tensors |= {f"own/{name}": members for name, members in (_own(raw) or {}).items() if members is not None}
    tensors |= {f"attributes/{name}": values for name, values in raw.attributes.items()}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _own(raw: Raw) -> dict[str, Tensor | None] | None:
    """The source's own splits; None for one that is kept as it is, and for all of them where nothing was held out."""
    own: dict[str, Tensor | None] = {}
    for name, members in raw.official.items():
        own[name] = None if name in raw.splits and torch.equal(members, raw.splits[name]) else members
    same = list(own) == list(raw.splits) and all(members is None for members in own.values())
    return None if same else own


class Place(NamedTuple):
    """A tensor in a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    """Bytes behind the header."""
    end: int


@dataclass(frozen=True)
class Layout:
    """Where everything is in a packed file."""

    count: int
    """Images."""
    room: int
    """Images that it has room for: more than ``count`` where unreadable ones were left out."""
    shape: tuple[int, int, int]
    """(C, H, W)."""
    kind: str
    """Of `KINDS`."""
    levels: int
    """How often images are halved."""
    labels: bool
    splits: dict[str, int]
    """Images of every split."""
    attributes: tuple[str, ...]
    texts: int
    """Bytes."""
    own: dict[str, int | None] | None = None
    """Images of each of the source's own splits; None for one that is in ``splits``, and where ``splits`` are these."""

    @classmethod
    def of(cls, raw: Raw, count: int, room: int, shape: tuple[int, int, int], kind: str, levels: int) -> "Layout":
        """The layout of ``count`` images of ``shape`` with what ``raw`` says about them."""
        splits = {name: len(members) for name, members in raw.splits.items()}
        found, own = _own(raw), None
        if found is not None:
            own = {name: None if members is None else len(members) for name, members in found.items()}
        return cls(
            count, room, shape, kind, levels, raw.labels is not None, splits, tuple(raw.attributes), len(texts_of(raw)),
            own,
        )  # fmt: skip

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        """Read what ``json.dumps(layout.fields())`` wrote; raises what the first wrong value raises."""
        layout = cls(**json.loads(text))
        layout = cls(**asdict(layout) | {"shape": tuple(layout.shape), "attributes": tuple(layout.attributes)})
        own = [count for name, count in (layout.own or {}).items() if count is not None or name not in layout.splits]
        whole = [layout.count, layout.room, *layout.shape, layout.levels, layout.texts, *layout.splits.values(), *own]
        if not all(type(number) is int and number >= 0 for number in whole) or len(layout.shape) != 3:
            raise ValueError("sizes that are no whole numbers")
        if not 0 < layout.count <= layout.room or 0 in layout.shape or layout.kind not in KINDS:
            raise ValueError("sizes that no file has")
        if layout.levels > levels_of(layout.shape):
            raise ValueError("more levels than its images can have")
        return layout

    def fields(self) -> dict[str, object]:
        """For JSON: all fields, but ``own`` where it says nothing."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def dtype(self) -> np.dtype:
        """Of stored values."""
        return np.dtype(self.kind)

    def shape_of(self, level: int) -> tuple[int, int, int]:
        """(C, H, W) of images that are halved ``level`` times."""
        channels, height, width = self.shape
        return channels, height >> level, width >> level

    def row_bytes(self, level: int = 0) -> int:
        """Bytes of a stored image."""
        return math.prod(self.shape_of(level)) * self.dtype.itemsize

    def rows_per_block(self, level: int = 0) -> int:
        """Images of a block."""
        return max(1, BLOCK // self.row_bytes(level))

    def blocks(self, level: int = 0) -> int:
        """How many blocks the images have."""
        return -(-self.count // self.rows_per_block(level))

    def name_of(self, level: int) -> str:
        """The ending of a level's tensors: none, or ``/HxW``."""
        _, height, width = self.shape_of(level)
        return f"/{height}x{width}" if level else ""

    def start(self, level: int) -> int:
        """Where the images of a level begin, in bytes behind the header."""
        return sum(-(-self.room * self.row_bytes(before) // PAGE) * PAGE for before in range(level))

    def tensors(self) -> dict[str, Place]:
        """Every tensor, in the order in which they lie; between them there is nothing."""
        places: dict[str, Place] = {}
        for level in range(self.levels + 1):
            start, after = self.start(level), self.start(level + 1)
            end, name = start + self.count * self.row_bytes(level), self.name_of(level)
            places[f"images{name}"] = Place(KINDS[self.kind], (self.count, *self.shape_of(level)), start, end)
            if end < after:
                places[f"unused{name}"] = Place("U8", (after - end,), end, after)
        for name, dtype, shape in self._described():
            start = next(reversed(places.values())).end
            places[name] = Place(dtype, shape, start, start + math.prod(shape) * (8 if dtype == "I64" else 1))
        return places

    def _described(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Names, types and shapes of what lies behind the images; the widest type first, so that each is aligned."""
        if self.labels:
            yield "labels", "I64", (self.count,)
        for name, count in self.splits.items():
            yield f"splits/{name}", "I64", (count,)
        for name, own in (self.own or {}).items():
            if own is not None:
                yield f"own/{name}", "I64", (own,)
        for level in range(self.levels + 1):
            yield f"hashes{self.name_of(level)}", "U8", (self.blocks(level), hashlib.sha256().digest_size)
        for name in self.attributes:
            yield f"attributes/{name}", "BOOL", (self.count,)
        yield "texts", "U8", (self.texts,)

    def tail(self) -> int:
        """Where what lies behind the images begins, in bytes behind the header."""
        return self.start(self.levels + 1)

    def end(self) -> int:
        """Bytes of everything behind the header."""
        return next(reversed(self.tensors().values())).end

    def header(self, metadata: Mapping[str, str]) -> bytes:
        """The header's JSON with this metadata beside the layout, without the spaces behind it."""
        said = {"format": FORMAT, "version": str(VERSION), "layout": json.dumps(self.fields()), **metadata}
        entries: dict[str, object] = {"__metadata__": said}
        for name, place in self.tensors().items():
            entries[name] = {"dtype": place.dtype, "shape": place.shape, "data_offsets": (place.start, place.end)}
        return json.dumps(entries, separators=(",", ":")).encode()


def levels_of(shape: tuple[int, int, int]) -> int:
    """How often images (C, H, W) can be halved: until a side is odd, or has `SMALLEST_SIDE` pixels."""
    level = 0
    while all(side % (2 << level) == 0 and side >> (level + 1) >= SMALLEST_SIDE for side in shape[1:]):
        level += 1
    return level


def padded(header: bytes, length: int) -> bytes:
    """A header as a safetensors file begins with it: its length, then the JSON and spaces, ``length`` bytes in all."""
    return (length - 8).to_bytes(8, "little") + header.ljust(length - 8)


def tail_hash(layout: Layout, metadata: Mapping[str, str], tail: bytes | bytearray) -> str:
    """Hash of everything in a packed file but its images."""
    sha = hashlib.sha256(json.dumps([layout.fields(), sorted(metadata.items())]).encode())
    sha.update(tail)
    return sha.hexdigest()


class PackedStore(Store):
    """The images of a packed file.

    Every read also checks blocks of rows against their hashes, in order, as many bytes as it reads: within one pass
    over the images each was checked. What is not what was packed raises `GenaeError` with the block's number.
    """

    def __init__(
        self,
        file: PlacedFile,
        start: int,
        layout: Layout,
        metadata: Mapping[str, str],
        tail: bytearray,
        remedy: str = REMEDY,
    ) -> None:
        self.path, self.layout, self.remedy = file.path, layout, remedy
        self.shape, self.levels = layout.shape, layout.levels
        self.place = f"packed in {self.path}{self.halved}, read"
        self.dtype = torch.uint8 if layout.kind == "uint8" else torch.float32
        self._file, self._start, self._metadata = file, start, metadata
        self.identity = metadata["tail"]  # hash of the hashes of all blocks
        offset, places = layout.tail(), layout.tensors()
        names = [f"hashes{layout.name_of(level)}" for level in range(layout.levels + 1)]
        self._hashes = [
            np.frombuffer(tail, np.uint8)[places[n].start - offset : places[n].end - offset].copy() for n in names
        ]
        self._lock = threading.Lock()
        self._unchecked = [layout.rows_per_block(level) * layout.row_bytes(level) for level in range(layout.levels + 1)]
        """Bytes that were read and are still to be checked for, so that the first read of a level checks a block."""
        self._next = [0] * (layout.levels + 1)
        self._broken: GenaeError | None = None

    def __len__(self) -> int:
        return self.layout.count

    @property
    def halved(self) -> str:
        """How often its images are kept halved, as the end of a clause; empty where they are not."""
        return {0: "", 1: ", halved once"}.get(self.levels, f", halved {self.levels} times")

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        """Images [B, C, H, W]."""
        shape, row = self.layout.shape_of(halvings), self.layout.row_bytes(halvings)
        values = np.empty((len(indices), *shape), self.layout.dtype)
        if len(indices):
            memory = values.data.cast("B")
            start = self._start + self.layout.start(halvings)
            self._fill([(memory[a * row : b * row], start + first * row) for a, b, first in _runs(indices)], halvings)
            self._check_some(halvings, values.nbytes)
        return torch.from_numpy(values.astype(np.float32) if self.layout.kind == "uint16" else values)

    def range(self) -> tuple[float, float]:
        """The lowest and the highest value, as they were when the file was packed."""
        low, high = json.loads(self._metadata["range"])
        return float(low), float(high)

    def digest(self, before: bytes, after: bytes) -> str:
        """As `Store.digest`; known from the time of packing for the data as they were packed."""
        if frame_hash(before, after) == self._metadata["frame"]:
            return self._metadata["digest"]
        return super().digest(before, after)

    def check(self, progress: Progress = silent) -> int:
        """Read everything and compare it with the hashes; how many blocks there are.

        Raises `GenaeError` that names the first block that differs.
        """
        blocks = [(level, block) for level in range(self.levels + 1) for block in range(self.layout.blocks(level))]
        for done, error in enumerate(loaded_ahead(blocks, lambda one: self._error_of(*one), THREADS, 2 * THREADS)):
            if error:
                raise error
            progress(f"checking the blocks of {self.path.name}", done + 1, len(blocks))
        return len(blocks)

    def _fill(self, parts: list[tuple[memoryview, int]], level: int) -> None:
        """Read bytes at their places; the system is told of all of them first, so that a disk fetches them together."""
        for memory, offset in parts:
            self._file.will_need(offset, len(memory))
        for memory, offset in parts:
            self._fill_part(memory, offset, level)

    def _fill_part(self, memory: memoryview, offset: int, level: int) -> None:
        try:
            self._file.fill(memory, offset)
        except (OSError, EOFError) as error:
            row = (offset - self._start - self.layout.start(level)) // self.layout.row_bytes(level)
            block = self._called(level, row // self.layout.rows_per_block(level))
            why = "is cut" if isinstance(error, EOFError) else f"cannot be read ({error.strerror})"
            raise GenaeError(f"{self.path} {why} at {block}; {self.remedy}") from None

    def _check_some(self, level: int, read: int) -> None:
        """Check blocks for as many bytes as were read; the same ones at the same read, whatever was asked for."""
        if self._broken:
            raise self._broken
        size = self.layout.rows_per_block(level) * self.layout.row_bytes(level)
        with self._lock:
            first = self._next[level]
            due = min((self._unchecked[level] + read) // size, self.layout.blocks(level) - first)
            self._unchecked[level] += read - due * size
            self._next[level] += due
        for block in range(first, first + due):
            if error := self._error_of(level, block):
                self._broken = error
                raise error

    def _error_of(self, level: int, block: int) -> GenaeError | None:
        """What is wrong with a block of rows."""
        rows, row = self.layout.rows_per_block(level), self.layout.row_bytes(level)
        start, first = self._start + self.layout.start(level), block * rows
        end = start + min(self.layout.count, first + rows) * row
        memory, sha = memoryview(bytearray(PIECE)), hashlib.sha256()
        try:
            for place in range(start + first * row, end, PIECE):
                part = memory[: end - place]
                self._fill_part(part, place, level)
                sha.update(part)
        except GenaeError as error:
            return error
        if sha.digest() == self._hashes[level][block * sha.digest_size : (block + 1) * sha.digest_size].tobytes():
            return None
        return GenaeError(f"{self._called(level, block)} of {self.path} is not what was packed; {self.remedy}")

    def _called(self, level: int, block: int) -> str:
        return block_name(self.layout, level, block)


def block_name(layout: Layout, level: int, block: int) -> str:
    """A block of rows in messages: ``block 17 (images 5,576 to 5,903)``."""
    rows = layout.rows_per_block(level)
    size = f" at {layout.name_of(level)[1:]}" if level else ""
    return f"block {block} (images {block * rows:,} to {min(layout.count, (block + 1) * rows) - 1:,}{size})"


def _runs(indices: Tensor) -> Iterator[tuple[int, int, int]]:
    """Stretches of neighbouring rows: where they begin and end in the output, and the first row."""
    rows = indices.cpu().numpy()
    cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    for begin, end in pairwise(cuts):
        yield begin, end, int(rows[begin])


def open_packed(path: Path, remedy: str = REMEDY) -> Raw:
    """The images of a packed file.

    Raises `GenaeError` for other files, files of a newer genae, and damaged or cut ones. Images are not read.
    """
    try:
        file = PlacedFile(path)
        start, layout, metadata = _read_header(file)
        tail = bytearray(layout.end() - layout.tail())
        file.fill(memoryview(tail), start + layout.tail())
    except OSError as error:
        raise GenaeError(f"{path} cannot be read ({error.strerror})") from None
    said = {key: metadata[key] for key in ("range", "frame", "digest")}
    if tail_hash(layout, said, tail) != metadata.get("tail"):
        raise GenaeError(f"the labels, names or splits of {path} are not what was packed; pack it again")
    return _described(PackedStore(file, start, layout, metadata, tail, remedy), tail)


def _read_header(file: PlacedFile) -> tuple[int, Layout, dict[str, str]]:
    """Where the tensors begin, the layout, and the rest of the metadata. Raises `GenaeError`."""
    path, size = file.path, file.size()
    other = GenaeError(f"{path} is no packed file of genae; genae pack SOURCE --out {path.name} makes one")
    length = bytearray(8)
    if size < len(length):
        raise GenaeError(f"{path} is cut: it has {size} bytes; pack it again")
    file.fill(memoryview(length), 0)
    start = 8 + int.from_bytes(length, "little")
    if start > LONGEST_HEADER:
        raise other
    text = bytearray(min(start, size) - 8)
    file.fill(memoryview(text), 8)
    if start > size and text.startswith(b'{"__metadata__":{"format":"' + FORMAT.encode()):
        raise GenaeError(f"{path} is cut: it has {size:,} bytes, which is less than its header; pack it again")
    try:
        header: dict[str, Any] = json.loads(text)
        metadata = header.pop("__metadata__", {})
    except (ValueError, AttributeError):  # also bytes that are no text
        raise other from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise GenaeError(f"{path} is a safetensors file without packed images; genae pack SOURCE makes one with them")
    version = str(metadata.get("version"))
    if version != str(VERSION):
        raise GenaeError(f"{path} has version {version} of packed files; this genae reads version {VERSION}: update it")
    try:
        layout = Layout.from_json(metadata["layout"])
        expected = json.loads(layout.header({}))
        expected.pop("__metadata__")
        if header != expected or not all(isinstance(metadata[key], str) for key in ("range", "frame", "digest")):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise GenaeError(f"the header of {path} is damaged; pack it again") from None
    _check_size(path, size, start, layout)
    return start, layout, metadata


def _check_size(path: Path, size: int, start: int, layout: Layout) -> None:
    """Refuse a file that is cut, with the first block that is missing, or one that was continued."""
    expected = start + layout.end()
    if size > expected:
        raise GenaeError(f"{path} has {size - expected:,} bytes more than were packed; pack it again")
    if size == expected:
        return
    level = max(level for level in range(layout.levels + 1) if start + layout.start(level) <= max(size, start))
    there = (size - start - layout.start(level)) // layout.row_bytes(level)
    block = there // layout.rows_per_block(level)
    missing = block_name(layout, level, block) if there < layout.count else "what lies behind the images"
    raise GenaeError(
        f"{path} is cut: {size:,} of {expected:,} bytes are there, and {missing} is the first that is missing; "
        "pack it again"
    )


def _described(store: PackedStore, tail: bytearray) -> Raw:
    """Images with what is known about them; the tail's hash has told that it is what was written."""
    layout = store.layout
    arrays = {}
    for name, place in layout.tensors().items():
        if place.dtype in ("I64", "BOOL"):
            values = np.frombuffer(
                tail, np.int64 if place.dtype == "I64" else np.bool_, place.shape[0], place.start - layout.tail()
            )
            arrays[name] = torch.from_numpy(values.copy())
    texts: dict[str, Any] = json.loads(tail[len(tail) - layout.texts :])
    lists: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in texts.items()}
    splits = {name: arrays[f"splits/{name}"] for name in layout.splits}
    attributes = {name: arrays[f"attributes/{name}"] for name in layout.attributes}
    own = layout.own
    if own is not None:
        lists["own_splits"] = {name: splits[name] if own[name] is None else arrays[f"own/{name}"] for name in own}
    return Raw(store, splits=splits, labels=arrays.get("labels"), attributes=attributes, **lists)
