"""What an operation gives, what it knows, and how its settings look on a command line."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from torch import Tensor

from genae.errors import GenaeError
from genae.model import Model
from genae.operations.anomaly import Detector


class Answer(NamedTuple):
    """What the page shows."""

    images: Mapping[str, Tensor] = {}
    """Named rows of images [K, C, H, W] in [-1, 1]."""
    heat: Mapping[str, Tensor] = {}
    """Named rows of maps [K, 1, h, w] in [0, 1]."""
    numbers: Mapping[str, Any] = {}
    codes: Tensor | None = None
    """Codes [K, D] of the images in the first row, if they were decoded from codes."""
    error: str = ""
    """What the user can mend, in one sentence; then there is nothing else."""


class Known(NamedTuple):
    """What operations need to know besides the pictures."""

    model: Model
    encode: Callable[[Tensor, str], Tensor]
    """Images and space -> codes; those of pictures that were seen before are remembered."""
    decoded: Callable[[Tensor], Tensor]
    """Images -> their reconstructions, likewise remembered."""
    direction: Callable[[str, str], Tensor]
    """Name and kind (of `DIRECTIONS`) -> direction [D]."""
    detector: Callable[[], Detector]
    """What knows the training images."""


def flags(operation: Any, *without: str) -> list[str]:
    """Settings that differ from their defaults, as flags."""
    given = []
    for f in fields(operation):
        value = getattr(operation, f.name)
        if f.name in without or value == f.default:
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        given += [f"--{f.name.replace('_', '-')}", text]
    return given


def exactly(count: int, pictures: Tensor) -> None:
    """Raises `GenaeError` for another number of pictures."""
    if len(pictures) != count:
        raise GenaeError(f"{len(pictures)} pictures were given; expected {count}")
