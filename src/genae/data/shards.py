"""Files that hold many pictures each, such as ``train-{000..099}.tar``: which there are, their splits and classes."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from genae.data.lists import SPLIT_FOLDERS
from genae.data.official import Official
from genae.errors import GenaeError

MOST = 100_000
"""Names that a pattern may stand for."""
LABELS = ("label", "cls", "class")
"""Keys and columns that hold the class of a picture: the first that is there."""
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_SPLIT = re.compile(rf"(?:.*[^a-z])?({'|'.join(SPLIT_FOLDERS)})([^a-z].*)?")


def expanded(pattern: str) -> list[str]:
    """``a-{08..10}.tar`` -> ``a-08.tar``, ``a-09.tar``, ``a-10.tar``; ``{a,b}`` -> each; as shells do.

    Raises `GenaeError` for braces that hold neither, and for more than `MOST` names.
    """
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    ends = expanded(pattern[match.end() :])
    numbers = _RANGE.fullmatch(match[1])
    if numbers:
        first, last = int(numbers[1]), int(numbers[2])
        width = max(map(len, numbers.groups())) if "0" in (numbers[1][0], numbers[2][0]) else 1
        if (abs(last - first) + 1) * len(ends) > MOST:
            raise GenaeError(f"{pattern} stands for more than {MOST:,} files; expected a pattern of fewer")
        counted = range(first, last + 1) if first <= last else range(first, last - 1, -1)
        words = [f"{number:0{width}}" for number in counted]
    elif "," in match[1]:
        words = match[1].split(",")
    else:
        raise GenaeError(f"{pattern} has the braces {match[0]}; expected a range such as {{000..099}}, or {{a,b}}")
    return [pattern[: match.start()] + word + end for word in words for end in ends]


def shards_of(pattern: str) -> list[Path]:
    """The files that a pattern with braces stands for; `GenaeError` if one is not there."""
    paths = [Path(name).expanduser() for name in expanded(pattern)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise GenaeError(
            f"{pattern} stands for {len(paths)} files, and {len(missing)} of them are not there, such as "
            f"{missing[0].name}; correct the pattern, or complete the copy"
        )
    return paths


def shards_below(folder: Path, ending: str) -> list[Path]:
    """Files with this ending in a folder and the folders in it, sorted; hidden ones are left out."""
    files = (path for path in folder.rglob(f"*{ending}") if path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def short_names(shards: Sequence[Path]) -> list[str]:
    """What each is called: its path in the folder that holds all of them, with / between folders."""
    above = os.path.commonpath([shard.parent for shard in shards])
    return [shard.relative_to(above).as_posix() for shard in shards]


def splits_of(shards: Sequence[str]) -> list[str]:
    """The split that the name of every shard, or else its folder, says: ``train-000.tar``, ``val/000.tar``.

    Empty for all of them where none does. Raises `GenaeError` where some do.
    """
    splits = [next(filter(None, map(_split, reversed(PurePath(shard).parts))), "") for shard in shards]
    odd = [shard for shard, split in zip(shards, splits, strict=True) if not split]
    if odd and len(odd) < len(shards):
        named = next(shard for shard, split in zip(shards, splits, strict=True) if split)
        raise GenaeError(
            f"{named} is named after a split and {odd[0]} is not; begin the names of all with train, val or test, or "
            "of none"
        )
    return splits


def _split(name: str) -> str:
    match = _SPLIT.fullmatch(name.lower())
    return SPLIT_FOLDERS[match[1]] if match else ""


def among(shards: Sequence[object], kind: str) -> str:
    """Where pictures are, as a clause: ``in 3 tar files``."""
    return f"in {len(shards)} {kind} files" if len(shards) > 1 else f"in one {kind} file"


def declared(
    pictures: Mapping[str, str], labels: Mapping[str, str], classes: Sequence[str] = (), note: str = ""
) -> Official:
    """What shards say of their ``pictures``: each one's name -> its split, empty for all where there are none.

    ``labels``: the class of every picture; where some have none, no labels are taken, and the note says so.
    ``classes``: in the order of their numbers; by default those in ``labels``, numbers in their order.
    """
    splits: dict[str, list[str]] = {}
    for name, split in pictures.items():
        splits.setdefault(split, []).append(name)
    splits.pop("", None)
    if len(splits) == 1 and "train" not in splits:
        splits = {}  # one split that was opened alone
    unlabelled = len(pictures) - len(labels)
    if labels and unlabelled:
        labels, note = {}, f"{note}, without labels, because {unlabelled} images have none"
    if not classes:
        names = set(labels.values())
        classes = sorted(names, key=int) if all(map(str.isdecimal, names)) else sorted(names)
    return Official(list(pictures), splits, lambda name: labels.get(name, ""), note, classes)
