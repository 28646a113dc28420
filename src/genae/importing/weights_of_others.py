"""What every reader of other people's weights has in common: where they are from, and under which licence."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

CARD = "README.md"
LICENCES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE")
NOT_STATED = "not stated"


class Weights(NamedTuple):
    """An autoencoder as it was found."""

    options: Mapping[str, Any]
    """Of its class in `IMPORTED`, with where it is from."""
    tensors: Mapping[str, Tensor]
    """By the names that this class has for them."""
    colours: int
    """Channels of its images."""


def licence_of(*folders: Path) -> str:
    """What the model card in one of the folders says, else the first line of a licence file; else ``not stated``."""
    for folder in folders:
        if said := _of_card(_text(folder / CARD)):
            return said
    for folder in folders:
        for name in LICENCES:
            if lines := _text(folder / name).split("\n", 1)[0].strip():
                return lines[:80]
    return NOT_STATED


def _of_card(text: str) -> str:
    """``license`` in the head of a model card; of an ``other`` one its name."""
    head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    facts = dict(re.findall(r"^(license|license_name):[ \t]*(\S.*?)[ \t]*$", head[1], re.MULTILINE) if head else [])
    said = facts.get("license", "").strip("'\"")
    return facts.get("license_name", said) if said == "other" else said


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").lstrip() if file.is_file() else ""


def hashes_of(files: Sequence[Path]) -> str:
    """The SHA-256 of each file, separated by commas."""
    hashes = []
    for path in files:
        with open(path, "rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return ",".join(hashes)
