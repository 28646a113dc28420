"""Second-stage VAE on codes.

Dai and Wipf 2019, "Diagnosing and Enhancing VAE Models", Section 3: a VAE whose latent space is as large as the codes',
with a learned variance that can go to zero.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from genae.losses import gaussian_kl, mse
from genae.networks.dense import Dense
from genae.networks.variational import GaussianLikelihood, posterior, reparameterise
from genae.protocol import Prior, Update, at_least, normal


class VaePrior(Prior):
    """Encoder E2: c -> mean and log variance of q(u|c), decoder G2: u -> c, prior N(0, I) on u [B, D]."""

    def __init__(self, code_dim: int, width: int = 512) -> None:
        super().__init__()
        at_least(1, width=width)
        self.code_dim = code_dim
        self.encoder = Dense(code_dim, 2 * code_dim, width, initial="kaiming")
        self.decoder = Dense(code_dim, code_dim, width, initial="kaiming")
        self.likelihood = GaussianLikelihood(0.1)  # from 1, whitened codes' variance, q(u|c) collapses to the prior

    def step(self, codes: Iterator[Tensor], images: int) -> Iterator[Update]:
        """E2, G2, the variance: -log p(c|u) + KL(q(u|c) || N(0, I)), in nats per dimension."""
        c = next(codes)
        mean, log_variance = posterior(self.encoder(c))
        error = mse(self.decoder(reparameterise(mean, log_variance)), c)
        divergence = gaussian_kl(mean, log_variance)
        loss = self.likelihood(error) + divergence / self.code_dim
        yield Update(loss, [self.encoder, self.decoder, self.likelihood], {"code_mse": error, "kl": divergence})

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """u [count, D] ~ N(0, I)."""
        return normal(count, self.code_dim, like=self.likelihood.log_variance, generator=generator)

    def encode(self, codes: Tensor) -> Tensor:
        """The mean of q(u|c): [B, D] -> [B, D]."""
        return posterior(self.encoder(codes))[0]

    def decode(self, z: Tensor) -> Tensor:
        """The mean of p(c|u): [B, D] -> [B, D]."""
        return self.decoder(z)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes [count, D], with the learned variance (the paper's Eq. 7)."""
        means = self.decode(self.latent(count, generator))
        noise = normal(*means.shape, like=means, generator=generator)
        return means + (self.likelihood.log_variance / 2).exp() * noise
