"""MNIST's files: where they are below a folder, and what is in them."""

import gzip
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genae.errors import GenaeError

STEMS = tuple(f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
_FAMILY = re.compile("fashion|kmnist|kuzushiji|emnist|qmnist|mnist")  # data sets whose files have the same names
_USUAL = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}


def find_idx(root: Path, data_set: str) -> dict[str, Path]:
    """The four IDX files of ``mnist`` or ``fashion-mnist`` in a folder at or below ``root``, by stem; nothing is
    written.

    Files may be gzipped, and may have a dot before ``idx``. Several data sets give their files these names: a folder
    whose path names this data set is preferred to one that names none, and a folder that names another is left out.
    Raises `GenaeError` where there are no such files.
    """
    usual = root / _USUAL[data_set]  # torchvision's layout: found without a walk
    if usual.is_dir() and len(files := _members(usual, os.listdir(usual))) == len(STEMS):
        return files
    partial: list[Path] = []
    candidates: list[tuple[bool, int, str, dict[str, Path]]] = []
    for folder, names in _folders(root):
        files = _members(folder, names)
        if not files or _family(folder) not in (data_set, None):
            continue
        if len(files) < len(STEMS):
            partial.extend(files.values())
        else:
            candidates.append((_family(folder) is None, len(folder.parts), str(folder), files))
    if not candidates:
        there = f"only {', '.join(path.name for path in sorted(partial)[:3])} is there" if partial else "none is there"
        raise GenaeError(
            f"{data_set} is not below {root}: looked for a folder with {', '.join(STEMS)}, plain or with .gz, "
            f"and {there}; correct --data-root, or leave it out to download the data set"
        )
    return min(candidates, key=lambda candidate: candidate[:3])[3]


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder that is not hidden, and the names in it; links are followed, each place once."""
    visited: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        place = os.path.realpath(folder)
        below[:] = [] if place in visited else sorted(name for name in below if not name.startswith("."))
        if place not in visited:
            visited.add(place)
            yield Path(folder), names


def _members(folder: Path, names: list[str]) -> dict[str, Path]:
    """Those of the four files that a folder holds; an unpacked file is preferred to a gzipped one."""
    present = set(names)
    spellings = ((stem, (stem, stem.replace("-idx", ".idx"))) for stem in STEMS)
    return {
        stem: folder / next(name for name in options if name in present)
        for stem, spelt in spellings
        if present.intersection(options := (*spelt, *(f"{name}.gz" for name in spelt)))
    }


def _family(folder: Path) -> str | None:
    """The data set that the deepest telling part of a path names."""
    for part in reversed(folder.absolute().parts):
        if words := set(_FAMILY.findall(part.lower())):
            word = min(words - {"mnist"}, default="mnist")
            return "fashion-mnist" if word == "fashion" else word
    return None


def read_idx(files: Mapping[str, Path]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images [N, H, W] uint8 and labels [N], and test images and labels. Raises `GenaeError`."""
    train, train_labels, test, test_labels = (_read(files[stem]) for stem in STEMS)
    for images, labels, stem in ((train, train_labels, STEMS[0]), (test, test_labels, STEMS[2])):
        if images.ndim != 3 or labels.shape != images.shape[:1] or train.shape[1:] != images.shape[1:]:
            raise GenaeError(
                f"{files[stem]} holds {list(images.shape)} values beside {list(labels.shape)} labels; "
                "expected images [N, H, W] and N labels"
            )
    return train, train_labels, test, test_labels


def _read(path: Path) -> Tensor:
    """Read an IDX file (LeCun's format: type and rank, big-endian sizes, values), plain or gzipped."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rank = data[3]
        shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
        values = np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise GenaeError(f"{path} is not a complete IDX file ({error}); delete it and try again") from None
    return torch.from_numpy(values.copy())
