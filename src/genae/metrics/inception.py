"""Inception score over the class probabilities of any classifier."""

from typing import Self

import torch
from torch import Tensor

from genae.data.sampler import mix_seed


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
