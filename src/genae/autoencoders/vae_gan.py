"""VAE-GAN: a variational autoencoder that measures reconstruction error in the features of a discriminator.

Larsen, Sonderby, Larochelle, Winther 2016, Algorithm 1.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genae.autoencoders.vae import GaussianEncoding
from genae.losses import critic_loss, gaussian_kl, generator_loss, mse
from genae.networks.variational import posterior, reparameterise
from genae.protocol import Update, at_least, normal


class VaeGan(GaussianEncoding):
    """Encoder and decoder of a VAE, and a critic whose last hidden layer is Dis_l.

    ``style_weight`` takes the place of the paper's gamma, the weight of the reconstruction beside the adversarial term
    in the decoder's loss. It and ``beta`` are on other scales than the paper's: docs/models/baselines.md. ``encoding``
    are the options of `GaussianEncoding`.
    """

    def __init__(self, image_shape: tuple[int, int, int], *, style_weight: float = 1.0, **encoding: Any) -> None:
        super().__init__(image_shape, **encoding)
        at_least(0, style_weight=style_weight)
        self.style_weight = style_weight
        self.critic = self.family.critic(image_shape, self.width)

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """Enc; Dec; Dis (Algorithm 1): one set of forward passes, and every gradient taken before its network moves."""
        x = next(batches)
        mean, log_variance = posterior(self.encoder(x))
        x_hat = self.decoder(reparameterise(mean, log_variance))
        x_new = self.decoder(normal(*mean.shape, like=mean))  # from z_p ~ N(0, I)
        # Apart, not in one batch: no backward pass then visits images that it does not concern.
        features, features_hat = self.critic.features(x), self.critic.features(x_hat)  # Dis_l
        fake = torch.cat([self.critic.judge(features_hat), self.critic(x_new)])

        # Enc: KL + L_llike, the error in Dis_l
        likeness = mse(features_hat, features.detach())
        divergence = self.divergence_weight * gaussian_kl(mean, log_variance)
        yield Update(likeness + divergence, [self.encoder], {"kl": divergence}, keep_graph=True)

        # Dec: gamma L_llike - L_GAN; in the non-saturating form, whose gradient has the sign of its definition
        deceit = generator_loss(fake)
        terms = {"likeness": likeness, "adversarial": deceit}
        yield Update(self.style_weight * likeness + deceit, [self.decoder], terms, keep_graph=True)

        # Dis: -log Dis(x) - log(1 - Dis(x_hat)) - log(1 - Dis(x_new)), the fakes together weigh as much as x
        yield Update(critic_loss(self.critic.judge(features), fake), [self.critic])
