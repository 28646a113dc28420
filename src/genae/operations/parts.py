"""Parts of a model whose codes say what occurs where: their places, and swaps of their appearance."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from genae.errors import GenaeError
from genae.model import Model
from genae.operations.operation import Answer, Operation, expect_pictures
from genae.operations.session import Session
from genae.reports import part_figures


@dataclass(frozen=True)
class Parts(Operation):
    """Where parts occur in pictures; without numbers, all of the model's parts."""

    parts: tuple[int, ...] = ()

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """A row of heat for every part, on the grid of its cells."""
        expect_pictures(len(pictures), 1)
        occurrence = session.model.parts(pictures)[1]
        return Answer(heat={f"part {n}": occurrence[:, n, None] for n in _numbers(self.parts, session.model)})

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae parts`'s."""
        expect_pictures(len(pictures), 1)
        return part_figures.occurrence_grid(session.model, pictures, _numbers(self.parts, session.model))

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        expect_pictures(count, 1)
        return ["parts", "--count", str(count), *self.flags()]


@dataclass(frozen=True)
class Swap(Operation):
    """The first picture with the appearance that parts have in the second, one part at a time."""

    parts: tuple[int, ...] = ()
    from_part: int = -1
    """The part of the second picture whose appearance it is; -1: the same."""

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """One row, an image for every part, after the reconstruction."""
        expect_pictures(len(pictures), 2, 2)
        model = session.model
        numbers = _numbers(self.parts, model)
        swapped = [model.swap_part(pictures[:1], pictures[1:], number, self._source()) for number in numbers]
        return Answer({"swapped": torch.cat([model.reconstruct(pictures[:1]), *swapped])}, {}, {"parts": numbers})

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae parts --show swaps`'s: each picture with the appearances of the one before it."""
        expect_pictures(len(pictures), 2)
        numbers = _numbers(self.parts, session.model)
        return part_figures.swap_grid(session.model, pictures, pictures.roll(1, 0), numbers, self._source())

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        expect_pictures(count, 2)
        return ["parts", "--show", "swaps", "--count", str(count), *self.flags()]

    def _source(self) -> int | None:
        return None if self.from_part == -1 else self.from_part


def _numbers(parts: tuple[int, ...], model: Model) -> list[int]:
    """Numbers of parts, by default all. Raises `GenaeError` for those that the model does not have."""
    for part in parts:
        if not 0 <= part < model.part_count:
            raise GenaeError(f"there is no part {part}; the model has parts 0 to {model.part_count - 1}")
    return list(parts or range(model.part_count))
