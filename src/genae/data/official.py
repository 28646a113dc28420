"""Splits and classes that the makers of a data set fixed: by lists, tables, numbers or folders."""

import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from genae.data.lists import SPLIT_FOLDERS, is_list, read_lists
from genae.errors import GenaeError, reason

PARTITIONS = ("list_eval_partition.txt", "list_eval_partition.csv")
"""CelebA's table of splits, by its makers and as Kaggle has it."""
FLOWER_SPLITS, FLOWER_LABELS = "setid.mat", "imagelabels.mat"
"""Oxford-102's tables of splits and classes."""
TABLES = (*PARTITIONS, FLOWER_SPLITS, FLOWER_LABELS)
"""They are read in the folder of the pictures or beside it."""
NUMBERED = {70_000: ("FFHQ", 60_000), 30_000: ("CelebA-HQ", 27_000)}
"""Count of pictures numbered from 0 -> data set, and how many of them, in order, are for training; the rest is test."""
_PARTS = ("train", "validation", "test")
_SPLIT_OF_CATEGORY = re.compile(rf"(.+)_({'|'.join(SPLIT_FOLDERS)})(_lmdb)?", re.IGNORECASE)

Read = Callable[[str], bytes]
"""A file's name -> its contents."""


class Official(NamedTuple):
    """What a data set says about its pictures."""

    names: Sequence[str]
    """The pictures that belong to it."""
    splits: Mapping[str, Sequence[str]]
    """The pictures of every split; empty where it has none."""
    class_of: Callable[[str], str]
    """A picture's class, empty where it has none."""
    source: str = ""
    """What says so, as a clause, where it is not the folders: ``as list_eval_partition.txt says``."""
    classes: Sequence[str] = ()
    """All classes in the order of their numbers; empty for those that the pictures have, sorted."""


def official(pictures: Sequence[str], tables: Sequence[str], read: Read) -> Official:
    """Splits and classes of ``pictures`` as ``tables`` (files that `is_table` takes), numbers or folders say.

    In turn: CelebA's and Oxford-102's tables, whose pictures may have another ending here; lists (`lists.read_lists`);
    folders named as splits or, as LSUN's, ``CATEGORY_train``; FFHQ's and CelebA-HQ's numbers. Raises `GenaeError` for
    a table that does not fit.
    """
    for table in tables:
        kind = PurePosixPath(table).name
        if kind not in (*PARTITIONS, FLOWER_SPLITS):
            continue
        numbers = _partition(table, read(table)) if kind in PARTITIONS else _flower_splits(table, read(table))
        splits = _present(table, numbers, pictures)
        if not splits and table.startswith("../"):
            continue  # of other pictures: this folder only lies beside it
        if "train" not in splits:
            raise GenaeError(f"{table} names no training picture among the {len(pictures)}; remove it, or add them")
        return Official(
            sorted({name for names in splits.values() for name in names}), splits,
            _flower_classes(tables, read) if kind == FLOWER_SPLITS else lambda name: "", f"as {kind} says",
        )  # fmt: skip
    lists = read_lists(tables, pictures, read)
    if lists.splits:
        listed = sorted({name for names in lists.splits.values() for name in names})
        return Official(listed, lists.splits, lists.class_of, f"as {' and '.join(lists.splits)} lists say")
    in_folders = _in_folders(pictures)
    return in_folders if in_folders.splits else _numbered(pictures) or in_folders


def unrelated(pictures: Sequence[str]) -> Official:
    """Pictures without splits and classes, whatever their folders are."""
    return Official(pictures, {}, lambda name: "")


def is_table(name: str) -> bool:
    """Whether a file's name is that of a table or a list of splits."""
    return PurePosixPath(name).name in TABLES or is_list(name)


def _present(table: str, parts: Mapping[str, Sequence[str]], pictures: Sequence[str]) -> dict[str, list[str]]:
    """The pictures that a table names, whatever their folders and endings are; parts without any are left out."""
    copies: dict[str, list[str]] = {}
    for picture in pictures:
        copies.setdefault(_stem(picture), []).append(picture)
    named = {part: list(dict.fromkeys(map(_stem, names))) for part, names in parts.items()}
    for name, times in Counter(stem for stems in named.values() for stem in stems).items():
        if times > 1:
            raise GenaeError(f"{table} names {name} in two splits; correct or remove it")
        if len(copies.get(name, ())) > 1:
            raise GenaeError(
                f"{table} names {name}, and there are {' and '.join(copies[name][:2])}; keep one of the copies, or "
                "name the folder of one"
            )
    splits = {part: [copies[stem][0] for stem in stems if stem in copies] for part, stems in named.items()}
    return {part: names for part, names in splits.items() if names}


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.lower()


def _partition(table: str, content: bytes) -> dict[str, list[str]]:
    """CelebA's ``000001.jpg 0`` or ``000001.jpg,0``, with 0, 1, 2 for training, validation and test."""
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    splits: dict[str, list[str]] = {part: [] for part in _PARTS}
    for row in filter(None, (line.replace(",", " ").split() for line in lines)):
        if row == ["image_id", "partition"]:
            continue
        if len(row) != 2 or row[1] not in ("0", "1", "2"):
            raise GenaeError(f"{table} holds the line {' '.join(row)[:60]!r}; expected a picture and 0, 1 or 2")
        splits[_PARTS[int(row[1])]].append(row[0])
    return splits


def _flower_splits(table: str, content: bytes) -> dict[str, list[str]]:
    """Oxford-102's numbers of pictures, from 1."""
    arrays = _matlab(table, content, "trnid", "valid", "tstid")
    if min(number for numbers in arrays for number in (1, *numbers)) < 1:
        raise GenaeError(f"{table} holds numbers of pictures below 1; restore or remove it")
    return {
        part: [f"image_{number:05d}.jpg" for number in numbers]
        for part, numbers in zip(_PARTS, arrays, strict=True)
    }  # fmt: skip


def _flower_classes(tables: Sequence[str], read: Read) -> Callable[[str], str]:
    labels: list[int] = []
    for table in tables:
        if PurePosixPath(table).name == FLOWER_LABELS:
            (labels,) = _matlab(table, read(table), "labels")

    def class_of(name: str) -> str:
        number = int(_stem(name).removeprefix("image_"))
        if labels and number > len(labels):
            raise GenaeError(f"{FLOWER_LABELS} has {len(labels)} labels and none for {name}; restore or remove it")
        return f"{labels[number - 1]:03d}" if labels else ""

    return class_of


def _matlab(table: str, content: bytes, *names: str) -> list[list[int]]:
    """Arrays of whole numbers of a MATLAB file."""
    from scipy.io import loadmat

    try:
        arrays = loadmat(io.BytesIO(content))
        return [[int(number) for number in arrays[name].ravel()] for name in names]
    except Exception as error:  # what a damaged file raises is up to its library
        raise GenaeError(
            f"{table} holds no arrays {', '.join(names)} ({reason(error)}); restore or remove it"
        ) from None


def _numbered(pictures: Sequence[str]) -> Official | None:
    """FFHQ and CelebA-HQ, whose pictures are numbered from 0; what is for validation is a part of the training set.

    They lie in one folder, or, as FFHQ's, in folders of a thousand; pictures in folders of classes are others.
    """
    name, train = NUMBERED.get(len(pictures), ("", 0))
    numbers = {int(stem): picture for picture in pictures if (stem := PurePosixPath(picture).stem).isdecimal()}
    folders = {number: PurePosixPath(picture).parent.name for number, picture in numbers.items()}
    in_thousands = all(folder == f"{number // 1000 * 1000:05d}" for number, folder in folders.items())
    if not name or set(numbers) != set(range(len(pictures))) or (len(set(folders.values())) > 1 and not in_thousands):
        return None
    ordered = [numbers[i] for i in range(len(pictures))]
    splits = {"train": ordered[:train], "validation": ordered[train - (len(ordered) - train) : train]}
    return Official(
        pictures, splits | {"test": ordered[train:]}, lambda picture: "",
        f"numbered as {name}: the last {len(ordered) - train:,} are test, and validation is the end of train",
    )  # fmt: skip


def _in_folders(pictures: Sequence[str]) -> Official:
    """Splits are folders named train, val or test, or ``bedroom_train`` and ``bedroom_val``; classes the ones below."""
    tops = [PurePosixPath(name).parts[:-1][:1] for name in pictures]
    if all(top and top[0].lower() in SPLIT_FOLDERS for top in tops):
        split_of = [SPLIT_FOLDERS[top[0].lower()] for top in tops]
        return Official(pictures, _grouped(pictures, split_of), lambda name: _folder(name, 1))
    matches = [_SPLIT_OF_CATEGORY.fullmatch(top[0]) if top else None for top in tops]
    split_of = [SPLIT_FOLDERS[match[2].lower()] for match in matches if match]
    if len(split_of) == len(pictures) and "train" in split_of:
        return Official(pictures, _grouped(pictures, split_of), _category)
    return Official(pictures, {}, lambda name: _folder(name, 0))


def _grouped(pictures: Sequence[str], split_of: Sequence[str]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {part: [] for part in sorted(set(split_of))}
    for name, part in zip(pictures, split_of, strict=True):
        splits[part].append(name)
    return splits


def _folder(name: str, depth: int) -> str:
    """The folder of a picture that lies below ``depth`` others."""
    folders = PurePosixPath(name).parts[:-1]
    return folders[depth] if len(folders) > depth else ""


def _category(name: str) -> str:
    match = _SPLIT_OF_CATEGORY.fullmatch(_folder(name, 0))
    return match[1] if match else ""
