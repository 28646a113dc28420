"""Operations of models with styles (`Mix`) or parts (`Parts`, `Swap`)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from genae.errors import GenaeError
from genae.operations.answers import Answer, Known, exactly, flags
from genae.reports import figures, part_figures


@dataclass(frozen=True)
class Mix:
    """Pictures with styles of others in bands. For each of ``bands``, ``sources`` pictures that give them follow those
    that are changed."""

    least: ClassVar[int] = 2

    bands: tuple[str, ...] = ("coarse",)
    sources: int = 1

    def answer(self, known: Known, pictures: Tensor) -> Answer:
        """A row for every source."""
        into, given = self._parted(pictures)
        mixed = {band: known.model.mix(into, out_of, band) for band, out_of in given.items()}
        return Answer({f"{band} {i + 1}": row for band, rows in mixed.items() for i, row in enumerate(rows)})

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae mix`'s."""
        return figures.mixing_grid(known.model, *self._parted(pictures))

    def command(self, count: int) -> list[str]:
        """Arguments of the command line, for one band."""
        numbers = [str(i) for i in range(count)]
        into, out_of = numbers[: -self.sources], numbers[-self.sources :]
        return ["mix", "--destinations", ",".join(into), "--sources", ",".join(out_of), "--bands", ",".join(self.bands)]

    def _parted(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        given = self.sources * len(self.bands)
        if self.sources < 1 or not 1 <= given < len(pictures):
            raise GenaeError(
                f"{given} of {len(pictures)} pictures give styles; expected one or more, and one to change"
            )
        rows = pictures[-given:].split(self.sources)
        return pictures[:-given], dict(zip(self.bands, rows, strict=True))


@dataclass(frozen=True)
class Parts:
    """Where the parts of a patch-vae occur in pictures."""

    least: ClassVar[int] = 1

    parts: tuple[int, ...] = ()

    def answer(self, known: Known, pictures: Tensor) -> Answer:
        """A row of heat for every part, on the grid of its cells."""
        occurrence = known.model.parts(pictures)[1]
        return Answer(heat={f"part {part}": occurrence[:, part, None] for part in self._chosen(occurrence)})

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae parts`'s."""
        return part_figures.occurrence_grid(known.model, pictures, self._chosen(known.model.parts(pictures[:1])[1]))

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["parts", "--count", str(count), *flags(self)]

    def _chosen(self, occurrence: Tensor) -> list[int]:
        return _numbered(self.parts, occurrence.shape[1])


@dataclass(frozen=True)
class Swap:
    """The first picture with the appearance that parts have in the second, one part at a time."""

    least: ClassVar[int] = 2

    parts: tuple[int, ...] = ()
    from_part: int = -1
    """The part of the second picture whose appearance it is; -1: the same."""

    def answer(self, known: Known, pictures: Tensor) -> Answer:
        """One row, an image for every part, after the reconstruction."""
        exactly(2, pictures)
        model = known.model
        chosen = _numbered(self.parts, model.parts(pictures[:1])[1].shape[1])
        swapped = [model.swap_part(pictures[:1], pictures[1:], part, self._source()) for part in chosen]
        return Answer({"swapped": torch.cat([model.reconstruct(pictures[:1]), *swapped])}, {}, {"parts": chosen})

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae parts --show swaps`'s: each picture with the appearances of the one before it."""
        chosen = _numbered(self.parts, known.model.parts(pictures[:1])[1].shape[1])
        return part_figures.swap_grid(known.model, pictures, pictures.roll(1, 0), chosen, self._source())

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["parts", "--show", "swaps", "--count", str(count), *flags(self)]

    def _source(self) -> int | None:
        return None if self.from_part == -1 else self.from_part


def _numbered(parts: tuple[int, ...], count: int) -> list[int]:
    for part in parts:
        if not 0 <= part < count:
            raise GenaeError(f"there is no part {part}; the model has parts 0 to {count - 1}")
    return list(parts or range(count))
