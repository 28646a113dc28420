"""Gaussian prior: the standard one of variational autoencoders, or one fitted to codes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from genae.losses import normal_log_density
from genae.progress import Progress, silent
from genae.protocol import ConditionalPrior, Given, normal
from genae.rows import Rows, Selected, mean_and_covariance


class GaussianPrior(ConditionalPrior):
    """N(m, F F^T) over codes; N(0, I) until it is fitted. z = F^-1 (c - m) are whitened codes.

    A fit keeps the directions that hold all but a millionth of the codes' variance, so that no noise is blown up. Of
    fewer codes than D, the other directions get the smallest deviation that is kept: other codes may lie there. The
    density is that of codes in the directions that are kept. With ``classes`` there is a Gaussian for each, [K, ...],
    beside that of all codes, whose density it is.
    """

    def __init__(self, code_dim: int, classes: Sequence[str] = ()) -> None:
        super().__init__(classes)
        self.register_buffer("mean", torch.zeros(code_dim))
        self.register_buffer("factor", torch.eye(code_dim))  # columns beyond the fitted rank are zero
        self.register_buffer("inverse", torch.eye(code_dim))
        self.mean: Tensor
        self.factor: Tensor
        self.inverse: Tensor
        if classes:
            for name in ("mean", "factor", "inverse"):
                whole = self.get_buffer(name)
                self.register_buffer(f"class_{name}s", whole.repeat(len(classes), *[1] * whole.ndim))
            self.class_means: Tensor
            self.class_factors: Tensor
            self.class_inverses: Tensor

    def fit(self, codes: Rows, progress: Progress = silent, labels: Tensor | None = None) -> None:
        """m and F F^T are mean and covariance of codes [N, D], and of those of each class."""
        _fit(codes, self.mean, self.factor, self.inverse)
        if labels is not None and self.classes:
            for number in range(len(self.classes)):
                own = Selected(codes, (labels == number).nonzero()[:, 0])
                _fit(own, self.class_means[number], self.class_factors[number], self.class_inverses[number])

    def latent(self, count: int, generator: torch.Generator | None = None, given: Given | None = None) -> Tensor:
        """z [count, D] ~ N(0, I)."""
        return normal(count, len(self.mean), like=self.mean, generator=generator)

    def encode(self, codes: Tensor, given: Given | None = None) -> Tensor:
        """z = F^-1 (c - m): [B, D] -> [B, D]."""
        if given is None or not self.classes:
            return (codes - self.mean) @ self.inverse.T
        away = codes - self.class_means[given.labels]
        return _by_class(away, self.class_inverses, given.labels)

    def encode_with_volume(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """z, and log |det F^-1|, in the directions that are kept."""
        roots = self._roots
        return self.encode(codes), -roots.log().sum().expand(len(codes))

    def log_density(self, codes: Tensor) -> Tensor:
        """log N(z; 0, I) + log |det F^-1|."""
        z, volume = self.encode_with_volume(codes)
        return normal_log_density(z, len(self._roots)) + volume

    @property
    def _roots(self) -> Tensor:
        """Deviations in the directions that are kept: lengths of F's columns that are not zero."""
        lengths = self.factor.norm(dim=0)
        return lengths[lengths > 0]

    def decode(self, z: Tensor, given: Given | None = None) -> Tensor:
        """c = m + F z: [B, D] -> [B, D]."""
        if given is None or not self.classes:
            return self.mean + z @ self.factor.T
        return self.class_means[given.labels] + _by_class(z, self.class_factors, given.labels)


def _fit(codes: Rows, mean: Tensor, factor: Tensor, inverse: Tensor) -> None:
    """Mean [D], F and F^-1 [D, D] of codes [N, D], written into tensors: F = U sqrt(L) from the eigenvalues L."""
    m, covariance = mean_and_covariance(codes)
    values, vectors = torch.linalg.eigh(covariance)
    kept = values.cumsum(0) > 1e-6 * values.sum()
    least = values[kept].min() if len(codes) <= len(values) and kept.any() else 0.0
    values = torch.where(kept, values, least).flip(0)
    vectors = vectors.flip(1)
    roots = values.clamp_min(0).sqrt()
    mean.copy_(m)
    factor.copy_(vectors * roots)
    inverse.copy_((vectors * torch.where(roots > 0, 1 / roots, 0)).T)


def _by_class(rows: Tensor, matrices: Tensor, labels: Tensor) -> Tensor:
    """Each of the rows [B, D] times the matrix [K, D, D] of its class, which is read once for each class."""
    product = torch.empty_like(rows)
    for number in labels.unique().tolist():
        own = (labels == number).nonzero()[:, 0]
        product[own] = rows[own] @ matrices[number].T
    return product
