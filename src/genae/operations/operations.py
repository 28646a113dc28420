"""What a person can ask of a model: for the page, images and numbers at once; for a file, the command line's figure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from genae.errors import GenaeError, nearest
from genae.latent.interpolate import PATHS, path
from genae.metrics.reconstruction import mse, psnr
from genae.model import Model
from genae.operations.anomaly import anomaly_grid
from genae.operations.answers import Answer, Known, exactly, flags
from genae.operations.particular import Mix, Parts, Swap
from genae.operations.settings import checked
from genae.reports import figures


@dataclass(frozen=True)
class Reconstruct:
    """Pictures, what each path gives back, and where that fails."""

    least: ClassVar[int] = 1

    truncation: float = 1.0

    def answer(self, known: Known, pictures: Tensor) -> Answer:
        """A row for every path, and the error of the first relative to its largest. In numbers: errors, and by how many
        of 255 grey levels a row differs from the first at most."""
        model = known.model
        if self.truncation != 1:
            rows = {"code": model.reconstruct(pictures, "code", self.truncation)}
        else:
            rows = {space: model.decode(known.encode(pictures, space), space) for space in model.spaces}
        first = next(iter(rows.values()))
        wrong = (first - pictures).square().mean(1, keepdim=True)
        numbers = {
            name: {
                "mse": mse(x_hat, pictures).tolist(),
                "psnr": psnr(x_hat, pictures).clamp_max(100).tolist(),
                "difference": float((x_hat - first).abs().max()) * 127.5,
            }
            for name, x_hat in rows.items()
        }
        heat = {"error": (wrong / wrong.max().clamp_min(1e-12)).sqrt()}
        return Answer(rows, heat, numbers, known.encode(pictures, "code"))

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae reconstruct`'s."""
        return figures.reconstruction_grid(known.model, pictures, self.truncation)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["reconstruct", "--count", str(count), *flags(self)]


@dataclass(frozen=True)
class Sample:
    """New images of one prior."""

    least: ClassVar[int] = 0

    prior: str = ""
    count: int = 64
    seed: int = 0
    truncation: float = 1.0

    def answer(self, known: Known, pictures: Tensor) -> Answer:
        """One row."""
        codes = self._codes(known.model)
        return Answer({"samples": known.model.decode(codes)}, codes=codes if codes.ndim == 2 else None)

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae sample`'s."""
        return figures.sample_grid(known.model, self.count, self.seed, self._prior(known.model), self.truncation)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["sample", *flags(self)]

    def _prior(self, model: Model) -> str:
        if not self.prior and not model.priors:
            raise GenaeError(f"{model.name} ({model.config.model}) has no prior to sample from")
        return self.prior or model.priors[0]

    def _codes(self, model: Model) -> Tensor:
        codes = model.sample_codes(self.count, self.seed, self._prior(model))
        return codes if self.truncation == 1 else model.truncate(codes, self.truncation, self._prior(model))


@dataclass(frozen=True)
class Interpolate:
    """Between pictures. ``weights`` is one place among two to four of them; without it, there are ``steps`` on the way.

    ``pairs`` are numbers of pictures whose ways a figure shows: a, b, c, d for a to b and c to d. ``square``: that
    between four.
    """

    least: ClassVar[int] = 2

    space: str = "code"
    path: str = "linear"
    steps: int = 9
    weights: tuple[float, ...] = ()
    pairs: tuple[int, ...] = ()
    square: bool = False

    def answer(self, known: Known, pictures: Tensor) -> Answer:
        """One image at ``weights``; or the ways, one after the other."""
        self._check()
        codes = known.encode(pictures, self.space)
        if self.weights:
            if len(self.weights) != len(pictures):
                raise GenaeError(f"{len(self.weights)} weights for {len(pictures)} pictures; expected one for each")
            codes = (torch.tensor(self.weights, dtype=codes.dtype) @ codes.flatten(1)).view(1, *codes.shape[1:])
        else:
            codes = self._ways(codes)
        images = known.model.decode(codes, self.space)
        return Answer({"between": images}, codes=codes if self.space == "code" else None)

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae interpolate`'s."""
        self._check()
        if self.square:
            exactly(4, pictures)
            return figures.manifold_grid(known.model, pictures, self.steps, self.space)
        numbers = self._pairs(len(pictures))
        a, b = pictures[list(numbers[::2])], pictures[list(numbers[1::2])]
        return figures.interpolation_grid(known.model, a, b, self.steps, self.space, self.path)

    def frames(self, known: Known, pictures: Tensor) -> Tensor:
        """The ways as images [K, C, H, W], one after the other: those of an animation."""
        self._check()
        return known.model.decode(self._ways(known.model.encode(pictures, self.space)), self.space)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        if self.square:
            return ["interpolate", "--corners", "0,1,2,3", *flags(self, "path", "weights", "pairs", "square")]
        numbers = self._pairs(count)
        pairs = ",".join(f"{a}-{b}" for a, b in zip(numbers[::2], numbers[1::2], strict=True))
        return ["interpolate", "--pairs", pairs, *flags(self, "weights", "pairs", "square")]

    def _ways(self, codes: Tensor) -> Tensor:
        numbers = self._pairs(len(codes))
        ends = zip(numbers[::2], numbers[1::2], strict=True)
        return torch.cat([path(codes[a], codes[b], self.steps, self.path) for a, b in ends])

    def _pairs(self, count: int) -> tuple[int, ...]:
        """From each picture to the next, if nothing else was asked for."""
        numbers = self.pairs or tuple(n for i in range(count - 1) for n in (i, i + 1))
        if len(numbers) % 2 or any(not 0 <= n < count for n in numbers):
            raise GenaeError(f"pairs is {list(numbers)}; expected pairs of numbers of the {count} pictures, from 0")
        return numbers

    def _check(self) -> None:
        if self.steps < 2:
            raise GenaeError(f"steps is {self.steps}; expected at least 2")
        if self.path not in PATHS:
            raise GenaeError(f"path is {self.path!r}; {nearest(self.path, PATHS)}")


@dataclass(frozen=True)
class Edit:
    """Pictures moved along directions: ``amounts`` says how far along each.

    A figure shows one direction, at ``strengths``; without them, at shares of its amount.
    """

    least: ClassVar[int] = 1

    amounts: Mapping[str, float] = field(default_factory=dict)
    direction: str = "mean"
    band: str = ""
    strengths: tuple[float, ...] = ()

    def answer(self, known: Known, pictures: Tensor) -> Answer:
        """The moved pictures, the reconstructions that they start from, and the errors of these."""
        start = known.encode(pictures, "code")
        along = sum((s * known.direction(name, self.direction) for name, s in self.amounts.items()), torch.zeros(1))
        moved = known.model.moved(start, along[None].expand_as(start), self.band or None)
        rows = {"edited": known.model.decode(moved), "reconstruction": known.decoded(pictures)}
        numbers = {"mse": mse(rows["reconstruction"], pictures).tolist()}
        return Answer(rows, {}, numbers, moved if moved.ndim == 2 else None)

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae edit`'s, of one direction."""
        name = self._one()
        along = known.direction(name, self.direction)
        codes = known.model.encode(pictures)  # together, as the command line does: rounding depends on the batch
        return figures.edit_grid(known.model, codes, along, name, self._strengths(), self.band or None)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line. Raises `GenaeError` where there is not one direction."""
        self._one()
        strengths = ",".join(f"{s:g}" for s in self._strengths())
        return [
            "edit",
            "--attribute",
            *self.amounts,
            "--count",
            str(count),
            f"--strengths={strengths}",
            *flags(self, "amounts", "strengths"),
        ]

    def _one(self) -> str:
        if len(self.amounts) != 1:
            raise GenaeError(f"the figure of an edit shows one direction; {len(self.amounts)} are set")
        return next(iter(self.amounts))

    def _strengths(self) -> list[float]:
        if self.strengths:
            return list(self.strengths)
        most = abs(next(iter(self.amounts.values()), 0.0)) or 2.0
        return [round(share * most, 6) for share in (-1, -0.5, 0, 0.5, 1)]


@dataclass(frozen=True)
class Anomaly:
    """How strange pictures are, and where."""

    least: ClassVar[int] = 1

    def answer(self, known: Known, pictures: Tensor) -> Answer:
        """Heat, and the numbers of `Anomalies`."""
        found = known.detector().judge(pictures)
        numbers = {
            "score": found.score.tolist(), "error": found.error.tolist(), "rarity": found.rarity.tolist(),
            "anomalous": found.anomalous.tolist(), "threshold": known.detector().threshold,
        }  # fmt: skip
        return Answer({}, {"strange": found.heat}, numbers)

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae anomaly`'s, the strangest first."""
        return anomaly_grid(known.detector(), pictures, len(pictures))

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["anomaly", "--count", str(count)]


Operation = Reconstruct | Sample | Interpolate | Edit | Mix | Parts | Swap | Anomaly
OPERATIONS: dict[str, type[Operation]] = {
    "reconstruct": Reconstruct, "sample": Sample, "interpolate": Interpolate, "edit": Edit, "mix": Mix,
    "parts": Parts, "swap": Swap, "anomaly": Anomaly,
}  # fmt: skip


def operation(name: str, settings: Mapping[str, Any], most: int | None = None) -> Operation:
    """The operation of a name, with settings as JSON holds them; ``most`` limits the images that it makes.

    Raises `GenaeError` for what is unknown or misshapen.
    """
    if name not in OPERATIONS:
        raise GenaeError(f"operation is {name!r}; {nearest(name, OPERATIONS)}")
    kinds = {f.name: str(f.type) for f in fields(OPERATIONS[name])}
    return OPERATIONS[name](**checked(name, settings, kinds, most))


def enough(asked: Operation, pictures: int) -> Operation:
    """The operation itself. Raises `GenaeError` for fewer pictures than it works on."""
    if pictures < asked.least:
        raise GenaeError(f"{pictures} pictures were given; expected {asked.least} or more")
    return asked
