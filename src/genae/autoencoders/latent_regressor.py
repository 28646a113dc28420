"""Latent regressor: a GAN, and an encoder that learns to recover its latent variables.

Donahue, Kraehenbuehl, Darrell 2017 (BiGAN), Section 5.1, "latent regressor" and "joint latent regressor".
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from genae.autoencoders.ae import EncoderDecoder
from genae.losses import critic_loss, generator_loss, mse
from genae.priors.gaussian import GaussianPrior
from genae.protocol import Criteria, Prior, Update, frozen, normal


class LatentRegressor(EncoderDecoder):
    """Generator G: z -> x, z ~ N(0, I), critic D on images, and E: x -> z, which never sees a real image in training.

    With ``joint`` the error of E(G(z)) also trains G, which keeps z recoverable; without, G is the GAN's alone.
    ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("adversarial", "imposed/divergence", "latent")
    minimises_error: ClassVar[bool] = False

    def __init__(self, image_shape: tuple[int, int, int], *, joint: bool = False, **plain: Any) -> None:
        super().__init__(image_shape, **plain)
        self.joint = joint
        self.critic = self.family.critic(image_shape, self.width)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": GaussianPrior(self.code_dim)}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D; then G passes for real and E finds z."""
        x = next(batches)
        z = normal(len(x), *self.code_shape, like=x)
        x_new = self.decoder(z)
        yield Update(critic_loss(self.critic(x), self.critic(x_new.detach())), [self.critic])

        with frozen(self.critic):
            deceit = generator_loss(self.critic(x_new))
        regression = mse(self.encoder(x_new if self.joint else x_new.detach()), z)
        terms = {"adversarial": deceit, "regression": regression}
        yield Update(deceit + regression, [self.encoder, self.decoder], terms)
