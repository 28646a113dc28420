"""Splits that come as lists beside the pictures: Indoor67's ``TrainImages.txt``, Places205's
``train_places205.csv``."""

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from genae.errors import GenaeError

SPLIT_FOLDERS = {"train": "train", "test": "test"} | dict.fromkeys(("val", "valid", "validation"), "validation")
_NAME = re.compile(rf"({'|'.join(SPLIT_FOLDERS)})(images)?(_\w+)?\.(txt|csv)", re.IGNORECASE)
_LINE = re.compile(r"(.+\.\w+)(?:[\s,]+\d+)?")


class Lists(NamedTuple):
    """What the lists of a data set say."""

    splits: Mapping[str, list[str]]
    """The pictures of every split; empty without lists."""
    above: str
    """The folders that hold all listed pictures, with a slash at the end."""

    def class_of(self, name: str) -> str:
        """The folders of a picture below those: ``a/abbey``; empty where there are none."""
        return name.removeprefix(self.above).rpartition("/")[0]


def slashed(name: str) -> str:
    """A path with / between its folders; tables, lists and archives that were made on Windows may have backslashes."""
    return name.replace("\\", "/")


def is_list(name: str) -> bool:
    """Whether a file is named as lists are: ``TrainImages.txt``, ``val_places205.csv``, ``test.txt``."""
    return _NAME.fullmatch(PurePosixPath(name).name) is not None


def read_lists(files: Sequence[str], pictures: Collection[str], read: Callable[[str], bytes]) -> Lists:
    """Read those of ``files`` that are lists of ``pictures``.

    A line is a picture's path, which may lack the folders that hold all of them, and possibly a class number. Without
    a list for training, every picture that no list names is for training; with one, those stay out. Raises `GenaeError`
    for lines that name no picture, and for pictures in two lists.
    """
    splits: dict[str, list[str]] = {}
    for file in filter(is_list, files):
        word = _NAME.fullmatch(PurePosixPath(file).name)
        split = SPLIT_FOLDERS[word[1].lower()]  # type: ignore[index]
        if split in splits:
            raise GenaeError(f"two lists of {split} pictures, of which one is {file}; keep one of them")
        lines = [line.strip() for line in read(file).decode("utf-8-sig", errors="replace").splitlines() if line.strip()]
        if not lines:
            raise GenaeError(f"{file} is empty; expected a picture's path in every line, or no such file")
        splits[split] = list(dict.fromkeys(_path(line, file) for line in lines))
    if not splits:
        return Lists({}, "")
    above = _above(next(path for paths in splits.values() for path in paths), pictures)
    present = set(pictures)
    for split, paths in splits.items():
        splits[split] = [above + path for path in paths]
        missing = [path for path in splits[split] if path not in present]
        if missing:
            raise GenaeError(
                f"{len(missing)} of the {len(paths)} pictures in the {split} list are not there, such as {missing[0]}; "
                "complete the copy, or remove the list"
            )
    for (one, first), (other, second) in itertools.combinations(splits.items(), 2):
        both = sorted(set(first) & set(second))
        if both:
            raise GenaeError(
                f"{len(both)} pictures are in the {one} list and in the {other} list, such as {both[0]}; "
                "list each only once"
            )
    if "train" not in splits:
        named = {name for names in splits.values() for name in names}
        splits["train"] = [name for name in pictures if name not in named]
    return Lists(splits, above)


def _path(line: str, file: str) -> str:
    match = _LINE.fullmatch(line)
    if match is None:
        raise GenaeError(f"{file} holds the line {line[:60]!r}; expected a picture's path, and perhaps a class number")
    return slashed(match[1]).removeprefix("./").removeprefix("/")


def _above(path: str, pictures: Collection[str]) -> str:
    """The folders in front of a listed path, with a slash at the end."""
    for picture in pictures:
        if picture == path or picture.endswith("/" + path):
            return picture.removesuffix(path)
    return ""
