"""Fréchet distance between Gaussians: float64, real, and exact also for singular covariances."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from genae.metrics.metric import FeatureMetric, Measured

if TYPE_CHECKING:
    from genae.metrics.features import FeatureNetwork
    from genae.metrics.tally import Tally

CHUNK = 4096


def frechet_distance(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    """||m1 - m2||^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)). Means [D], symmetric covariances [D, D].

    Heusel et al. 2017, Eq. 6; Dowson and Landau 1982. With S = F F^T, the square root's trace is the sum of the
    singular values of F1^T F2: real, and exact where a covariance is singular and a matrix square root errs. Of
    features, `Moments.distance` gives the same without forming a covariance where there are fewer rows than columns.
    Raises ValueError for other shapes and for values that are not finite.
    """
    mean1, covariance1, mean2, covariance2 = (t.double().cpu() for t in (mean1, covariance1, mean2, covariance2))
    side = mean1.numel()
    if {mean1.shape, mean2.shape} != {(side,)} or {covariance1.shape, covariance2.shape} != {(side, side)}:
        shapes = ", ".join(str(list(t.shape)) for t in (mean1, covariance1, mean2, covariance2))
        raise ValueError(f"frechet_distance: shapes {shapes}; expected [D], [D, D], [D], [D, D]")
    return _distance(mean1, _factor(covariance1), mean2, _factor(covariance2))


class Fd(FeatureMetric):
    """``fd``: Fréchet distance in the features of the networks that were chosen; in Inception-v3's it is ``fid``."""

    keeps = "moments"
    least_images = 2

    def compare(self, images: "Tally", real: "Tally", network: "FeatureNetwork", seed: int) -> Iterator[Measured]:
        """One number."""
        yield Measured("", "fd" if network.suffix else "fid", images.moments.distance(real.moments))


class Fid(Fd):
    """``fid``: Fréchet inception distance (Heusel et al. 2017)."""

    network = "inception"
    stand_in = "fd"


class Moments:
    """Mean and covariance of features that arrive in batches, in float64.

    The result depends on the order of rows by rounding alone (about 1e-13), and not at all on how they were cut into
    batches. Rows are kept while there are fewer than columns, later they are summed in chunks of 4,096: memory does not
    grow with their number.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(0, dtype=torch.float64)
        """[D]"""
        self._scatter: Tensor | None = None  # sum of (x - mean) (x - mean)^T over the rows folded so far
        self._kept = torch.zeros(0, 0, dtype=torch.float64)  # the factor, from rows that were never folded
        self._folded = 0
        self._waiting: list[Tensor] = []

    def add(self, features: Tensor) -> Self:
        """Take features [B, D] of any float type."""
        if features.ndim != 2:
            raise ValueError(f"Moments.add: shape {list(features.shape)}; expected [B, D]")
        self._waiting.append(features.cpu())
        self.count += len(features)
        if self.count - self._folded > max(CHUNK, 0 if self._folded else features.shape[1]):
            rows = torch.cat(self._waiting)
            whole = len(rows) // CHUNK * CHUNK
            for chunk in rows[:whole].split(CHUNK):
                self._fold(chunk)
            self._waiting = [rows[whole:]]
        return self

    def finish(self) -> Self:
        """Fold what is left, and set `mean` and the factor of the covariance; no rows can be added afterwards."""
        if self.count < 2:
            raise ValueError(f"Moments: {self.count} rows have no covariance; expected at least 2")
        rows = torch.cat(self._waiting).double()
        if not self._folded and self.count <= rows.shape[1]:
            self.mean = rows.mean(0)
            self._kept = (rows - self.mean).T.contiguous() / (self.count - 1) ** 0.5
        elif len(rows):
            self._fold(rows)
        self._waiting = []
        return self

    @property
    def covariance(self) -> Tensor:
        """[D, D], with divisor N - 1."""
        if self._scatter is None:
            return self._kept @ self._kept.T
        return self._scatter / (self.count - 1)

    @property
    def factor(self) -> Tensor:
        """F [D, rank] with F F^T = covariance; from the rows themselves where there are at most D."""
        return self._kept if self._scatter is None else _factor(self.covariance)

    def state(self) -> dict[str, Tensor]:
        """What `from_state` needs."""
        kept = {"factor": self._kept} if self._scatter is None else {"scatter": self._scatter}
        return {"mean": self.mean, "count": torch.tensor(self.count), **kept}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """Moments that were finished and kept."""
        moments = cls()
        moments.mean, moments.count = state["mean"], int(state["count"])
        moments._scatter, moments._kept = state.get("scatter"), state.get("factor", moments._kept)
        return moments

    def distance(self, other: "Moments") -> float:
        """`frechet_distance` between two sets of features."""
        return _distance(self.mean, self.factor, other.mean, other.factor)

    def _fold(self, rows: Tensor) -> None:
        """Merge a chunk's moments (Chan, Golub and LeVeque 1979): no sums of large squares, no cancellation."""
        rows = rows.double()
        mean = rows.mean(0)
        rows = rows - mean
        if self._scatter is None:
            self.mean, self._scatter = mean, rows.T @ rows
        else:
            total, shift = self._folded + len(rows), mean - self.mean
            self._scatter.addmm_(rows.T, rows)
            self._scatter.addr_(shift, shift, alpha=self._folded * len(rows) / total)
            self.mean = self.mean + shift * (len(rows) / total)
        self._folded += len(rows)


def moments(features: Tensor) -> Moments:
    """Mean and covariance of features [N, D]."""
    return Moments().add(features).finish()


def _distance(mean1: Tensor, factor1: Tensor, mean2: Tensor, factor2: Tensor) -> float:
    root = torch.linalg.svdvals(factor1.T @ factor2).sum()
    spread = factor1.square().sum() + factor2.square().sum()
    return float((mean1 - mean2).square().sum() + spread - 2 * root)


def _factor(covariance: Tensor) -> Tensor:
    """F [D, rank] with F F^T = covariance: Cholesky's factor with pivots, which ends where only rounding is left.

    As exact as one from eigenvalues, and four times faster (`benchmarks/frechet.py`).
    """
    from scipy.linalg.lapack import dpstrf  # only here: commands that measure nothing start without SciPy

    if not covariance.isfinite().all():
        raise ValueError("frechet_distance: a covariance holds NaN or infinite values")
    triangle, pivots, rank, _ = dpstrf(covariance.numpy(force=True), lower=1)
    factor = np.zeros((len(triangle), rank))
    factor[pivots - 1] = np.tril(triangle)[:, :rank]
    return torch.from_numpy(factor)
