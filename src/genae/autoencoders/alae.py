"""Adversarial Latent Autoencoder.

Pidhorskyi, Adjeroh, Doretto: Adversarial Latent Autoencoders (2020). `LatentAdversary.step` is its Algorithm 1; the
equation-to-line map and the deviations are in docs/models/alae.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from genae.losses import critic_loss, generator_loss, in_float32, mse, squared_slope
from genae.networks.equalised import LEAK, DenseDecoder, DenseEncoder, EqualisedDense
from genae.priors.mapping import MappingPrior
from genae.protocol import Autoencoder, Criteria, Prior, Update, at_least, frozen

RECIPROCITY = ("encoder,decoder", "encoder,decoder,mapping")


def with_slope(
    loss: Tensor, real: Tensor, x: Tensor, weight: float, every: int, iteration: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """``loss`` + ``weight`` / 2 R1 of D's values ``real`` at ``x``, and R1 to log.

    Only in every ``every``-th iteration, as many times as strong; in the others ``loss`` alone. An iteration is one of
    the whole batch, of which ``x`` may be a part.
    """
    if iteration % every:
        return loss, {}
    slope = squared_slope(real, x)
    return loss + every * weight / 2 * slope, {"slope": slope}


class LatentAdversary(Autoencoder):
    """Algorithm 1 for any networks: F: z -> w, G: w -> x, E: x -> w and D: w -> logit.

    A GAN whose discriminator is D after E, whose generator is G after F, and whose E inverts G on w. A subclass builds
    ``encoder``, ``decoder``, ``critic`` and the prior ``mapping``; it may override what follows `step`.

    ``slope_weight`` is gamma, the weight of R1, which is taken in every ``slope_every``-th iteration and is then as
    many times as strong. ``reciprocity`` names the networks that the third update trains: the paper's box says E and
    G, the authors' code also moves F.
    """

    criteria = Criteria("adversarial", "learned/divergence", "latent")
    betas: ClassVar[tuple[float, float]] = (0.0, 0.99)
    minimises_error: ClassVar[bool] = False
    encoder: Any
    decoder: Any
    critic: Any

    def set_objective(self, slope_weight: float, slope_every: int, reciprocity: str) -> None:
        """Check and keep the settings of `step`."""
        at_least(0, slope_weight=slope_weight)
        at_least(1, slope_every=slope_every)
        if reciprocity not in RECIPROCITY:
            raise ValueError(f"reciprocity is {reciprocity!r}; expected one of {' or '.join(RECIPROCITY)}")
        self.slope_weight = slope_weight
        self.slope_every = slope_every
        self.mapped = reciprocity.endswith("mapping")

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """Algorithm 1. G and F do not move in the first update: its fakes are those of the second."""
        x = self.seen(next(batches), images).requires_grad_()
        mapping = self.mapping.mapping
        x_new = self.generate(self.styles(len(x)))  # G(F(z))

        # E, D: softplus(D(E(G(F(z))))) + softplus(-D(E(x))) + gamma/2 ||grad_x D(E(x))||^2              (I; Eq. 6)
        with in_float32(x), torch.compiler.set_stance("force_eager"):
            real = self.critic(self.infer(x))  # compiled networks have no second derivative
        loss = critic_loss(real, self.critic(self.infer(x_new.detach())))
        iteration = images // self.stage(images).batch_size
        loss, terms = with_slope(loss, real, x, self.slope_weight, self.slope_every, iteration)
        yield Update(loss, [self.encoder, self.critic], terms)

        # F, G: softplus(-D(E(G(F(z)))))                                                                (II; Eq. 6)
        with frozen(self.encoder, self.critic):
            deceit = generator_loss(self.critic(self.infer(x_new)))
        yield Update(deceit, [mapping, self.decoder], {"adversarial": deceit})

        # E, G: ||F(z) - E(G(F(z)))||^2                                                              (III; Eq. 7-8)
        w = self.mapping.decode(self.mapping.latent(len(x)))
        reciprocity = mse(self.infer(self.generate(w if self.mapped else w.detach())), w.detach())
        trains = [self.encoder, self.decoder, *([mapping] if self.mapped else [])]
        yield Update(reciprocity, trains, {"reciprocity": reciprocity})

    @property
    def mapping(self) -> MappingPrior:
        """F, as a prior."""
        return cast(MappingPrior, self.priors["mapping"])

    def seen(self, x: Tensor, images: int) -> Tensor:
        """The images of a batch [B, C, H, W] as the networks see them after ``images`` images."""
        return x

    def styles(self, count: int) -> Tensor:
        """What the adversarial updates give to `generate`: w = F(z), [count, code_dim]."""
        return self.mapping.decode(self.mapping.latent(count))

    def generate(self, w: Tensor) -> Tensor:
        """G(w): codes [B, code_dim] -> images, not bounded."""
        return self.decoder(w)

    def infer(self, x: Tensor) -> Tensor:
        """E(x): what `seen` gives -> codes [B, code_dim]."""
        return self.encoder(x)

    def encode(self, x: Tensor) -> Tensor:
        """w = E(x): images [B, C, H, W] in [-1, 1] -> codes [B, code_dim]."""
        return self.infer(x)

    def decode(self, code: Tensor) -> Tensor:
        """x = G(w): codes [B, code_dim] -> images [B, C, H, W], clipped to [-1, 1]: G's output is not bounded."""
        return self.decode_unclipped(code).clamp(-1, 1)

    def decode_unclipped(self, code: Tensor) -> Tensor:
        """G(w), as it is."""
        return self.generate(code)


class AdversarialLatentAutoencoder(LatentAdversary):
    """The paper's dense networks: ``width`` hidden units, codes w in R^``code_dim``, a mapping of ``mapping_layers``.

    The critic has three layers, with leaky ReLU between them unless ``affine_critic``. E ends in a leaky ReLU of slope
    ``output_slope``, by default F's, so that it moves as freely where w is negative. The rest as in `LatentAdversary`.
    """

    earlier: ClassVar[Mapping[str, Any]] = {"output_slope": 0.01}

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        code_dim: int = 50,
        width: int = 1024,
        mapping_layers: int = 6,
        affine_critic: bool = False,
        output_slope: float = LEAK,
        slope_weight: float = 3.0,
        reciprocity: str = "encoder,decoder",
        batch_size: int = 128,
        learning_rate: float = 0.002,
        **schedule: int,
    ) -> None:
        super().__init__(image_shape, batch_size, learning_rate, **schedule)
        at_least(1, code_dim=code_dim, width=width, mapping_layers=mapping_layers)
        at_least(0, output_slope=output_slope)
        self.set_objective(slope_weight, 1, reciprocity)
        self.code_dim = code_dim
        self.encoder = DenseEncoder(image_shape, code_dim, width, last_leak=output_slope)
        self.decoder = DenseDecoder(image_shape, code_dim, width)
        self.critic = EqualisedDense(code_dim, 1, code_dim, 2, multiplier=0.1, leak=1.0 if affine_critic else LEAK)
        prior = MappingPrior(code_dim, mapping_layers)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"mapping": prior}))
