"""Samples of priors that are told a class: whether they are of it, and how far they are from its images."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from genae.metrics.frechet import Moments, moments
from genae.metrics.metric import OTHERS, FeatureMetric, Measured
from genae.metrics.records import REAL, short_count

if TYPE_CHECKING:
    from genae.metrics.evaluation import Evaluation

ENOUGH = 10
"""Images of a class, on either side, below which its distance is left out: it would be of the sampling alone."""


class ClassConditional(FeatureMetric):
    """``given_accuracy``: share of images that genae's classifier gives their own class; of samples the class that the
    prior was told. ``intra_fd``: the mean over classes of the Fréchet distance between images of a class.

    The share is the GAN-test of Shmelkov, Schmid, Alahari 2018; reconstructions and real images have it too. The
    distance is the intra-FID of Miyato and Koyama 2018, in the classifier's features.
    """

    needs = frozenset({"features", "given"})
    network = "classifier"
    keeps = "predictions"

    def measure(self, evaluation: "Evaluation") -> Iterator[Measured]:
        """Both numbers of each prior that is told classes, of reconstructions and of real images."""
        model = evaluation.as_model()
        network, tallies = model.networks[self.network], model.tallies[self.network]
        real = tallies[REAL]
        theirs = _of_each(real.rows, model.labels_of(REAL))
        for of, tally in tallies.items():
            labels = model.labels_of(of)
            if not len(labels):
                continue  # a prior that is told nothing
            protocol = {**network.protocol, **model.sampling(of), "images": tally.count, "seed": model.request.seed}
            if of == OTHERS:
                protocol["images_split"] = model.others_split
            else:
                right = float((tally.predictions == labels).double().mean())
                yield Measured(of, f"given_accuracy{short_count(tally.count)}", right, protocol)
            if of != REAL and (within := _within(_of_each(tally.rows, labels), theirs)):
                name = self.label("intra_fd", of, tally.count, network)
                counts = {"classes": within.classes, "least_of_class": within.least}
                yield Measured(REAL if of == OTHERS else of, name, within.distance, {**protocol, **counts})


class Within(NamedTuple):
    """What `_within` measures."""

    distance: float
    """Mean over classes."""
    classes: int
    """How many had enough images."""
    least: int
    """Images of the smallest of them, on either side."""


def _within(ours: dict[int, Moments], theirs: dict[int, Moments]) -> Within | None:
    """The mean over the classes that both have of the distance between them; None where they have none in common."""
    both = ours.keys() & theirs.keys()
    if not both:
        return None
    distances = [ours[label].distance(theirs[label]) for label in sorted(both)]
    least = min(side[label].count for label in both for side in (ours, theirs))
    return Within(sum(distances) / len(both), len(both), least)


def _of_each(rows: Tensor, labels: Tensor) -> dict[int, Moments]:
    """Moments of features [N, D] for each class of labels [N] that has enough."""
    numbers, counts = torch.unique(labels, return_counts=True)
    return {int(label): moments(rows[labels == label]) for label in numbers[counts >= ENOUGH]}
