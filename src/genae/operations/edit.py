"""Pictures or samples moved along directions of attributes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from genae.errors import GenaeError
from genae.metrics.reconstruction import mse
from genae.operations.operation import Answer, Operation, expect_between, expect_pictures
from genae.operations.session import Session
from genae.reports import figures

ON = ("images", "samples")


@dataclass(frozen=True)
class Edit(Operation):
    """Pictures moved along directions: ``amounts`` says how far along each.

    A figure shows one direction, at ``strengths``; without them, at shares of its amount. ``on`` samples, ``count`` of
    them are drawn from ``prior`` instead of pictures.
    """

    reads_data: ClassVar[bool] = True

    amounts: Mapping[str, float] = field(default_factory=dict)
    direction: str = "mean"
    band: str = ""
    strengths: tuple[float, ...] = ()
    on: str = "images"
    prior: str = ""
    count: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.on not in ON:
            raise GenaeError(f"on is {self.on!r}; expected {' or '.join(ON)}")
        expect_between("count", self.count, 1)

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """The moved images, those that they start from, and the errors of these where they are reconstructions."""
        self._expect(len(pictures))
        model = session.model
        samples = self.on == "samples"
        start = self._samples(session) if samples else session.encode(pictures, "code")
        directions = ((size, session.direction(name, self.direction)) for name, size in self.amounts.items())
        along = sum((size * direction for size, direction in directions), torch.zeros(1))
        moved = model.moved(start, along[None].expand_as(start), self.band or None)
        before = model.decode(start) if samples else session.decoded(pictures)
        rows = {"edited": model.decode(moved), "sample" if samples else "reconstruction": before}
        numbers = {} if samples else {"mse": mse(before, pictures).tolist()}
        return Answer(rows, {}, numbers, moved if moved.ndim == 2 else None)

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae edit`'s, of one direction."""
        self._expect(len(pictures))
        name = self._attribute()
        direction = session.direction(name, self.direction)
        # Pictures together, as the command line does: rounding depends on the batch.
        samples = self.on == "samples"
        codes = self._samples(session) if samples else session.model.encode(pictures)
        images = None if samples else pictures
        return figures.edit_grid(session.model, codes, direction, name, self._strengths(), self.band or None, images)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line. Raises `GenaeError` where there is not one direction."""
        self._expect(count)
        attribute = ["--attribute", self._attribute()]
        strengths = "--strengths=" + ",".join(f"{s:g}" for s in self._strengths())
        if self.on == "samples":
            return ["edit", *attribute, strengths, *self.flags("amounts", "strengths")]
        flags = self.flags("amounts", "strengths", "on", "prior", "count", "seed")
        return ["edit", *attribute, "--count", str(count), strengths, *flags]

    def limit(self, most: int) -> None:
        """Of samples."""
        expect_between("count", self.count, 1, most)

    def is_ready(self, session: Session) -> bool:
        """Whether every direction is learned."""
        return all(session.knows_direction(name, self.direction) for name in self.amounts)

    def _expect(self, pictures: int) -> None:
        expect_pictures(pictures, 0 if self.on == "samples" else 1)

    def _samples(self, session: Session) -> Tensor:
        return session.model.sample_codes(self.count, self.seed, self.prior or None)

    def _attribute(self) -> str:
        if len(self.amounts) != 1:
            raise GenaeError(f"the figure of an edit shows one direction; {len(self.amounts)} are set")
        return next(iter(self.amounts))

    def _strengths(self) -> list[float]:
        if self.strengths:
            return list(self.strengths)
        most = abs(next(iter(self.amounts.values()), 0.0)) or 2.0
        return [round(share * most, 6) for share in (-1, -0.5, 0, 0.5, 1)]
