"""IntroVAE: a variational autoencoder whose encoder also tells images from what the decoder makes.

Huang, Li, He, Sun, Tan: IntroVAE: Introspective Variational Autoencoders for Photographic Image Synthesis (2018).
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from genae.autoencoders.vae import GaussianEncoding
from genae.losses import gaussian_kl, gaussian_kls, mse
from genae.networks.layers import unrecorded
from genae.networks.variational import posterior, reparameterise
from genae.protocol import Criteria, Update, at_least, frozen, normal


class Introspective(GaussianEncoding):
    """What IntroVAE and Soft-IntroVAE share: E, the encoder of a VAE, is the critic of G, its decoder.

    The divergence of q(z|x) from N(0, I) judges an image x: E keeps that of data low and rejects what G makes
    (`rejection`), G lowers that of what it makes. ``encoding`` are the options of `GaussianEncoding`.
    """

    criteria = Criteria("adversarial", "imposed/adversarial", "data")
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    error_weight = 1.0
    """Of the mean squared error in the losses of both."""
    deceit_weight: float
    """Of the divergence of a batch that G made, in its loss."""

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """E; G (IntroVAE, Algorithm 1)."""
        x = next(batches)
        mean, log_variance = posterior(self.encoder(x))
        z, z_p = reparameterise(mean, log_variance), normal(*mean.shape, like=mean)
        with frozen(self.decoder):
            x_r, x_p = self.decoder(z), self.decoder(z_p)

        # E: L_REG(Z) + L_AE, and the rejection of X_r and X_p, through which no gradient goes to G or back to Z
        error, divergence = mse(x_r, x), gaussian_kl(mean, log_variance)
        rejection = self.rejection(x_r.detach()) + self.rejection(x_p)
        loss = self.error_weight * error + self.divergence_weight * divergence + rejection
        yield Update(loss, [self.encoder], {"mse": error, "kl": divergence, "rejection": rejection})

        # G: L_AE, and L_REG(Enc(X_r)) + L_REG(Enc(X_p))
        x_r, x_p = self.decoder(z.detach()), self.decoder(z_p)
        with frozen(self.encoder):
            deceit = gaussian_kl(*self.judged(x_r)) + gaussian_kl(*self.judged(x_p))
        loss = self.error_weight * mse(x_r, x) + self.deceit_weight * deceit
        yield Update(loss, [self.decoder], {"kl": deceit / 2})

    def judged(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x) for images that G made."""
        with unrecorded(self.encoder):
            return posterior(self.encoder(x))

    def rejection(self, x: Tensor) -> Tensor:
        """E's loss at a batch of images that G made."""
        raise NotImplementedError


class IntroVae(Introspective):
    """E raises the divergence of what G makes up to a ``margin`` in nats, the paper's m.

    ``adversarial_weight`` is alpha. ``beta`` weights the divergences beside the squared error: it takes the place of
    1 / beta in the paper, on another scale (docs/models/baselines.md). ``encoding`` are the options of
    `GaussianEncoding`.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        margin: float = 30.0,
        adversarial_weight: float = 0.25,
        **encoding: Any,
    ) -> None:
        super().__init__(image_shape, **encoding)
        at_least(0, margin=margin, adversarial_weight=adversarial_weight)
        self.margin = margin
        self.deceit_weight = self.divergence_weight * adversarial_weight

    def rejection(self, x: Tensor) -> Tensor:
        """alpha [m - L_REG(Enc(x))]^+, of each image (Eq. 5); a mean over the batch."""
        return self.deceit_weight * F.relu(self.margin - gaussian_kls(*self.judged(x))).mean()
