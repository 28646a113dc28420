"""Gaussian mixture over codes, fitted by expectation-maximisation (scikit-learn)."""

import warnings
from typing import Any

import torch
from torch import Tensor

from genae.errors import GenaeError
from genae.progress import Progress, silent
from genae.protocol import Prior, at_least

EM_ITERATIONS, EM_STEPS = 100, 10
"""At most so many iterations (scikit-learn's default), so many between two reports of progress."""


class MixturePrior(Prior):
    """A mixture of ``components`` Gaussians with full covariances; it has no latent variables.

    The baseline that learned priors have to beat: Ghosh et al. 2020, Table 1. Samples lie ``temperature`` times the
    fitted deviations from their component's mean: below 1 they are more typical and less diverse.
    """

    def __init__(self, code_dim: int, components: int = 10, temperature: float = 1.0) -> None:
        super().__init__()
        at_least(1, components=components)
        at_least(0, temperature=temperature)
        self.register_buffer("temperature", torch.tensor(temperature))  # with the weights: it decides what is sampled
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, code_dim))
        self.register_buffer("factors", torch.eye(code_dim).repeat(components, 1, 1))  # S_k = F_k F_k^T
        # What `posterior` needs of them, worked out when they change and not for every batch.
        self.register_buffer("inverses", torch.empty_like(self.get_buffer("factors")), persistent=False)
        self.register_buffer("centres", torch.empty(components, code_dim), persistent=False)  # F_k^-1 m_k
        self.register_buffer("volumes", torch.empty(components), persistent=False)  # log |F_k^-1|
        self.weights: Tensor
        self.means: Tensor
        self.factors: Tensor
        self.temperature: Tensor
        self.inverses: Tensor
        self.centres: Tensor
        self.volumes: Tensor
        self._invert()

    def fit(self, codes: Tensor, progress: Progress = silent) -> None:
        """Fit to codes [N, D]: k-means for a start, then expectation-maximisation, with scikit-learn's defaults.

        Raises `GenaeError` for fewer than 2 codes a component, which no covariance can be learned from.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        if len(codes) < 2 * len(self.weights):
            raise GenaeError(f"{len(codes)} codes are too few for {len(self.weights)} components; lower --components")

        # A few iterations at a time: each call goes on from the one before, and progress can be reported between them.
        mixture = GaussianMixture(
            len(self.weights), covariance_type="full", random_state=0, max_iter=EM_STEPS, warm_start=True
        )
        for done in range(0, EM_ITERATIONS, EM_STEPS):
            progress(f"fitting {len(self.weights)} Gaussians", done, EM_ITERATIONS)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore" if done + EM_STEPS < EM_ITERATIONS else "default", ConvergenceWarning)
                mixture.fit(codes.double().numpy())
            if mixture.converged_:
                break
        self.weights.copy_(torch.from_numpy(mixture.weights_))
        self.means.copy_(torch.from_numpy(mixture.means_))
        self.factors.copy_(torch.linalg.cholesky(torch.from_numpy(mixture.covariances_)))
        self._invert()

    def sample(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw codes [count, D]: a component each, then its Gaussian."""
        components = torch.multinomial(self.weights.cpu(), count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], generator=generator)
        return self.place(components.to(self.means.device), self.temperature * noise.to(self.means.device))

    def place(self, components: Tensor, noise: Tensor) -> Tensor:
        """Codes [B, D] at ``noise`` [B, D] ~ N(0, I) of the components with the numbers ``components`` [B]."""
        return self.means[components] + torch.einsum("nij,nj->ni", self.factors[components], noise)

    def posterior(self, codes: Tensor) -> Tensor:
        """p(component | code): [B, D] -> [B, components]."""
        whitened = (codes @ self.inverses.flatten(0, 1).T).unflatten(1, self.centres.shape) - self.centres
        return torch.softmax(self.weights.log() + self.volumes - whitened.square().sum(2) / 2, 1)

    def _invert(self) -> None:
        """Bring what `posterior` needs up to date with means and factors."""
        inverses = torch.linalg.inv(self.factors)
        self.inverses.copy_(inverses)
        self.centres.copy_(torch.einsum("kij,kj->ki", inverses, self.means))
        self.volumes.copy_(inverses.diagonal(dim1=1, dim2=2).log().sum(1))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """What `load_state_dict` calls."""
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[no-untyped-call]
        self._invert()
