"""Whether samples repeat training images: distances to the nearest one, in pixels."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from genae.data.sampler import shuffled
from genae.data.stream import ImageStream
from genae.metrics.metric import Batch, Measured, ModelMetric
from genae.metrics.neighbours import nearest
from genae.metrics.of_images import ImageEvaluation
from genae.metrics.records import REAL, short_count
from genae.rows import Rows

if TYPE_CHECKING:
    from genae.metrics.evaluation import Evaluation
    from genae.metrics.of_model import ModelEvaluation

FIRST = 1000
"""Samples that are compared with all training images."""
UNIT = 127.5
"""8-bit values in a unit of the range [-1, 1]."""


class Nearest(ModelMetric):
    """``nearest`` and ``copies`` of each prior's first 1,000 samples against the training images (`memorisation`).

    Of images of any origin: ``nearest`` of 1,000 of them, drawn at random, to the reference images.
    """

    needs = frozenset({"samples", "training"})

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.pixels: dict[str, list[Tensor]] = {}

    def see(self, of: str, batch: Batch) -> Mapping[str, Tensor]:
        """The pixels of the first samples of a prior."""
        if batch.images is not None or batch.pixels is None:  # reconstructions
            return {}
        return {"pixels": batch.pixels[: max(0, FIRST - batch.start)]}

    def add(self, of: str, seen: Mapping[str, Tensor]) -> None:
        """Keep them."""
        if seen:
            self.pixels.setdefault(of, []).append(seen["pixels"])

    def measure(self, evaluation: "Evaluation") -> Iterator[Measured]:
        """Its numbers for a model or for images."""
        return (
            self.measure_images(evaluation) if isinstance(evaluation, ImageEvaluation) else super().measure(evaluation)
        )

    def measure_images(self, evaluation: ImageEvaluation) -> Iterator[Measured]:
        """The median distance of some of the images."""
        seed = evaluation.request.seed
        some = evaluation.images.take(FIRST, seed)
        distance = float(training_distances(some[:], evaluation.reference).median()) / UNIT
        yield Measured(
            evaluation.name, f"nearest{short_count(len(some))}", distance, {"images": len(some), "seed": seed}
        )

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """Both numbers of every prior, and the first of held-out images."""
        if not self.pixels:
            return
        data, seed = evaluation.data, evaluation.request.seed
        train, test = (ImageStream(data, data.split(split)) for split in ("train", "test"))
        held_out = test[shuffled(0, min(FIRST, len(test)), len(test), seed)]
        honest = training_distances(held_out, train)
        protocol = {"seed": seed, "held_out": len(held_out), "train": len(train)}
        for prior, parts in self.pixels.items():
            rows = torch.cat(parts)
            memory = memorisation(rows, held_out, train, honest)
            count = short_count(len(rows))
            more = {**protocol, **evaluation.sampling(prior), "images": len(rows)}
            yield Measured(prior, f"nearest{count}", memory.nearest / UNIT, more)
            yield Measured(prior, f"copies{count}", memory.copies, more)
        more = {**protocol, "images": len(held_out)}
        yield Measured(REAL, f"nearest{short_count(len(held_out))}", float(honest.median()) / UNIT, more)


class Memory(NamedTuple):
    """What `memorisation` measures."""

    nearest: float
    """Median distance of a sample to its nearest training image, root mean square per value."""
    held_out: float
    """The same of held-out images."""
    copies: float
    """Share of samples nearer to a training image than 99 % of held-out images are; 0.01 is what honest ones have."""


def memorisation(samples: Tensor, held_out: Tensor, train: Rows, honest: Tensor | None = None) -> Memory:
    """Whether samples [N, ...] repeat training images [T, ...], against how near unseen real images [H, ...] come to
    them.

    Rows of pixels or features, any dtype, in the same units; training images are read in parts. ``honest`` saves time
    where the distances [H] of the held-out images, from `training_distances`, are known.
    """
    ours = training_distances(samples, train)
    honest = training_distances(held_out, train) if honest is None else honest
    copies = (ours < honest.quantile(0.01)).double().mean()
    return Memory(float(ours.median()), float(honest.median()), float(copies))


def training_distances(rows: Tensor, train: Rows) -> Tensor:
    """Distance [N] of every row [N, ...] to the nearest training row [T, ...], root mean square per value."""
    return nearest(rows, train)[0] / rows[0].numel() ** 0.5
