"""Picture files as images of one shape: what their headers say, and their pixels, decoded when they are asked for."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from genae.data.decoding import (
    MODES,
    WIDE,
    Header,
    bring_to,
    channel_conversion,
    formats_name,
    plain_jpeg,
    read_header,
    read_picture,
    to_8_bits,
)
from genae.data.files import Files, cause
from genae.data.official import Official
from genae.data.raw import Raw, allocate
from genae.data.store import MemoryStore, Store
from genae.data.threads import WORKERS, in_threads, tasks_of, workers_for
from genae.data.transforms import FITS, RESIZE, resize, resize_name
from genae.errors import GenaeError
from genae.progress import Progress, screen, silent

SKIP = "repair them, or leave them out with --skip-bad"
REMOVE = "repair or remove them"
SHOWN_EVERY = 256
"""Headers between two reports of progress."""


class Preparation(NamedTuple):
    """What is done to every picture when it is decoded."""

    size: tuple[int, int] | None
    """(H, W); None where all have one size already."""
    fit: str
    channels: int | None
    """Wanted for pictures of 8 bits; deeper ones keep theirs unless counts are mixed."""
    mixed_channels: bool
    to_8_bits: bool
    work: int = 0
    """Bytes of pixels that a file holds, on average."""
    plain_jpegs: bool = False
    """Whether all are plain JPEG files, whose headers need not be looked at again."""


class DecodedStore(Store):
    """Pictures that are decoded when they are read."""

    def __init__(
        self, files: Files, names: Sequence[str], shape: tuple[int, int, int], dtype: torch.dtype, how: Preparation
    ) -> None:
        self.files, self.names, self.how = files, names, how
        self.shape, self.dtype = shape, dtype
        self._pool = ThreadPoolExecutor(WORKERS)  # its threads begin with the first picture

    def __len__(self) -> int:
        return len(self.names)

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        """Images [B, C, H, W]. Raises `GenaeError` that names an unreadable file."""
        names = [self.names[index] for index in indices.tolist()]
        rows = allocate(len(names), self.shape, self.dtype, self.files.where)
        parts = tasks_of(names, self.row_bytes, workers_for(self.how.work))
        tasks = self._pool.map(lambda task: list(map(self.picture, task)), parts)
        for row, name, picture in zip(rows, names, chain.from_iterable(tasks), strict=True):
            if isinstance(picture, str):
                raise GenaeError(f"{name} in {self.files.where} is unreadable ({picture}); repair or remove it")
            row.copy_(picture)
        return rows

    def rows(self, start: int = 0) -> Iterator[Tensor | str]:
        """From number ``start`` on, each image [C, H, W], or why its file is unreadable; decoded ahead by threads."""
        return in_threads(self.picture, self.names[start:], self.row_bytes, self.how.work)

    def subset(self, indices: Tensor) -> "DecodedStore":
        """The pictures with these numbers [M], in this order."""
        names = [self.names[index] for index in indices.tolist()]
        return DecodedStore(self.files, names, self.shape, self.dtype, self.how)

    def range(self) -> tuple[float, float]:
        """The lowest and the highest value of all readable pictures; 0 and 0 where there is none."""
        pairs = [row.aminmax() for row in self.rows() if not isinstance(row, str)]
        return min((float(low) for low, _ in pairs), default=0), max((float(high) for _, high in pairs), default=0)

    def hashed(self, before: bytes, after: bytes) -> str:
        """The digest: every picture is decoded, and `GenaeError` names those that are unreadable."""
        sha, bad = hashlib.sha256(before), list[str]()
        with screen.work() as progress:
            for number, row in enumerate(self.rows()):
                progress(f"checking {self.files.where}", number, len(self))
                if isinstance(row, str):
                    bad.append(f"{self.names[number]} ({row})")
                else:
                    sha.update(row.contiguous().numpy().data)
        refuse_or_note(bad, len(self), self.files.where, False, "repair them, or leave them out: genae pack --skip-bad")
        sha.update(after)
        return sha.hexdigest()[:16]

    def picture(self, name: str) -> Tensor | str:
        """The pixels [C, H, W] of a file, or why it is unreadable."""
        how = self.how
        try:
            data = self.files.read(name)
            plain = plain_jpeg(data, how.channels) if how.plain_jpegs and isinstance(data, bytes) else None
            pixels = read_picture(data, how.channels).pixels if plain is None else plain
            if how.size:
                pixels = resize(pixels, how.size, how.fit)
            if how.to_8_bits and pixels.dtype != torch.uint8:
                pixels = to_8_bits(pixels.clamp(0, 65535))  # resizing may exceed the range
            if how.mixed_channels and how.channels:
                pixels = bring_to(pixels, how.channels)
            if tuple(pixels.shape) != self.shape:
                return f"it has changed: its shape is now {list(pixels.shape)}, not {list(self.shape)}"
            return pixels if pixels.dtype == self.dtype else pixels.to(self.dtype)
        except Exception as error:  # what a damaged picture or archive raises is up to its library
            return cause(error)


def open_pictures(
    files: Files,
    size: tuple[int, int] | None,
    fit: str,
    channels: int | None,
    *,
    skip_bad: bool = False,
    eight_bits: bool = False,
    progress: Progress = silent,
) -> Raw:
    """Look at every header, and open the pictures as images of one shape that are decoded when asked for.

    Pictures of 8 bits are brought to ``channels``. Deeper ones keep their channels unless they differ; they keep their
    depth unless some pictures have 8 bits, or ``eight_bits`` says that all shall have. Raises `GenaeError` for
    unreadable headers, unless they are skipped, and for what does not fit together.
    """
    layout = files.official()
    headers: list[Header] = []
    names: list[str] = []
    bad: list[str] = []

    def look(name: str) -> Header | str:
        try:
            header = read_header(files.read(name))
        except Exception as error:  # what a damaged picture or archive raises is up to its library
            return cause(error)
        return WIDE if eight_bits and header.wide else header

    for name, header in zip(layout.names, in_threads(look, layout.names), strict=True):
        if (len(names) + len(bad)) % SHOWN_EVERY == 0:
            progress("reading headers", len(names) + len(bad), len(layout.names))
        if isinstance(header, str):
            bad.append(f"{name} ({header})")
        else:
            names.append(name)
            headers.append(header)
    notes = refuse_or_note(bad, len(layout.names), files.where, skip_bad, REMOVE if eight_bits else SKIP)
    return _Survey(files, layout, names, headers, size, channels, eight_bits).raw(fit, notes)


def decoded(raw: Raw, skip_bad: bool, advice: str = SKIP) -> Raw:
    """The pictures of `open_pictures` in memory. Raises `GenaeError` for unreadable files, unless they are skipped."""
    store = raw.store
    assert isinstance(store, DecodedStore)
    pixels = allocate(len(store), store.shape, store.dtype, store.files.where)
    good: list[int] = []
    bad: list[str] = []
    for number, row in enumerate(store.rows()):
        if isinstance(row, str):
            bad.append(f"{store.names[number]} ({row})")
        else:
            pixels[len(good)] = row
            good.append(number)
    notes = refuse_or_note(bad, len(store), store.files.where, skip_bad, advice)
    some = raw.subset(torch.tensor(good)) if bad else raw
    return replace(some, store=MemoryStore(pixels[: len(good)]), notes=(*raw.notes, *notes))


def refuse_or_note(bad: Sequence[str], total: int, where: str, skip_bad: bool, advice: str = SKIP) -> list[str]:
    """What a data set says of its unreadable files, each a name and a reason; `GenaeError` unless they are skipped."""
    if bad and not skip_bad:
        shown = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
        raise GenaeError(f"{len(bad)} of {total} files in {where} are unreadable: {shown}; {advice}")
    if len(bad) == total:
        raise GenaeError(f"none of the {total} files in {where} is a readable image")
    return [f"{len(bad)} unreadable files skipped: {', '.join(bad[:3])}"] if bad else []


class _Survey:
    """What the headers of pictures say together."""

    def __init__(
        self,
        files: Files,
        layout: Official,
        names: Sequence[str],
        headers: Sequence[Header],
        size: tuple[int, int] | None,
        channels: int | None,
        eight_bits: bool,
    ) -> None:
        self.files, self.layout, self.names, self.headers = files, layout, names, headers
        self.size, self.channels, self.eight_bits = size, channels, eight_bits
        self.types = Counter(header.dtype for header in headers)
        self.sizes = Counter((header.height, header.width) for header in headers)
        self.stored = Counter(header.channels for header in headers)
        self.counts = Counter(map(self.channels_of, headers))
        self.where = files.where
        self.conversions: list[str] = []

    def channels_of(self, header: Header) -> int:
        """How many a picture has when it is decoded: those of 8 bits are brought to the ones that are wanted."""
        wanted = self.channels in MODES and header.dtype == torch.uint8
        return self.channels if wanted and self.channels else header.channels

    def raw(self, fit: str, notes: Sequence[str]) -> Raw:
        """The pictures, to be decoded when asked for. Raises `GenaeError` for what does not fit together."""
        self._check_channels()
        if len(self.sizes) > 1 and not self.size:
            (height, width), _ = self.sizes.most_common(1)[0]
            raise GenaeError(
                f"{self.where} holds images of {len(self.sizes)} sizes (most often {height}x{width}); "
                "choose one with --size, for example --size 64"
            )
        if self.eight_bits and torch.float32 in self.types:
            odd = self._example(lambda header: header.dtype == torch.float32)
            raise GenaeError(f"{odd} in {self.where} holds floats; expected 8 or 16 bits (give arrays as .npz)")
        to_8_bits = self.eight_bits or len(self.types) > 1
        if len(self.types) > 1 or (self.eight_bits and self.types[torch.int32]):
            self._check_depths()
        mixed = len(self.counts) > 1
        if torch.uint8 in self.types or mixed or to_8_bits:  # else `open_data` converts all of them
            self.conversions += channel_conversion(self.stored, self.channels)
        mixed = mixed or (to_8_bits and self.channels is not None)
        channels = self.channels if mixed and self.channels else next(iter(self.counts))
        first = next(iter(self.sizes))
        plain = all(header.plain_jpeg for header in self.headers)
        work = sum(header.height * header.width * header.channels for header in self.headers) // len(self.headers)
        how = Preparation(self.size, fit, self.channels, mixed, to_8_bits, work, plain)
        dtype = torch.uint8 if to_8_bits or torch.uint8 in self.types else torch.float32
        store = DecodedStore(self.files, self.names, (channels, *(self.size or first)), dtype, how)
        resized = bool(self.size) and set(self.sizes) != {self.size}
        labels, classes = _labels([self.layout.class_of(name) for name in self.names], self.layout.classes)
        deep = self.types.keys() == {torch.int32} and not to_8_bits
        return Raw(
            store, labels, classes, self._splits(), depth=65535 if deep else None, names=tuple(self.names),
            notes=(*self._notes(resized, fit), *notes), conversions=tuple(self.conversions),
            format=formats_name({header.format for header in self.headers}),
            resize=resize_name(self.size, fit) if resized and self.size else "none",
        )  # fmt: skip

    def _notes(self, resized: bool, fit: str) -> Iterator[str]:
        kinds = len(self.sizes)
        height, width = next(iter(self.sizes))
        total, source = len(self.files.names), self.layout.source
        of, says = (f" of {total}", f" ({source})") if source else ("", "")
        yield f"{len(self.names)}{of} image files, {f'{height}x{width}' if kinds == 1 else f'{kinds} sizes'}{says}"
        if resized and self.size:
            yield f"resized to {self.size[0]}x{self.size[1]} ({RESIZE}): {FITS[fit]}"
        wide = sum(header.wide for header in self.headers)
        if wide:
            yield f"{wide} have values beyond 16 bits, read as white; --value-range LOW,HIGH keeps them"

    def _splits(self) -> dict[str, Tensor]:
        place: Mapping[str, int] = {name: i for i, name in enumerate(self.names)}
        members = {part: [place[name] for name in names if name in place] for part, names in self.layout.splits.items()}
        return {part: torch.tensor(numbers) for part, numbers in members.items() if numbers}

    def _check_channels(self) -> None:
        if len(self.counts) < 2 or self.channels in (1, 3, 4):
            return
        parts = ", ".join(f"{number} with {count}" for count, number in sorted(self.counts.items()))
        rarest = min(self.counts, key=lambda count: self.counts[count])
        odd = self._example(lambda header: self.channels_of(header) == rarest)
        raise GenaeError(
            f"{self.where} mixes channel counts ({parts}); choose one with --channels 1, 3 or 4 ({odd} differs)"
        )

    def _check_depths(self) -> None:
        """Integers of 8 and 16 bits become 8 bits if channels are chosen; what cannot be refuses, by a file's name."""
        if torch.float32 in self.types:
            odd = self._example(lambda header: header.dtype == torch.float32)
            raise GenaeError(f"{self.where} mixes integers and floats: {odd} holds floats; convert or remove it")
        deep, total = self.types[torch.int32], len(self.headers)
        if self.channels is None and not self.eight_bits:
            rarer = torch.int32 if 2 * deep <= total else torch.uint8
            odd = self._example(lambda header: header.dtype == rarer)
            raise GenaeError(
                f"{self.where} mixes 8-bit and deeper images ({deep} of {total} are deeper; {odd} differs from most); "
                "choose --channels 1, 3 or 4 to bring all of them to 8 bits"
            )
        if any(header.wide for header in self.headers):
            odd = self._example(lambda header: header.wide)
            raise GenaeError(f"{odd} in {self.where} cannot be brought to 8 bits: {WIDE}; convert or remove it")
        self.conversions.append(f"{deep} of {total} images scaled from 16 to 8 bits")

    def _example(self, is_odd: Callable[[Header], bool]) -> str:
        return next(name for name, header in zip(self.names, self.headers, strict=True) if is_odd(header))


def _labels(folders: Sequence[str], order: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """A class number for every picture, if each has a class and there are at least two; ``order`` gives theirs."""
    classes = tuple(order or sorted(set(folders)))
    if not all(folders) or len(classes) < 2:
        return None, ()
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number[folder] for folder in folders]), classes
