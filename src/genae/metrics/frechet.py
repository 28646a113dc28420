"""Fréchet distance between Gaussians, exact also for singular covariances."""

import torch
from torch import Tensor


def frechet_distance(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    """||m1 - m2||^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)). Means [D], symmetric covariances [D, D].

    Heusel et al. 2017, Eq. 6; Dowson and Landau 1982. With S = F F^T, the square root's trace is the sum of the
    singular values of F1^T F2: real, and exact where a covariance is singular and a matrix square root errs.
    """
    mean1, covariance1, mean2, covariance2 = (t.double() for t in (mean1, covariance1, mean2, covariance2))
    root = torch.linalg.svdvals(_factor(covariance1).T @ _factor(covariance2)).sum()
    difference = (mean1 - mean2).square().sum()
    return float(difference + covariance1.trace() + covariance2.trace() - 2 * root)


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] (divisor N - 1) of features [N, D], in float64."""
    rows = features.double()
    mean = rows.mean(0)
    centred = rows - mean
    return mean, centred.T @ centred / (len(rows) - 1)


def _factor(covariance: Tensor) -> Tensor:
    """F [D, rank] with F F^T = covariance; eigenvalues below rounding are dropped."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * torch.finfo(torch.float64).eps
    return vectors[:, kept] * values[kept].sqrt()
