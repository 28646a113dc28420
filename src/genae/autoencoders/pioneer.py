"""PIONEER: a generative autoencoder that grows, whose encoder judges the generator's images by their codes.

Heljakka, Solin, Kannala: Pioneer Networks: Progressively Growing Generative Autoencoder (2018), Section 3. The
objective is that of AGE (Ulyanov, Vedaldi, Lempitsky 2018). The deviations are in docs/models/progressive.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from genae.autoencoders.growing import Growing
from genae.losses import batch_divergence, cosine_distance, mean_absolute_error
from genae.networks.progressive import ProgressiveDecoder, ProgressiveEncoder
from genae.networks.spectral import follow_weights
from genae.priors.sphere import SpherePrior
from genae.protocol import Criteria, Prior, Update, at_least, frozen


class Pioneer(Growing):
    """Encoder E: x -> code of length 1, generator G: z -> x, z uniform on the unit sphere.

    Delta is `batch_divergence`, that of a batch of codes from N(0, I), as a mean over dimensions. ``error_weight`` is
    lambda_X, of the mean absolute error of reconstructions in E's loss; it is half as much again once a level stands
    alone. ``code_weight`` is lambda_Z, of the cosine distance of z and E(G(z)) in G's; the authors' 1,000 is that of a
    mean over 512 dimensions. G takes ``generator_steps`` for each of E's. The rest as in `Growing`.
    """

    criteria = Criteria("adversarial", "imposed/adversarial", "latent")
    spectral_decoder: ClassVar[bool] = False
    """Whether G, too, is divided by spectral norms."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        error_weight: float = 10.0,
        code_weight: float = 2.0,
        generator_steps: int = 2,
        learning_rate: str = "0.001",
        **growing: Any,
    ) -> None:
        super().__init__(image_shape, learning_rate=learning_rate, **growing)
        at_least(0, error_weight=error_weight, code_weight=code_weight)
        at_least(1, generator_steps=generator_steps)
        self.error_weight = error_weight
        self.code_weight = code_weight
        self.generator_steps = generator_steps
        self.encoder = ProgressiveEncoder(image_shape[0], self.code_dim, self.channels)
        self.decoder = ProgressiveDecoder(image_shape[0], self.code_dim, self.channels, self.spectral_decoder)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"sphere": SpherePrior(self.code_dim)}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """E; G, ``generator_steps`` times."""
        x = self.seen(next(batches), images)
        follow_weights(self.encoder, self.decoder)
        _, blend = self.now
        weight = self.error_weight * (1.5 if isinstance(blend, float) else 1.0)

        # E: Delta(E(x)) - Delta(E(G(z))) + lambda_X |x - G(E(x))|
        with torch.no_grad():
            x_new = self.generate(self.priors["sphere"].latent(len(x)))
        code = self.infer(x)
        with frozen(self.decoder):
            error = mean_absolute_error(self.generate(code), x)
        real, fake = batch_divergence(code), batch_divergence(self.infer(x_new))
        terms = {"l1": error, "real": real, "fake": fake}
        yield Update(self.game(real, fake) + weight * error, [self.encoder], terms)

        # G: Delta(E(G(z))) + lambda_Z d_cos(z, E(G(z)))
        for _ in range(self.generator_steps):
            z = self.priors["sphere"].latent(len(x))
            with frozen(self.encoder):
                code = self.infer(self.generate(z))
            fake, distance = batch_divergence(code), cosine_distance(code, z)
            yield Update(fake + self.code_weight * distance, [self.decoder], {"cosine": distance})

    def game(self, real: Tensor, fake: Tensor) -> Tensor:
        """What E minimises of the divergences of the codes of images and of G's images."""
        return real - fake

    def infer(self, x: Tensor) -> Tensor:
        """E(x): images at the resolution at hand -> codes [B, code_dim]."""
        return self.encoder(x, *self.now)

    def encode(self, x: Tensor) -> Tensor:
        """c = E(x): images [B, C, H, W] in [-1, 1] -> codes [B, code_dim] of length 1."""
        return self.infer(self.reduced(x))
