"""Adversarial generator-encoder: a game of two networks, without a critic.

Ulyanov, Vedaldi, Lempitsky: It Takes (Only) Two: Adversarial Generator-Encoder Networks (2018).
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from genae.autoencoders.ae import EncoderDecoder
from genae.losses import batch_divergence, cosine_distance, mean_absolute_error
from genae.networks.layers import unrecorded
from genae.priors.sphere import SpherePrior, on_sphere
from genae.protocol import Criteria, Prior, Update, at_least, frozen


class AdversarialGeneratorEncoder(EncoderDecoder):
    """Encoder e: x -> code of length 1; generator g: z -> x, z uniform on the unit sphere.

    The divergence of a batch of codes tells images from g's: e lowers that of images and raises that of g's, g lowers
    its own. ``image_weight`` is mu, of the mean absolute error |x - g(e(x))| in e's loss; ``code_weight`` is lambda, of
    the cosine distance between z and e(g(z)) in g's; ``generator_steps`` are g's for each of e's. The authors' weights
    have other scales: docs/models/baselines.md. ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("adversarial", "imposed/adversarial", "latent")
    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        image_weight: float = 5.0,
        code_weight: float = 4.0,
        generator_steps: int = 2,
        **plain: Any,
    ) -> None:
        super().__init__(image_shape, **plain)
        at_least(0, image_weight=image_weight, code_weight=code_weight)
        at_least(1, generator_steps=generator_steps)
        self.image_weight = image_weight
        self.code_weight = code_weight
        self.generator_steps = generator_steps
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"sphere": SpherePrior(self.code_dim)}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """e once, then g ``generator_steps`` times (Section 3.4; Eq. 7 and 8)."""
        x = next(batches)
        z = self.draw_codes(len(x))
        c = self.infer(x)
        with frozen(self.decoder):
            x_hat, x_new = self.decoder(c), self.decoder(z)
        with unrecorded(self.encoder):
            c_new = self.infer(x_new)

        # e: Delta(e(X) || Z) - Delta(e(g(Z)) || Z) + mu L_X
        error = mean_absolute_error(x_hat, x)
        real, fake = batch_divergence(c), batch_divergence(c_new)
        yield Update(real - fake + self.image_weight * error, [self.encoder], {"l1": error, "real": real, "fake": fake})

        # g: Delta(e(g(Z)) || Z) + lambda L_Z
        for _ in range(self.generator_steps):
            z = self.draw_codes(len(x))
            with frozen(self.encoder), unrecorded(self.encoder):
                c_new = self.infer(self.decoder(z))
            deceit, error = batch_divergence(c_new), cosine_distance(c_new, z)
            yield Update(deceit + self.code_weight * error, [self.decoder], {"fake": deceit, "cosine": error})

    def draw_codes(self, count: int) -> Tensor:
        """z, uniform on the sphere, in the networks' own shape."""
        return self.priors["sphere"].latent(count).unflatten(1, self.code_shape)

    def infer(self, x: Tensor) -> Tensor:
        """e(x), of length 1, in the networks' own shape."""
        return self.code_of(self.encoder(x))

    def code_of(self, outputs: Tensor) -> Tensor:
        """The encoder's outputs, brought to the sphere."""
        return on_sphere(outputs)

    def decode_unclipped(self, code: Tensor) -> Tensor:
        """g of the code's direction: codes [B, code_dim] of any length, as a straight line between two goes through."""
        return super().decode_unclipped(on_sphere(code))
