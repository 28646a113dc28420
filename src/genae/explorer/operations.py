"""What a person can ask of a model: for the page, images and numbers at once; for a file, the command line's figure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from genae.errors import GenaeError, nearest
from genae.explorer.anomaly import Detector, anomaly_grid
from genae.latent.interpolate import PATHS, path
from genae.metrics.reconstruction import mse, psnr
from genae.model import Model
from genae.report import figures


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


@dataclass(frozen=True)
class Reconstruct:
    """Pictures, what each path gives back, and where that fails."""

    least: ClassVar[int] = 1

    truncation: float = 1.0

    def answer(self, known: Known, pictures: Tensor) -> Answer:
        """A row for every path, and the error of the first relative to its largest; errors in numbers."""
        model = known.model
        if self.truncation != 1:
            rows = {"code": model.reconstruct(pictures, "code", self.truncation)}
        else:
            rows = {space: model.decode(known.encode(pictures, space), space) for space in model.spaces}
        first = next(iter(rows.values()))
        wrong = (first - pictures).square().mean(1, keepdim=True)
        numbers = {
            name: {"mse": mse(x_hat, pictures).tolist(), "psnr": psnr(x_hat, pictures).clamp_max(100).tolist()}
            for name, x_hat in rows.items()
        }
        heat = {"error": (wrong / wrong.max().clamp_min(1e-12)).sqrt()}
        return Answer(rows, heat, numbers, known.encode(pictures, "code"))

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae reconstruct`'s."""
        return figures.reconstruction_grid(known.model, pictures, self.truncation)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["reconstruct", "--count", str(count), *_flags(self)]


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
        return ["sample", *_flags(self)]

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
            _exactly(4, pictures)
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
            return ["interpolate", "--corners", "0,1,2,3", *_flags(self, "path", "weights", "pairs", "square")]
        numbers = self._pairs(count)
        pairs = ",".join(f"{a}-{b}" for a, b in zip(numbers[::2], numbers[1::2], strict=True))
        return ["interpolate", "--pairs", pairs, *_flags(self, "weights", "pairs", "square")]

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
            *_flags(self, "amounts", "strengths"),
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
        return figures.occurrence_grid(known.model, pictures, self._chosen(known.model.parts(pictures[:1])[1]))

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["parts", "--count", str(count), *_flags(self)]

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
        _exactly(2, pictures)
        model = known.model
        chosen = _numbered(self.parts, model.parts(pictures[:1])[1].shape[1])
        swapped = [model.swap_part(pictures[:1], pictures[1:], part, self._source()) for part in chosen]
        return Answer({"swapped": torch.cat([model.reconstruct(pictures[:1]), *swapped])}, {}, {"parts": chosen})

    def figure(self, known: Known, pictures: Tensor) -> Image.Image:
        """`genae parts --show swaps`'s: each picture with the appearances of the one before it."""
        chosen = _numbered(self.parts, known.model.parts(pictures[:1])[1].shape[1])
        return figures.swap_grid(known.model, pictures, pictures.roll(1, 0), chosen, self._source())

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["parts", "--show", "swaps", "--count", str(count), *_flags(self)]

    def _source(self) -> int | None:
        return None if self.from_part == -1 else self.from_part


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
    checked = {}
    for key, value in settings.items():
        if key not in kinds:
            raise GenaeError(f"{name} has no setting {key!r}; {nearest(key, kinds)}")
        checked[key] = _checked(key, value, kinds[key])
        limit = {"count": most, "steps": most and math.isqrt(most)}.get(key)
        if limit and checked[key] > limit:
            raise GenaeError(f"{key} is {value}; expected at most {limit}")
        if key == "count" and checked[key] < 1:
            raise GenaeError(f"{key} is {value}; expected at least 1")
    return OPERATIONS[name](**checked)


def enough(asked: Operation, pictures: int) -> Operation:
    """The operation itself. Raises `GenaeError` for fewer pictures than it works on."""
    if pictures < asked.least:
        raise GenaeError(f"{pictures} pictures were given; expected {asked.least} or more")
    return asked


LONGEST = 1000
"""Entries of a list in a request."""
_KINDS: dict[str, Callable[[Any], Any]] = {"float": float, "int": int, "bool": bool, "str": str}
_IN_WORDS = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "a word"}


def _checked(key: str, value: Any, kind: str) -> Any:
    """``kind`` is a type's name: float, int, bool, str, or a tuple or mapping of them."""
    single = next(name for name in ("float", "int", "bool", "str") if name in kind.replace("Mapping[str", ""))
    if "Mapping" in kind:
        if isinstance(value, dict):
            return {str(name): _checked(key, amount, single) for name, amount in value.items()}
        raise GenaeError(f"{key} is {value!r}; expected names with numbers")
    if "tuple" in kind:
        if isinstance(value, list | tuple):
            if len(value) > LONGEST:
                raise GenaeError(f"{key} holds {len(value)} entries; expected at most {LONGEST}")
            return tuple(_checked(key, item, single) for item in value)
        raise GenaeError(f"{key} is {value!r}; expected a list")
    fits = {
        "float": isinstance(value, int | float) and not isinstance(value, bool) and -1e9 < value < 1e9,
        "int": isinstance(value, int) and not isinstance(value, bool),
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
    }
    if not fits[single]:
        raise GenaeError(f"{key} is {value!r}; expected {_IN_WORDS[single]}")
    return _KINDS[single](value)


def _flags(operation: Operation, *without: str) -> list[str]:
    """Settings that differ from their defaults, as flags."""
    flags = []
    for f in fields(operation):
        value = getattr(operation, f.name)
        if f.name in without or value == f.default:
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        flags += [f"--{f.name.replace('_', '-')}", text]
    return flags


def _numbered(parts: tuple[int, ...], count: int) -> list[int]:
    for part in parts:
        if not 0 <= part < count:
            raise GenaeError(f"there is no part {part}; the model has parts 0 to {count - 1}")
    return list(parts or range(count))


def _exactly(count: int, pictures: Tensor) -> None:
    if len(pictures) != count:
        raise GenaeError(f"{len(pictures)} pictures were given; expected {count}")
