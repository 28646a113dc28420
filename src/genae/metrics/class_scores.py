"""Inception score over the class probabilities of any classifier."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from genae.data.sampler import mix_seed
from genae.metrics.metric import FeatureMetric, Measured
from genae.metrics.records import short_count

if TYPE_CHECKING:
    from genae.metrics.features import FeatureNetwork
    from genae.metrics.tally import Tally


class Is(FeatureMetric):
    """``is``: inception score with Inception-v3, over one split and, from 1,000 images on, over ten."""

    network = "inception"
    keeps = "scores"
    compares = False
    stand_in = "icp"

    def compare(self, images: "Tally", real: "Tally", network: "FeatureNetwork", seed: int) -> Iterator[Measured]:
        """A number for each count of splits."""
        for splits, scores in images.scores.items():
            value, deviation = scores.result()
            name = f"{self.name}{'-1split' if splits == 1 else ''}"
            yield Measured("", name, value, {"splits": splits}, deviation if splits > 1 else None)

    def label(self, name: str, of: str, count: int, network: "FeatureNetwork") -> str:
        """``is10k-1split-NETWORK``; a score of reconstructions has no ``r``."""
        start, _, one_split = name.partition("-")
        return "-".join(filter(None, [f"{start}{short_count(count)}", one_split, self.ending(network)]))

    def ending(self, network: "FeatureNetwork") -> str:
        """The network, where it is not the one that the score is defined with."""
        return network.suffix


class Icp(Is):
    """``icp``: inception score with genae's classifier of the data; over ten splits alone, where there are enough."""

    network = "classifier"
    stand_in = ""

    def compare(self, images: "Tally", real: "Tally", network: "FeatureNetwork", seed: int) -> Iterator[Measured]:
        """The score over most splits."""
        most = max(images.scores)
        yield from (
            number for number in super().compare(images, real, network, seed) if number.protocol["splits"] == most
        )

    def ending(self, network: "FeatureNetwork") -> str:
        """None: the name says which network."""
        return ""


def inception_score(probabilities: Tensor, splits: int = 10, seed: int | None = None) -> tuple[float, float]:
    """exp(mean KL(p(y|x) || p(y))) of each split: mean and population deviation over the splits.

    ``probabilities`` [N, classes], rows summing to 1. Split i holds rows i N // splits to (i + 1) N // splits, after a
    shuffle if ``seed`` is given: class-sorted images would score low. Salimans et al. 2016, Section 4. Raises
    ValueError for fewer images than splits.
    """
    return SplitScores(len(probabilities), splits, seed).add(probabilities).result()


class SplitScores:
    """`inception_score` of probabilities that arrive in batches; keeps sums only."""

    def __init__(self, count: int, splits: int = 10, seed: int | None = None) -> None:
        if count < splits:
            raise ValueError(f"inception_score: {count} images cannot be divided into {splits} splits")
        sizes = torch.tensor([(i + 1) * count // splits - i * count // splits for i in range(splits)])
        self.sizes = sizes.double()
        self.split = torch.arange(splits).repeat_interleave(sizes)  # of every row
        if seed is not None:
            order = torch.randperm(count, generator=torch.Generator().manual_seed(mix_seed("icp", seed)))
            self.split = torch.empty_like(self.split).index_copy_(0, order, self.split)
        self.seen = 0
        self.marginals: Tensor | None = None  # sum of p(y|x) of each split, [splits, classes]
        self.negentropies = torch.zeros(splits, dtype=torch.float64)  # sum of sum_y p log p of each split

    def add(self, probabilities: Tensor) -> Self:
        """Take the next rows [B, classes]."""
        p = probabilities.double().cpu()
        if self.marginals is None:
            self.marginals = torch.zeros(len(self.sizes), p.shape[1], dtype=torch.float64)
        split = self.split[self.seen : self.seen + len(p)]
        self.marginals.index_add_(0, split, p)
        self.negentropies.index_add_(0, split, torch.special.xlogy(p, p).sum(1))
        self.seen += len(p)
        return self

    def result(self) -> tuple[float, float]:
        """Mean and population deviation; mean KL = mean_x sum_y p log p - sum_y m log m with m = p(y)."""
        assert self.marginals is not None
        m = self.marginals / self.sizes[:, None]
        scores = (self.negentropies / self.sizes - torch.special.xlogy(m, m).sum(1)).exp()
        return float(scores.mean()), float(scores.std(correction=0))
