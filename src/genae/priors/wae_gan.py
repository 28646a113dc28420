"""Latent WAE-GAN: a Wasserstein autoencoder on codes, stage II of SWAE.

Xu, Keshmiri, Wang: Stacked Wasserstein Autoencoder (2019), Section 3, Eq. 4-6.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from genae.losses import critic_loss, generator_loss, mse
from genae.networks.dense import LEAK, Dense
from genae.protocol import Prior, Update, at_least, draw, frozen


class WaeGanPrior(Prior):
    """Encoder E2: h0 -> z, decoder G2: z -> h0, critic D2 on z, against an explicit p_Z.

    ``distribution``: ``normal`` is N(0, I), E2 unbounded; ``uniform`` is U(-1, 1)^latent_dim, E2 ends in tanh.
    ``weight`` is w, the weight of the adversarial term beside the reconstruction of codes; ``initial`` is `Dense`'s.
    """

    def __init__(
        self,
        code_dim: int,
        latent_dim: int = 64,
        distribution: str = "normal",
        weight: float = 1.0,
        width: int = 512,
        initial: str = "normal",
    ) -> None:
        super().__init__()
        if distribution not in ("normal", "uniform"):
            raise ValueError(f"a WAE-GAN prior is {distribution!r}; expected 'normal' or 'uniform'")
        at_least(1, prior_dim=latent_dim, prior_width=width)
        at_least(0, prior_weight=weight)
        self.latent_dim = latent_dim
        self.distribution = distribution
        self.weight = weight
        self.encoder = Dense(code_dim, latent_dim, width, initial=initial)
        self.decoder = Dense(latent_dim, code_dim, width, initial=initial)
        self.critic = Dense(latent_dim, 1, width, leak=LEAK, initial=initial)

    def step(self, codes: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D2; E2 and G2 (SWAE Algorithm 1, lines 12-19)."""
        h = next(codes)
        z_hat = self.encode(h)  # E2(h0), once for both updates
        z = self.latent(len(h))  # z ~ p_Z

        # D2: softplus(-D2(z)) + softplus(D2(sg[z_hat]))                                          (Eq. 6)
        yield Update(critic_loss(self.critic(z), self.critic(z_hat.detach())), [self.critic])

        # E2, G2: mse(h0, G2(z_hat)) + w softplus(-D2(z_hat))                                     (Eq. 4-6)
        reconstruction = mse(self.decoder(z_hat), h)
        with frozen(self.critic):
            deceit = generator_loss(self.critic(z_hat))
        loss = reconstruction + self.weight * deceit
        yield Update(loss, [self.encoder, self.decoder], {"code_mse": reconstruction, "adversarial": deceit})

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """z [count, latent_dim] ~ p_Z."""
        device = next(self.parameters()).device
        random = torch.randn if self.distribution == "normal" else torch.rand
        if generator is None:
            z = draw(random, count, self.latent_dim, device=device)
        else:
            z = random(count, self.latent_dim, generator=generator, device=generator.device).to(device)
        return z if self.distribution == "normal" else 2 * z - 1

    def encode(self, codes: Tensor) -> Tensor:
        """z_hat = E2(h0): [B, code_dim] -> [B, latent_dim]."""
        z = self.encoder(codes)
        return z if self.distribution == "normal" else torch.tanh(z)

    def decode(self, z: Tensor) -> Tensor:
        """h0 = G2(z): [B, latent_dim] -> [B, code_dim]."""
        return self.decoder(z)
