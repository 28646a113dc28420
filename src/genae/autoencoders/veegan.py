"""VEEGAN: a GAN with a reconstructor of its noise, which keeps the generator from leaving out modes.

Srivastava, Valkov, Russell, Gutmann, Sutton 2017, Algorithm 1.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from genae.autoencoders.ali import BiGan
from genae.losses import critic_loss, mean, mse
from genae.protocol import Criteria, Update, frozen, normal


class Veegan(BiGan):
    """Generator G_gamma: z -> x, z ~ N(0, I), reconstructor F_theta: x -> z, and a joint critic D_omega of (z, x).

    The networks and the prior are those of `BiGan`. D estimates log q(x|z) p_0(z) / p(z|x) p(x), the ratio of generated
    pairs (z, G(z)) to encoded ones (F(x), x).
    ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("adversarial", "imposed/divergence", "latent")

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """omega; theta and gamma (Algorithm 1)."""
        x = next(batches)
        z = normal(len(x), self.code_dim, like=x)
        x_g = self.decoder(z)
        with torch.no_grad():
            z_g = self.encoder(x)

        # omega: -log sigma(D(z, x_g)) - log(1 - sigma(D(z_g, x)))
        yield Update(critic_loss(self.critic(x_g.detach(), z), self.critic(x, z_g)), [self.critic])

        # theta: d(z, x_g) = ||z - F(x_g)||^2; gamma: D(z, x_g) + d(z, x_g)
        with frozen(self.critic):
            ratio = mean(self.critic(x_g, z))
        d = self.code_dim * mse(self.encoder(x_g), z)
        yield Update(ratio + d, [self.encoder, self.decoder], {"ratio": ratio, "regression": d})
