"""Adversarial autoencoder with its critic on the codes.

Makhzani, Shlens, Jaitly, Goodfellow, Frey 2016, Section 2. (genae's `adversarial` is another: stage I of SWAE and AAAE,
with its critic on the images.)
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from genae.autoencoders.ae import EncoderDecoder
from genae.losses import critic_loss, generator_loss, mse
from genae.networks.dense import LEAK, Dense
from genae.priors.gaussian import GaussianPrior
from genae.protocol import Criteria, Prior, Update, frozen, normal


class CodeAdversarialAutoencoder(EncoderDecoder):
    """Encoder, decoder, and a critic that tells codes from draws of N(0, I).

    ``critic_width`` is that of its three hidden layers. ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("similarity", "imposed/adversarial", "data")

    def __init__(self, image_shape: tuple[int, int, int], *, critic_width: int = 512, **plain: Any) -> None:
        super().__init__(image_shape, **plain)
        self.critic = Dense(self.code_dim, 1, critic_width, leak=LEAK, initial="kaiming")
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": GaussianPrior(self.code_dim)}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """The reconstruction phase, then the regularisation phase: critic; encoder as its generator."""
        x = next(batches)
        reconstruction = mse(self.decoder(self.encoder(x)), x)
        yield Update(reconstruction, [self.encoder, self.decoder], {"mse": reconstruction})

        c = self.encoder(x).flatten(1)  # by the encoder just stepped, once for both updates
        z = normal(*c.shape, like=c)
        yield Update(critic_loss(self.critic(z), self.critic(c.detach())), [self.critic])

        with frozen(self.critic):
            deceit = generator_loss(self.critic(c))
        yield Update(deceit, [self.encoder], {"adversarial": deceit})
