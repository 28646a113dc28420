"""What a code distribution looks like: spread, effective dimension, distance to what a prior samples."""

from typing import NamedTuple

import torch
from torch import Tensor


class CodeStatistics(NamedTuple):
    """Of codes [N, D]."""

    deviation: float
    """Root mean square over dimensions of the standard deviation; 0 is a collapsed encoder."""
    rank: float
    """Effective rank: exp of the entropy of the covariance's normalised eigenvalues; 1 to D."""


def code_statistics(codes: Tensor) -> CodeStatistics:
    """Spread and effective rank (Roy and Vetterli 2007, Eq. 2, on the covariance) of codes [N, D], N >= 2."""
    centred = codes.double() - codes.double().mean(0)
    variances = torch.linalg.svdvals(centred).square() / (len(codes) - 1)
    total = variances.sum()
    shares = variances / total if total > 0 else torch.ones(1, dtype=torch.float64)
    return CodeStatistics(float((total / codes.shape[1]).sqrt()), float(torch.special.entr(shares).sum().exp()))
