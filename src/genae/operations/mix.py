"""Styles of some pictures applied to others."""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from genae.errors import GenaeError
from genae.operations.operation import Answer, Operation, expect_pictures
from genae.operations.session import Session
from genae.reports import figures


@dataclass(frozen=True)
class Mix(Operation):
    """Pictures with styles of others in bands. For each of ``bands``, ``sources`` pictures that give them follow those
    that are changed. Needs a model with styles."""

    bands: tuple[str, ...] = ("coarse",)
    sources: int = 1

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """A row for every source."""
        into, givers = self._parted(pictures)
        mixed = {band: session.model.mix(into, images, band) for band, images in givers.items()}
        return Answer({f"{band} {i + 1}": row for band, rows in mixed.items() for i, row in enumerate(rows)})

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae mix`'s."""
        return figures.mixing_grid(session.model, *self._parted(pictures))

    def command(self, count: int) -> list[str]:
        """Arguments of the command line, for one band."""
        expect_pictures(count, 2)
        numbers = [str(i) for i in range(count)]
        into, givers = numbers[: -self.sources], numbers[-self.sources :]
        return ["mix", "--destinations", ",".join(into), "--sources", ",".join(givers), "--bands", ",".join(self.bands)]

    def _parted(self, pictures: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        expect_pictures(len(pictures), 2)
        givers = self.sources * len(self.bands)
        if self.sources < 1 or not 1 <= givers < len(pictures):
            raise GenaeError(
                f"{givers} of {len(pictures)} pictures give styles; expected one or more, and one to change"
            )
        rows = pictures[-givers:].split(self.sources)
        return pictures[:-givers], dict(zip(self.bands, rows, strict=True))
