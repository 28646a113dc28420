"""Latent WGAN-GP: a generator of codes against a critic with gradient penalty, stage II of AAAE.

Xu, Keshmiri, Wang: Adversarially Approximated Autoencoder (2019), Eq. 9; Gulrajani et al. 2017, Eq. 3.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from genae.losses import gradient_penalty, mean
from genae.networks.dense import LEAK, Dense
from genae.protocol import Prior, Update, at_least, draw, frozen, normal

PENALTY_AT = ("interpolates", "generated")


class WganGpPrior(Prior):
    """Generator G_phi: z ~ N(0, I) -> c, critic D_gamma: c -> R. It has no encoder.

    ``penalty`` is lambda_2. ``penalty_at``: ``interpolates`` between codes and generated codes (Gulrajani et al.), or
    ``generated`` codes alone (AAAE's Eq. 9). ``critic_steps`` critic updates precede each generator update (AAAE: 1).
    """

    def __init__(
        self,
        code_dim: int,
        latent_dim: int = 64,
        width: int = 512,
        penalty: float = 10.0,
        penalty_at: str = "interpolates",
        critic_steps: int = 1,
        initial: str = "normal",
    ) -> None:
        super().__init__()
        at_least(1, prior_dim=latent_dim, prior_width=width, critic_steps=critic_steps)
        at_least(0, penalty=penalty)
        if penalty_at not in PENALTY_AT:
            raise ValueError(f"penalty-at is {penalty_at!r}; expected one of {', '.join(PENALTY_AT)}")
        self.latent_dim = latent_dim
        self.penalty = penalty
        self.penalty_at = penalty_at
        self.critic_steps = critic_steps
        self.generator = Dense(latent_dim, code_dim, width, initial=initial)
        self.critic = Dense(code_dim, 1, width, leak=LEAK, initial=initial)

    def step(self, codes: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D_gamma; G_phi (AAAE Algorithm 1, the inner loop)."""
        for _ in range(self.critic_steps):
            c = next(codes)
            with torch.no_grad():
                c_g = self.generator(self.latent(len(c)))
            at = c_g
            if self.penalty_at == "interpolates":
                at = torch.lerp(c_g.float(), c.float(), draw(torch.rand, len(c), 1, device=c.device))

            # D_gamma: -D(c) + D(c_g) + lambda_2 (||grad D(c~)|| - 1)^2                              (Eq. 9)
            gap = mean(self.critic(c)) - mean(self.critic(c_g))
            slope = gradient_penalty(self.critic.forward, at)  # eager: compiled networks have no second derivative
            yield Update(self.penalty * slope - gap, [self.critic], {"gap": gap, "penalty": slope})

        # G_phi: -D(c_g)                                                                             (Eq. 9)
        with frozen(self.critic):
            deceit = -mean(self.critic(self.generator(self.latent(len(c)))))
        yield Update(deceit, [self.generator])

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """z [count, latent_dim] ~ N(0, I)."""
        return normal(count, self.latent_dim, like=next(self.parameters()), generator=generator)

    def decode(self, z: Tensor) -> Tensor:
        """c = G_phi(z): [B, latent_dim] -> [B, code_dim]."""
        return self.generator(z)
