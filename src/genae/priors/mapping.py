"""The learned distribution of an adversarial latent autoencoder: w = F(z), z ~ N(0, I)."""

import torch
from torch import Tensor

from genae.networks.equalised import Mapping
from genae.protocol import Prior, normal


class MappingPrior(Prior):
    """F: z -> w, trained by its autoencoder (ALAE Eq. 5: q_F(w) = q_E(w)). It has no encoder."""

    def __init__(self, latent_dim: int, layers: int, multiplier: float = 0.1) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.mapping = Mapping(latent_dim, layers, multiplier)

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """z [count, latent_dim] ~ N(0, I)."""
        return normal(count, self.latent_dim, like=next(self.parameters()), generator=generator)

    def decode(self, z: Tensor) -> Tensor:
        """w = F(z): [B, latent_dim] -> [B, latent_dim]."""
        return self.mapping(z)
