"""Inception score over the class probabilities of any classifier."""

import torch
from torch import Tensor

from genae.data.sampler import mix_seed


def inception_score(probabilities: Tensor, splits: int = 10, seed: int | None = None) -> tuple[float, float]:
    """exp(mean KL(p(y|x) || p(y))) of each split: mean and population deviation over the splits.

    ``probabilities`` [N, classes], rows summing to 1. Split i holds rows i N // splits to (i + 1) N // splits, after a
    shuffle if ``seed`` is given: class-sorted images would score low. Salimans et al. 2016, Section 4.
    """
    p = probabilities.double()
    if len(p) < splits:
        raise ValueError(f"inception_score: {len(p)} images cannot be divided into {splits} splits")
    if seed is not None:
        p = p[torch.randperm(len(p), generator=torch.Generator().manual_seed(mix_seed("icp", seed))).to(p.device)]
    scores = []
    for i in range(splits):
        part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
        marginal = part.mean(0)
        divergence = torch.special.xlogy(part, part) - torch.special.xlogy(part, marginal)
        scores.append(divergence.sum(1).mean().exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=0))
