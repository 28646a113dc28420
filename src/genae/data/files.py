"""Images from picture files: in a folder, in a zip of one, or in a list."""

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from genae.data.decoding import EXTENSIONS
from genae.data.lists import SPLIT_FOLDERS, slashed
from genae.data.official import TABLES, Official, is_table, official
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
    on_disk: Callable[[], Sequence[str]] | None = None
    """Paths of the files that hold them and their lists: their names, sizes and times tell pictures from others."""
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
    if is_picture(path.name) and not path.is_dir():
        return Files(
            str(path), [path.name], lambda name: (path.parent / name).read_bytes(), on_disk=lambda: [str(path)],
            in_folders=False,
        )  # fmt: skip
    if path.is_dir():
        names, read = [*_below(path), *_beside(path)], lambda name: (path / name).read_bytes()
    else:
        names, read = _in_zip(path)
    pictures = sorted(filter(is_picture, names))
    if not pictures:
        raise GenaeError(f"{path} holds no images; expected files ending in {', '.join(sorted(EXTENSIONS))}")
    tables = sorted(name for name in names if not is_picture(name))
    on_disk = [f"{path}/{name}" for name in (*pictures, *tables)] if path.is_dir() else [str(path)]
    return Files(str(path), pictures, read, tables, lambda: on_disk)


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

    paths = [name for name, item in contents.items() if not isinstance(item, Image.Image)]
    on_disk = (lambda: [os.path.expanduser(name) for name in paths]) if len(paths) == len(contents) else None
    return Files(f"the list of {len(items)} pictures", list(contents), read, on_disk=on_disk, in_folders=False)


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
