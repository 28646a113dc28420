"""Vendi score: how many different images there are in a set, by the similarity of their features."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genae.metrics.metric import FeatureMetric, Measured

if TYPE_CHECKING:
    from genae.metrics.features import FeatureNetwork
    from genae.metrics.tally import Tally


class Vendi(FeatureMetric):
    """``vendi``: `vendi_score` of features, of real images too."""

    keeps = "rows"
    compares = False

    def compare(self, images: "Tally", real: "Tally", network: "FeatureNetwork", seed: int) -> Iterator[Measured]:
        """One number."""
        yield Measured("", "vendi", vendi_score(images.rows), {"kernel": "cosine"})


def vendi_score(features: Tensor) -> float:
    """exp of the entropy of the eigenvalues of K / N, K the cosine similarities of features [N, D]: 1 to min(N, D).

    1 if all rows point in one direction, N if all are orthogonal: the effective number of different images. Its size
    depends on N; compare sets of equal size. Friedman and Dieng 2023, Eq. 3, order 1. Raises ValueError for no rows,
    and for a row of zeros, which is similar to nothing.
    """
    if features.ndim != 2 or not len(features):
        raise ValueError(f"vendi_score: shape {list(features.shape)}; expected [N, D]")
    rows = features.double()
    norms = rows.norm(dim=1, keepdim=True)
    if not float(norms.min()):
        raise ValueError("vendi_score: a row of features is zero")
    rows = rows / norms
    smaller = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows  # the same eigenvalues but for zeros
    shares = torch.linalg.eigvalsh(smaller / len(rows)).clamp_min(0)
    return float(torch.special.entr(shares).sum().exp())
