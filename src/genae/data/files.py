"""Pictures and how to read them, whatever holds them."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from genae.data.decoding import EXTENSIONS
from genae.data.lists import SPLIT_FOLDERS
from genae.data.official import Official, is_table, official, unrelated
from genae.errors import GenaeError, reason


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
    own: Official | None = None
    """Their splits and classes, where the container says them: else lists, tables and folders do."""

    def official(self) -> Official:
        """Which of them belong together, their splits and classes."""
        return self.own or official(self.names, self.lists, self.bytes)

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


class Container(NamedTuple):
    """What holds pictures, before it is opened."""

    where: str
    """What it is called in messages."""
    on_disk: Sequence[str]
    """Paths of the files that hold them and their lists: their names, sizes and times tell pictures from others. Empty
    for pictures in memory."""
    open: Callable[[], Files]
    """Raises `GenaeError`."""


def listed_pictures(items: Sequence[str | Path | Image.Image]) -> Container:
    """The pictures of a list of paths or Pillow's images, in its order."""
    contents: Mapping[str, str | Path | Image.Image] = {
        f"number {number}" if isinstance(item, Image.Image) else str(item): item for number, item in enumerate(items)
    }
    if len(contents) < len(items):
        raise GenaeError(f"the list of {len(items)} pictures names {len(items) - len(contents)} of them twice")

    def read(name: str) -> bytes | Image.Image:
        item = contents[name]
        return item if isinstance(item, Image.Image) else Path(item).expanduser().read_bytes()

    names, where = list(contents), f"the list of {len(items)} pictures"
    in_memory = any(isinstance(item, Image.Image) for item in items)
    return Container(
        where, [] if in_memory else list(map(os.path.expanduser, names)),
        lambda: Files(where, names, read, own=unrelated(names)),
    )  # fmt: skip


def cause(error: Exception) -> str:
    """Why a file is unreadable, in words."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return error.strerror if isinstance(error, OSError) and error.strerror else reason(error)


def is_picture(name: str) -> bool:
    """Whether a file's name ends as pictures' names do."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def common_folder(names: Iterable[str]) -> str:
    """The folder at the top of an archive that holds all files, with a slash; empty where it is none or a split."""
    tops = {name.partition("/")[0] + "/" if "/" in name else "" for name in names}
    top = tops.pop() if len(tops) == 1 else ""
    return "" if top.lower().rstrip("/") in SPLIT_FOLDERS else top


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder above it, is one that systems keep for themselves."""
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def is_wanted(name: str) -> bool:
    """Whether a file is a picture, or a table or a list of splits."""
    return not is_hidden(name) and (is_picture(name) or is_table(name))
