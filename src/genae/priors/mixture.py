"""Gaussian mixture over codes, fitted by expectation-maximisation (scikit-learn)."""

import torch
from torch import Tensor

from genae.protocol import Prior, at_least


class MixturePrior(Prior):
    """A mixture of ``components`` Gaussians with full covariances; it has no latent variables.

    The baseline that learned priors have to beat: Ghosh et al. 2020, Table 1.
    """

    def __init__(self, code_dim: int, components: int = 10) -> None:
        super().__init__()
        at_least(1, components=components)
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, code_dim))
        self.register_buffer("factors", torch.eye(code_dim).repeat(components, 1, 1))  # S_k = F_k F_k^T
        self.weights: Tensor
        self.means: Tensor
        self.factors: Tensor

    def fit(self, codes: Tensor) -> None:
        """Fit to codes [N, D]: k-means for a start, then expectation-maximisation, with scikit-learn's defaults."""
        from sklearn.mixture import GaussianMixture

        mixture = GaussianMixture(len(self.weights), covariance_type="full", random_state=0)
        mixture.fit(codes.double().numpy())
        self.weights.copy_(torch.from_numpy(mixture.weights_))
        self.means.copy_(torch.from_numpy(mixture.means_))
        self.factors.copy_(torch.linalg.cholesky(torch.from_numpy(mixture.covariances_)))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes [count, D]: a component each, then its Gaussian."""
        chosen = torch.multinomial(self.weights.cpu(), count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], generator=generator)
        means, factors = self.means.cpu()[chosen], self.factors.cpu()[chosen]
        return (means + torch.einsum("nij,nj->ni", factors, noise)).to(self.means.device)
