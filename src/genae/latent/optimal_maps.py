"""Maps that carry the codes of one set of images to those of another, in closed form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genae.errors import GenaeError
from genae.rows import Rows, in_parts

LEAST = 10
"""Codes that a set must have."""
MOST_DIMENSIONS = 8192
"""Numbers in a code, at most, for a map with a covariance: a matrix of them takes half a gigabyte."""

Map = Callable[[Tensor], Tensor]
"""Codes [N, D] -> codes [N, D]."""


class Spread(NamedTuple):
    """Where the codes of a set are: float64."""

    mean: Tensor
    """[D]."""
    variance: Tensor
    """[D]."""
    covariance: Tensor | None = None
    """[D, D], where it was asked for: shrunk, so that few codes have one that can be inverted too."""

    @property
    def deviation(self) -> float:
        """Root of the mean variance: a code's usual distance from the mean, for each of its numbers."""
        return float(self.variance.mean().sqrt())


@dataclass(frozen=True)
class AffineMap:
    """T(c) = m_B + A (c - m_A), computed in float64; without a matrix A is the identity."""

    start: Tensor
    """m_A [D]."""
    end: Tensor
    """m_B [D]."""
    matrix: Tensor | None = None
    """A [D, D]."""

    def __call__(self, codes: Tensor) -> Tensor:
        """Codes [N, D] -> codes [N, D] of the same type."""
        away = codes.double() - self.start
        return (self.end + (away if self.matrix is None else away @ self.matrix.T)).to(codes.dtype)


def spread_of(codes: Rows, name: str = "a set", covariance: bool = True) -> Spread:
    """Mean, variance and, with ``covariance``, shrunk covariance of codes [N, D], which are read in parts.

    The covariance is (1 - s) S + s mu I with S the sample covariance, mu its mean eigenvalue, and the share s that
    Ledoit and Wolf 2004 estimate: near 1 for few codes of many numbers, near 0 for many. Raises `GenaeError` for fewer
    than `LEAST` codes, and for a covariance of more than `MOST_DIMENSIONS`.
    """
    count, width = codes.shape
    if count < LEAST:
        raise GenaeError(f"{name!r} has {count} codes to learn from; a map needs at least {LEAST} of each set")
    if covariance and width > MOST_DIMENSIONS:
        raise GenaeError(
            f"codes of {width:,} numbers are too long for the Gaussian map, which takes up to {MOST_DIMENSIONS:,}; "
            "use the mean, or a flow"
        )
    mean = torch.zeros(width, dtype=torch.float64)
    for part in in_parts(codes):
        mean += part.double().sum(0)
    mean /= count
    squares = torch.zeros(width, width if covariance else 1, dtype=torch.float64)
    fourth = 0.0  # sum of ||c - m||^4
    for part in in_parts(codes):
        centred = part.double().sub_(mean)
        squares += centred.T @ centred if covariance else centred.square().sum(0)[:, None]
        fourth += float(centred.square().sum(1).square().sum())
    squares /= count
    if not covariance:
        return Spread(mean, squares[:, 0])
    mu, total = float(squares.diagonal().mean()), float(squares.square().sum())
    wrong, apart = (fourth / count - total) / count, total - width * mu**2
    share = min(wrong / apart, 1.0) if apart > 0 else 1.0
    shrunk = (1 - share) * squares + share * mu * torch.eye(width, dtype=torch.float64)
    return Spread(mean, squares.diagonal().clone(), shrunk)


def mean_map(source: Spread, target: Spread) -> AffineMap:
    """T(c) = c + m_B - m_A: the direction between the means, as `directions.direction` (SWAE Section 4.3)."""
    return AffineMap(source.mean, target.mean)


def gaussian_map(source: Spread, target: Spread) -> AffineMap:
    """The optimal map from N(m_A, S_A) to N(m_B, S_B) for the squared distance, which moves codes as little as can be:

    T(c) = m_B + S_A^-1/2 (S_A^1/2 S_B S_A^1/2)^1/2 S_A^-1/2 (c - m_A)

    Dowson and Landau 1982; Peyre and Cuturi 2019, Remark 2.31. Where the source has no variance, the mean is moved
    alone. The map back is the inverse.
    """
    if source.covariance is None or target.covariance is None:
        raise ValueError("gaussian_map: expected spreads with covariances")
    root, inverse = _root(source.covariance)
    between, _ = _root(root @ target.covariance @ root)
    return AffineMap(source.mean, target.mean, inverse @ between @ inverse)


MAPS: dict[str, Callable[[Spread, Spread], AffineMap]] = {"gaussian": gaussian_map, "mean": mean_map}


def part_of_the_way(codes: Tensor, carried: Tensor, strength: float) -> Tensor:
    """(1 - t) c + t T(c): McCann's interpolation between a set and what a map makes of it. [N, D].

    For the optimal map these are the shortest ways between the two Gaussians (Peyre and Cuturi 2019, Section 7.1).
    """
    return torch.lerp(codes, carried, strength)


def _root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The square root of a symmetric positive matrix and its inverse, zero where the matrix is."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    roots = values.clamp_min(0).sqrt()
    inverse = torch.where(values > 1e-12 * values[-1], 1 / roots, 0)
    return (vectors * roots) @ vectors.T, (vectors * inverse) @ vectors.T
