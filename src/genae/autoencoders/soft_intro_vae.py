"""Soft-IntroVAE: IntroVAE with an exponential of the evidence bound in place of the margin.

Daniel and Tamar: Soft-IntroVAE: Analyzing and Improving the Introspective Variational Autoencoder (2021).
"""

import math
from typing import Any

from torch import Tensor

from genae.autoencoders.intro_vae import Introspective
from genae.losses import gaussian_kls
from genae.networks.variational import reparameterise
from genae.protocol import at_least, frozen


class SoftIntroVae(Introspective):
    """E lowers exp(2 ELBO) of what G makes: the more an image looks like data, the more it is rejected.

    ``beta``, ``beta_rec`` and ``beta_neg`` are the authors': of the divergence, of the squared error of images in
    [0, 1], and of the divergence of what G makes. ``encoding`` are the options of `GaussianEncoding`.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], *, beta_rec: float = 1.0, beta_neg: float = 256.0, **encoding: Any
    ) -> None:
        super().__init__(image_shape, **encoding)
        at_least(0, beta_rec=beta_rec, beta_neg=beta_neg)
        self.error_weight = beta_rec / 4  # images in [-1, 1] have four times the squared error of those in [0, 1]
        self.rejected_weight = beta_neg / math.prod(image_shape)
        self.deceit_weight = self.divergence_weight / 2

    def rejection(self, x: Tensor) -> Tensor:
        """exp(-2 (beta_rec L_r(x) + beta_neg KL(x))) / 4 of each image, with s = 1 / (C H W); a mean over the batch."""
        mean, log_variance = self.judged(x)
        with frozen(self.decoder):
            x_hat = self.decoder(reparameterise(mean, log_variance))
        error = (x_hat.float() - x.float()).square().flatten(1).mean(1)
        bound = self.error_weight * error + self.rejected_weight * gaussian_kls(mean, log_variance)
        return (-2 * bound).exp().mean() / 4
