"""Wasserstein autoencoders: WAE-MMD and WAE-GAN.

Tolstikhin, Bousquet, Gelly, Schoelkopf 2018, Algorithms 1 and 2.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from genae.autoencoders.ae import EncoderDecoder
from genae.losses import critic_loss, generator_loss, mse, multiscale_mmd
from genae.networks.dense import LEAK, Dense
from genae.priors.gaussian import GaussianPrior
from genae.protocol import Criteria, Prior, Update, at_least, frozen, normal


class WaeMmd(EncoderDecoder):
    """Reconstruction, and the maximum mean discrepancy between codes and N(0, I) (Algorithm 2).

    ``divergence_weight`` is lambda, relative to the mean squared error per value (the paper's is relative to the sum
    over an image). ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("similarity", "imposed/divergence", "data")

    def __init__(self, image_shape: tuple[int, int, int], *, divergence_weight: float = 0.01, **plain: Any) -> None:
        super().__init__(image_shape, **plain)
        at_least(0, divergence_weight=divergence_weight)
        self.divergence_weight = divergence_weight
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": GaussianPrior(self.code_dim)}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """E, G: mse(x, x_hat) + lambda MMD_k(E(x), z), z ~ N(0, I)."""
        x = next(batches)
        c = self.encoder(x)
        reconstruction = mse(self.decoder(c), x)
        divergence = multiscale_mmd(c.flatten(1), normal(len(c), self.code_dim, like=c))
        loss = reconstruction + self.divergence_weight * divergence
        yield Update(loss, [self.encoder, self.decoder], {"mse": reconstruction, "mmd": divergence})


class WaeGan(EncoderDecoder):
    """Reconstruction, and a critic that tells codes from draws of N(0, I) (Algorithm 1).

    ``divergence_weight`` is lambda, relative to the mean squared error per value; ``critic_width`` that of the critic's
    three hidden layers. ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("similarity", "imposed/adversarial", "data")

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        divergence_weight: float = 0.01,
        critic_width: int = 512,
        **plain: Any,
    ) -> None:
        super().__init__(image_shape, **plain)
        at_least(0, divergence_weight=divergence_weight)
        self.divergence_weight = divergence_weight
        self.critic = Dense(self.code_dim, 1, critic_width, leak=LEAK, initial="kaiming")
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": GaussianPrior(self.code_dim)}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D: tells z from E(x); E, G: mse(x, x_hat) - lambda log D(E(x))."""
        x = next(batches)
        c = self.encoder(x)
        rows = c.flatten(1)
        z = normal(*rows.shape, like=c)
        yield Update(critic_loss(self.critic(z), self.critic(rows.detach())), [self.critic])

        reconstruction = mse(self.decoder(c), x)
        with frozen(self.critic):
            deceit = generator_loss(self.critic(rows))
        loss = reconstruction + self.divergence_weight * deceit
        yield Update(loss, [self.encoder, self.decoder], {"mse": reconstruction, "adversarial": deceit})
