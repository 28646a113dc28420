"""Images from picture files: in a folder, in a zip of one, or in a list."""

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from genae.data.decoding import (
    EXTENSIONS,
    WIDE,
    Picture,
    bring_to,
    channel_conversion,
    exceeds_16_bits,
    formats_name,
    read_picture,
    to_8_bits,
)
from genae.data.lists import SPLIT_FOLDERS, slashed
from genae.data.official import TABLES, Official, is_table, official
from genae.data.raw import Raw, allocate, expect_room
from genae.data.transforms import FITS, RESIZE, resize, resize_name, size_of
from genae.errors import GenaeError, reason

AHEAD = 1024  # pictures that threads may decode before they are taken
T = TypeVar("T")


@dataclass(frozen=True)
class Files:
    """Pictures and how to read them."""

    where: str
    """What they are called in messages."""
    names: list[str]
    read: Callable[[str], bytes | Image.Image]
    """The contents of a file, or a picture in memory."""
    lists: list[str] = field(default_factory=list)
    """Files that may be lists or tables of splits."""
    in_folders: bool = True
    """Whether the folders in names are splits and classes."""

    def official(self) -> Official:
        """Which of them belong together, their splits and classes."""
        if not self.in_folders:
            return Official(self.names, {}, lambda name: "")
        return official(self.names, self.lists, self.bytes)

    def bytes(self, name: str) -> bytes:
        """The contents of a file; `GenaeError` where it cannot be read."""
        try:
            content = self.read(name)
        except Exception as error:  # what a damaged archive raises is up to its library
            raise self.unreadable(name, error) from None
        assert isinstance(content, bytes), "pictures in memory are not asked for their bytes"
        return content

    def unreadable(self, name: str, error: Exception) -> GenaeError:
        """The error that names an unreadable file."""
        return GenaeError(f"{name} in {self.where} is unreadable ({cause(error)}); repair or remove it")


def find_pictures(path: Path) -> Files:
    """Every picture below a folder, in a zip of one, or the single picture that ``path`` is; sorted by name.

    In a zip, a folder that holds all of them is opened, as unpacking and entering it would. Raises `GenaeError` where
    there are none.
    """
    if path.is_dir():
        names, read = [*_below(path), *_beside(path)], lambda name: (path / name).read_bytes()
    elif is_picture(path.name):
        return Files(str(path), [path.name], lambda name: (path.parent / name).read_bytes(), in_folders=False)
    else:
        names, read = _in_zip(path)
    pictures = sorted(filter(is_picture, names))
    if not pictures:
        raise GenaeError(f"{path} holds no images; expected files ending in {', '.join(sorted(EXTENSIONS))}")
    return Files(str(path), pictures, read, sorted(name for name in names if not is_picture(name)))


def listed_pictures(items: Sequence[str | Path | Image.Image]) -> Files:
    """The pictures of a list of paths or Pillow's images, in its order."""
    contents: Mapping[str, str | Path | Image.Image] = {
        f"number {number}" if isinstance(item, Image.Image) else str(item): item for number, item in enumerate(items)
    }
    if len(contents) < len(items):
        raise GenaeError(f"the list of {len(items)} pictures names {len(items) - len(contents)} of them twice")

    def read(name: str) -> bytes | Image.Image:
        item = contents[name]
        return item if isinstance(item, Image.Image) else Path(item).expanduser().read_bytes()

    return Files(f"the list of {len(items)} pictures", list(contents), read, in_folders=False)


def cause(error: Exception) -> str:
    """Why a file is unreadable, in words."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return error.strerror if isinstance(error, OSError) and error.strerror else reason(error)


def is_picture(name: str) -> bool:
    """Whether a file's name ends as pictures' names do."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def _below(root: Path) -> Iterator[str]:
    """Pictures and lists of splits below a folder, as POSIX paths; links to folders are not followed."""
    for folder, _, names in os.walk(root):
        above = "" if folder == str(root) else Path(folder).relative_to(root).as_posix() + "/"
        yield from filter(_is_wanted, (above + name for name in names))


def _beside(root: Path) -> Iterator[str]:
    """Tables of splits beside a folder of pictures that holds none, as the makers of CelebA and Oxford-102 lay them."""
    for name in TABLES:
        if (root.parent / name).is_file() and not (root / name).exists():
            yield f"../{name}"


def _in_zip(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """Pictures and lists of splits in a zip, and how to read one."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise GenaeError(f"{path} is not a readable zip file: {cause(error)}") from None
    members = {slashed(name): name for name in archive.namelist()}
    stored = list(filter(_is_wanted, members))
    tops = {name.partition("/")[0] + "/" if "/" in name else "" for name in stored}
    top = tops.pop() if len(tops) == 1 else ""
    if top.lower().rstrip("/") in SPLIT_FOLDERS:
        top = ""
    return [name.removeprefix(top) for name in stored], lambda name: archive.read(members[top + name])


def _is_wanted(name: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return not hidden and (is_picture(name) or is_table(name))


def in_threads(function: Callable[[str], T], names: Sequence[str]) -> Iterator[T]:
    """``function`` of every name, in order, computed by several threads; few results wait at a time."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for start in range(0, len(names), AHEAD):
            yield from pool.map(function, names[start : start + AHEAD])


def read_pictures(files: Files, size: tuple[int, int] | None, fit: str, channels: int | None, skip_bad: bool) -> Raw:
    """Decode pictures, and bring them to ``size`` and, where they differ, to ``channels`` and one depth.

    Pictures of 8 bits are brought to ``channels`` as they are read. Deeper ones keep their channels unless they differ;
    they keep their depth unless some pictures have 8 bits. Raises `GenaeError` for what is unreadable or does not fit
    together.
    """
    layout = files.official()
    names = layout.names
    if size:
        expect_room(len(names), (channels or 1, *size), 1, files.where)

    def load(name: str) -> tuple[Picture, str, bool] | str:
        """A picture, the size that it had, and whether it exceeds 16 bits; or why it is unreadable."""
        try:
            picture = read_picture(files.read(name), channels)
            before, wide = size_of(picture.pixels), exceeds_16_bits(picture.pixels)
            return (picture._replace(pixels=resize(picture.pixels, size, fit)) if size else picture), before, wide
        except Exception as error:  # what a damaged picture or archive raises is up to its library
            return cause(error)

    stack = _Stack(files.where, len(names), channels)
    bad: list[str] = []
    for name, loaded in zip(names, in_threads(load, names), strict=True):
        if isinstance(loaded, str):
            bad.append(f"{name} ({loaded})")
        else:
            stack.add(name, *loaded)
    if bad and not skip_bad:
        shown = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
        raise GenaeError(
            f"{len(bad)} of {len(names)} files in {files.where} are unreadable: {shown}; "
            "repair them, or leave them out with --skip-bad"
        )
    if not stack.names:
        raise GenaeError(f"none of the {len(names)} files in {files.where} is a readable image")
    pixels = stack.finish(size is not None)
    labels, classes = _labels([layout.class_of(name) for name in stack.names])
    place = {name: i for i, name in enumerate(stack.names)}
    members = {part: [place[name] for name in names if name in place] for part, names in layout.splits.items()}
    splits = {part: torch.tensor(numbers) for part, numbers in members.items() if numbers}
    sizes = next(iter(stack.sizes)) if len(stack.sizes) == 1 else f"{len(stack.sizes)} sizes"
    total, source = (f" of {len(files.names)}", f" ({layout.source})") if layout.source else ("", "")
    notes = [f"{len(stack.names)}{total} image files, {sizes}{source}"]
    resized = resize_name(size, fit) if size and set(stack.sizes) != {f"{size[0]}x{size[1]}"} else "none"
    if size and resized != "none":
        notes.append(f"resized to {size[0]}x{size[1]} ({RESIZE}): {FITS[fit]}")
    if stack.wide:
        notes.append(f"{len(stack.wide)} have values beyond 16 bits, read as white; --value-range LOW,HIGH keeps them")
    if bad:
        notes.append(f"{len(bad)} unreadable files skipped: {', '.join(bad[:3])}")
    return Raw(
        pixels, labels, classes, splits, depth=stack.white, names=tuple(stack.names), notes=tuple(notes),
        conversions=tuple(stack.conversions), format=formats_name(stack.formats), resize=resized,
    )  # fmt: skip


class _Stack:
    """Pictures that come one by one and become one tensor; those unlike the first are set aside until all are there."""

    def __init__(self, where: str, count: int, channels: int | None) -> None:
        self.where, self.count, self.channels = where, count, channels
        self.names: list[str] = []
        self.formats: set[str] = set()
        self.sizes: Counter[str] = Counter()
        self.conversions: list[str] = []
        self.wide: list[str] = []
        """Pictures with values beyond 16 bits."""
        self.white: int | None = None
        """The largest value of integers deeper than 8 bits."""
        self._kinds: list[tuple[torch.dtype, int, int]] = []
        """Of every picture: type, channels of the file, channels now."""
        self._pixels: Tensor | None = None
        self._others: dict[int, Tensor] = {}

    def add(self, name: str, picture: Picture, size: str, wide: bool) -> None:
        """Take the next picture; ``size`` is the one that its file has, ``wide`` whether it exceeds 16 bits."""
        pixels, number = picture.pixels, len(self.names)
        self.names.append(name)
        self.formats.add(picture.format)
        self.sizes[size] += 1
        self.wide += [name] if wide else []
        self._kinds.append((pixels.dtype, picture.channels, len(pixels)))
        if self._pixels is None:
            self._pixels = allocate(self.count, pixels.shape, _stored(pixels.dtype), self.where)
        if pixels.shape == self._pixels.shape[1:] and pixels.dtype == self._kinds[0][0]:
            self._pixels[number] = pixels
        else:
            self._others[number] = pixels

    def finish(self, resized: bool) -> Tensor:
        """All pictures [N, C, H, W], uint8 or float32; raises `GenaeError` if they do not fit together."""
        assert self._pixels is not None
        total = len(self.names)
        types, counts = Counter(kind[0] for kind in self._kinds), Counter(kind[2] for kind in self._kinds)
        if len(counts) > 1 and self.channels not in (1, 3, 4):
            parts = ", ".join(f"{number} with {count}" for count, number in sorted(counts.items()))
            odd = self._example(2, min(counts, key=lambda count: counts[count]))
            raise GenaeError(
                f"{self.where} mixes channel counts ({parts}); choose one with --channels 1, 3 or 4 ({odd} differs)"
            )
        if len(self.sizes) > 1 and not resized:
            raise GenaeError(
                f"{self.where} holds images of {len(self.sizes)} sizes (most often {self.sizes.most_common(1)[0][0]}); "
                "choose one with --size, for example --size 64"
            )
        if len(types) > 1:
            self._check_depths(types)
        if torch.uint8 in types or len(counts) > 1:  # else `open_data` converts all of them
            self.conversions += channel_conversion(Counter(kind[1] for kind in self._kinds), self.channels)
        pixels = self._fitted(len(types) > 1, len(counts) > 1) if self._others else self._pixels[:total]
        if types.keys() == {torch.int32}:
            self.white = 65535
        return pixels

    def _check_depths(self, types: Counter[torch.dtype]) -> None:
        """Integers of 8 and 16 bits become 8 bits if channels are chosen; what cannot be refuses, by a file's name."""
        if torch.float32 in types:
            odd = self._example(0, torch.float32)
            raise GenaeError(f"{self.where} mixes integers and floats: {odd} holds floats; convert or remove it")
        deep, total = types[torch.int32], len(self.names)
        if self.channels is None:
            odd = self._example(0, torch.int32 if 2 * deep <= total else torch.uint8)
            raise GenaeError(
                f"{self.where} mixes 8-bit and deeper images ({deep} of {total} are deeper; {odd} differs from most); "
                "choose --channels 1, 3 or 4 to bring all of them to 8 bits"
            )
        self.conversions.append(f"{deep} of {total} images scaled from 16 to 8 bits")

    def _fitted(self, mixed_depths: bool, mixed_channels: bool) -> Tensor:
        """The pictures in one new tensor, with those unlike the first brought to what all become."""
        assert self._pixels is not None
        first = self._pixels[0]
        channels = self.channels if mixed_channels and self.channels else len(first)
        dtype = torch.uint8 if mixed_depths else first.dtype
        fitted = allocate(len(self.names), (channels, *first.shape[1:]), dtype, self.where)
        if mixed_depths and self.wide:
            raise GenaeError(
                f"{self.wide[0]} in {self.where} cannot be brought to 8 bits: {WIDE}; convert or remove it"
            )
        for number in range(len(self.names)):
            pixels = self._others.pop(number, self._pixels[number])
            if mixed_depths and pixels.dtype != torch.uint8:
                pixels = to_8_bits(pixels.clamp(0, 65535))  # resizing may exceed the range
            fitted[number] = bring_to(pixels, channels)
        return fitted

    def _example(self, field: int, value: object) -> str:
        return next(name for name, kind in zip(self.names, self._kinds, strict=True) if kind[field] == value)


def _stored(dtype: torch.dtype) -> torch.dtype:
    """The type in which a stack keeps pictures: 16-bit integers as float32, which holds each of them."""
    return torch.uint8 if dtype == torch.uint8 else torch.float32


def _labels(folders: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """A class number for every picture, if each is in a folder and there are at least two."""
    classes = tuple(sorted(set(folders)))
    if not all(folders) or len(classes) < 2:
        return None, ()
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number[folder] for folder in folders]), classes
