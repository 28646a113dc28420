"""Variational autoencoder, and beta-VAE.

Kingma and Welling 2014, Eq. 10; Higgins et al. 2017, Eq. 4; learned decoder variance: Rybkin, Daniilidis, Levine 2021.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from genae.autoencoders.ae import EncoderDecoder
from genae.losses import gaussian_kl, mse, perceptual_term
from genae.networks.variational import GaussianLikelihood, posterior, reparameterise
from genae.priors.gaussian import GaussianPrior
from genae.protocol import Criteria, Prior, Update, at_least


class GaussianEncoding(EncoderDecoder):
    """What VAE and VAE-GAN share: q(z|x) is a Gaussian, its mean the code; the prior is N(0, I).

    ``beta`` weights the divergence (1 is the VAE). ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("similarity", "imposed/divergence", "data")
    code_outputs = 2

    def __init__(self, image_shape: tuple[int, int, int], *, beta: float = 1.0, **plain: Any) -> None:
        super().__init__(image_shape, **plain)
        at_least(0, beta=beta)
        self.divergence_weight = beta / math.prod(image_shape)  # errors are means over the values of an image
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": GaussianPrior(self.code_dim)}))

    def code_of(self, outputs: Tensor) -> Tensor:
        """The mean of q(z|x)."""
        return posterior(outputs)[0]


class VariationalAutoencoder(GaussianEncoding):
    """Encoder E: x -> mean and log variance of q(z|x), decoder G: z -> mean of p(x|z), prior N(0, I).

    p(x|z) is a Gaussian with one ``variance`` for every value, which is learned if ``learn_variance``. ``perceptual``
    adds the distance in the features of a frozen network (`PerceptualTerm`) to the squared error, with
    ``perceptual_weight``. ``encoding`` are the options of `GaussianEncoding`.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        variance: float = 0.1,
        learn_variance: bool = True,
        perceptual: str | None = None,
        perceptual_weight: float = 0.0,
        **encoding: Any,
    ) -> None:
        super().__init__(image_shape, **encoding)
        self.likelihood = GaussianLikelihood(variance, learn_variance)
        self.perceptual = perceptual_term(perceptual, perceptual_weight)

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """E, G: -log p(x|z) + beta KL(q(z|x) || N(0, I)), in nats per value of the image."""
        x = next(batches)
        mean, log_variance = posterior(self.encoder(x))
        z = reparameterise(mean, log_variance)
        x_hat = self.decoder(z)
        reconstruction = mse(x_hat, x)
        error, terms = self.with_perceptual(reconstruction, x_hat, x)
        divergence = self.divergence(z, mean, log_variance)
        loss = self.likelihood(error) + self.divergence_weight * divergence
        yield Update(loss, self.trained, {"mse": reconstruction, "kl": divergence, **terms})

    @property
    def trained(self) -> list[nn.Module]:
        """The networks that the objective trains."""
        return [self.encoder, self.decoder, *([self.likelihood] if self.likelihood.learned else [])]

    def divergence(self, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL(q(z|x) || p(z)) in nats, of which z is a draw: the mean over the batch."""
        return gaussian_kl(mean, log_variance)
