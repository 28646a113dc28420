"""Gaussian prior: the standard one of variational autoencoders, or one fitted to codes."""

import torch
from torch import Tensor

from genae.progress import Progress, silent
from genae.protocol import Prior, normal
from genae.rows import Rows, mean_and_covariance


class GaussianPrior(Prior):
    """N(m, F F^T) over codes; N(0, I) until it is fitted. z = F^-1 (c - m) are whitened codes.

    A fit keeps the directions that hold all but a millionth of the codes' variance, so that no noise is blown up.
    """

    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(code_dim))
        self.register_buffer("factor", torch.eye(code_dim))  # columns beyond the fitted rank are zero
        self.register_buffer("inverse", torch.eye(code_dim))
        self.mean: Tensor
        self.factor: Tensor
        self.inverse: Tensor

    def fit(self, codes: Rows, progress: Progress = silent) -> None:
        """m and F F^T are mean and covariance of codes [N, D]; F = U sqrt(L) from the eigenvalues L."""
        mean, covariance = mean_and_covariance(codes)
        values, vectors = torch.linalg.eigh(covariance)
        values = torch.where(values.cumsum(0) > 1e-6 * values.sum(), values, 0).flip(0)
        vectors = vectors.flip(1)
        roots = values.clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.factor.copy_(vectors * roots)
        self.inverse.copy_((vectors * torch.where(roots > 0, 1 / roots, 0)).T)

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """z [count, D] ~ N(0, I)."""
        return normal(count, len(self.mean), like=self.mean, generator=generator)

    def encode(self, codes: Tensor) -> Tensor:
        """z = F^-1 (c - m): [B, D] -> [B, D]."""
        return (codes - self.mean) @ self.inverse.T

    def decode(self, z: Tensor) -> Tensor:
        """c = m + F z: [B, D] -> [B, D]."""
        return self.mean + z @ self.factor.T
