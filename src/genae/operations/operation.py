"""What every operation has: settings, an answer for the page, a figure for a file, and its command line."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, NamedTuple

from PIL import Image
from torch import Tensor

from genae.errors import GenaeError
from genae.operations.session import Session


class Answer(NamedTuple):
    """What the page shows."""

    images: Mapping[str, Tensor] = {}
    """Named rows of images [K, C, H, W] in [-1, 1]."""
    heat: Mapping[str, Tensor] = {}
    """Named rows of maps [K, 1, h, w] in [0, 1]."""
    numbers: Mapping[str, object] = {}
    """Named values as JSON holds them."""
    codes: Tensor | None = None
    """Codes [K, D] of the images in the first row, if they were decoded from codes."""


MOST_IN_FIGURE = 10_000
"""Images of a figure or an animation."""


@dataclass(frozen=True)
class Operation:
    """One thing that a person can ask of a trained model; the fields of a subclass are its settings.

    Pictures are [N, C, H, W] in [-1, 1], of the model's size.
    """

    reads_data: ClassVar[bool] = False
    """Whether it needs the run's own data, so that its command line names their place."""

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """Images and numbers. Raises `GenaeError` for what the user can mend."""
        raise NotImplementedError

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """The picture that the command line writes. Raises `GenaeError`."""
        raise NotImplementedError

    def arrays(self, session: Session, pictures: Tensor) -> dict[str, Tensor]:
        """What a file of codes holds. Raises `GenaeError` for images that were not decoded from codes of one vector."""
        codes = self.answer(session, pictures).codes
        if codes is None:
            raise GenaeError("these images were not decoded from codes of one vector each")
        return {"codes": codes}

    def command(self, count: int) -> list[str]:
        """The verb and the flags of the command line for ``count`` pictures. Raises `GenaeError`."""
        raise NotImplementedError

    def limit(self, most: int) -> None:
        """Raise `GenaeError` where the settings ask for more than ``most`` images."""

    def is_ready(self, session: Session) -> bool:
        """Whether what it has to learn first is learned, so that it answers at once."""
        return True

    def flags(self, *without: str) -> list[str]:
        """Settings that differ from their defaults, as flags; those ``without`` are left out."""
        given = []
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.name not in without and value != setting.default:
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                given += [f"--{setting.name.replace('_', '-')}", text]
        return given


def expect_pictures(given: int, least: int, most: int | None = None) -> None:
    """Raise `GenaeError` for fewer pictures than ``least``, or more than ``most``."""
    if given < least:
        raise GenaeError(f"{given} pictures were given; expected {least} or more")
    if most is not None and given > most:
        raise GenaeError(f"{given} pictures were given; expected {most}")


def expect_fits(images: int, what: str) -> None:
    """Raise `GenaeError` for more images than a figure holds."""
    if images > MOST_IN_FIGURE:
        raise GenaeError(
            f"a figure of {images:,} {what} was requested; expected at most {MOST_IN_FIGURE:,}: ask for fewer, or for "
            "single files"
        )


def expect_between(name: str, value: int, least: int, most: int | None = None) -> None:
    """Raise `GenaeError` for a setting below ``least`` or above ``most``."""
    if value < least:
        raise GenaeError(f"{name} is {value}; expected at least {least}")
    if most is not None and value > most:
        raise GenaeError(f"{name} is {value}; expected at most {most}")
