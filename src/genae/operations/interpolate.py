"""Paths and blends between pictures."""

import math
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from genae.errors import GenaeError, nearest
from genae.latent.paths import PATHS, path
from genae.operations.operation import Answer, Operation, expect_between, expect_fits, expect_pictures
from genae.operations.session import Session
from genae.reports import figures


@dataclass(frozen=True)
class Interpolate(Operation):
    """Between pictures. ``weights`` is one place among two to four of them; without it, a path has ``steps`` images.

    ``pairs`` are numbers of pictures whose paths a figure shows: a, b, c, d for a to b and c to d. ``square``: the
    square between four pictures.
    """

    space: str = "code"
    path: str = "linear"
    steps: int = 9
    weights: tuple[float, ...] = ()
    pairs: tuple[int, ...] = ()
    square: bool = False

    def __post_init__(self) -> None:
        expect_between("steps", self.steps, 2)
        if self.path not in PATHS:
            raise GenaeError(f"path is {self.path!r}; {nearest(self.path, PATHS)}")

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """One image at ``weights``; or the paths, one after the other."""
        expect_pictures(len(pictures), 2)
        codes = session.encode(pictures, self.space)
        if self.weights:
            if len(self.weights) != len(pictures):
                raise GenaeError(f"{len(self.weights)} weights for {len(pictures)} pictures; expected one for each")
            codes = (torch.tensor(self.weights, dtype=codes.dtype) @ codes.flatten(1)).view(1, *codes.shape[1:])
        else:
            codes = self._paths(codes)
        images = session.model.decode(codes, self.space)
        return Answer({"between": images}, codes=codes if self.space == "code" else None)

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae interpolate`'s."""
        expect_pictures(len(pictures), 2)
        if self.square:
            expect_pictures(len(pictures), 4, 4)
            expect_fits(self.steps**2, "images in a square")
            return figures.manifold_grid(session.model, pictures, self.steps, self.space)
        numbers = self._pairs(len(pictures))
        expect_fits(self.steps * len(numbers) // 2, "images on paths")
        a, b = pictures[list(numbers[::2])], pictures[list(numbers[1::2])]
        return figures.interpolation_grid(session.model, a, b, self.steps, self.space, self.path)

    def frames(self, session: Session, pictures: Tensor) -> Tensor:
        """The paths as images [K, C, H, W], one after the other: those of an animation."""
        expect_pictures(len(pictures), 2)
        expect_fits(self.steps * len(self._pairs(len(pictures))) // 2, "images on paths")
        return session.model.decode(self._paths(session.model.encode(pictures, self.space)), self.space)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        expect_pictures(count, 2)
        if self.square:
            return ["interpolate", "--corners", "0,1,2,3", *self.flags("path", "weights", "pairs", "square")]
        numbers = self._pairs(count)
        pairs = ",".join(f"{a}-{b}" for a, b in zip(numbers[::2], numbers[1::2], strict=True))
        return ["interpolate", "--pairs", pairs, *self.flags("weights", "pairs", "square")]

    def limit(self, most: int) -> None:
        """Of the images in a square."""
        expect_between("steps", self.steps, 2, math.isqrt(most))

    def _paths(self, codes: Tensor) -> Tensor:
        numbers = self._pairs(len(codes))
        ends = zip(numbers[::2], numbers[1::2], strict=True)
        return torch.cat([path(codes[a], codes[b], self.steps, self.path) for a, b in ends])

    def _pairs(self, count: int) -> tuple[int, ...]:
        """From each picture to the next, if the settings say nothing else."""
        numbers = self.pairs or tuple(n for i in range(count - 1) for n in (i, i + 1))
        if len(numbers) % 2 or any(not 0 <= n < count for n in numbers):
            raise GenaeError(
                f"pairs is {list(numbers)}; expected pairs of numbers of the {count} pictures, numbered from 0"
            )
        return numbers
