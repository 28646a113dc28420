"""Adversarially learned inference: ALI and BiGAN, and ALICE with its cycle losses.

Dumoulin et al. 2017, Algorithm 1; Donahue, Kraehenbuehl, Darrell 2017, Eq. 3; Li et al. 2017 (ALICE), Section 3.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from genae.autoencoders.ae import EncoderDecoder
from genae.losses import critic_loss, generator_loss, mse
from genae.networks.variational import posterior, reparameterise
from genae.priors.gaussian import GaussianPrior
from genae.protocol import Criteria, Prior, Update, at_least, frozen, normal


class BiGan(EncoderDecoder):
    """Encoder E, generator G and a joint critic that tells (x, E(x)) from (G(z), z), z ~ N(0, I).

    ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("adversarial", "imposed/adversarial", "adversarial")
    minimises_error: ClassVar[bool] = False

    def __init__(self, image_shape: tuple[int, int, int], **plain: Any) -> None:
        super().__init__(image_shape, **plain)
        self.critic = self.family.joint_critic(image_shape, self.code_dim, self.width)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": GaussianPrior(self.code_dim)}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D: tells the pairs apart; E, G: each pair passes for the other."""
        x = next(batches)
        z_hat = self.infer(x)
        z = normal(*z_hat.shape, like=z_hat)
        x_new = self.decoder(z)
        encoded, generated = self.critic(x, z_hat.detach()), self.critic(x_new.detach(), z)
        yield Update(critic_loss(encoded, generated), [self.critic])

        with frozen(self.critic):
            deceit = generator_loss(-self.critic(x, z_hat)) + generator_loss(self.critic(x_new, z))
        yield from self.finish(x, z_hat, deceit)

    def finish(self, x: Tensor, z_hat: Tensor, deceit: Tensor) -> Iterator[Update]:
        """The update of E and G."""
        yield Update(deceit, [self.encoder, self.decoder], {"adversarial": deceit})

    def infer(self, x: Tensor) -> Tensor:
        """z ~ q(z|x); here E(x) itself."""
        return self.encoder(x)


class Ali(BiGan):
    """BiGAN with a stochastic encoder: q(z|x) is a Gaussian; codes are its means. Options of `EncoderDecoder`."""

    code_outputs = 2

    def __init__(self, image_shape: tuple[int, int, int], **plain: Any) -> None:
        super().__init__(image_shape, **plain)

    def infer(self, x: Tensor) -> Tensor:
        """z = mean + sigma e, e ~ N(0, I)."""
        return reparameterise(*posterior(self.encoder(x)))

    def code_of(self, outputs: Tensor) -> Tensor:
        """The mean of q(z|x)."""
        return posterior(outputs)[0]


class Alice(Ali):
    """ALI with cycle consistency x -> z -> x.

    ``cycle``: ``explicit`` is the squared error, ``adversarial`` a critic that tells (x, x) from (x, G(z_hat)).
    ``cycle_weight`` weights it beside ALI's loss. ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("adversarial", "imposed/adversarial", "data")
    minimises_error: ClassVar[bool] = True

    def __init__(
        self, image_shape: tuple[int, int, int], *, cycle: str = "explicit", cycle_weight: float = 1.0, **plain: Any
    ) -> None:
        super().__init__(image_shape, **plain)
        at_least(0, cycle_weight=cycle_weight)
        if cycle not in ("explicit", "adversarial"):
            raise ValueError(f"cycle is {cycle!r}; expected 'explicit' or 'adversarial'")
        self.cycle_weight = cycle_weight
        channels, height, width = image_shape
        pair = (2 * channels, height, width)
        self.pair_critic = self.family.critic(pair, self.width) if cycle == "adversarial" else None

    def finish(self, x: Tensor, z_hat: Tensor, deceit: Tensor) -> Iterator[Update]:
        """The pair critic, if there is one; E and G: ALI's loss and the cycle's (ALICE Eq. 7 and 8)."""
        x_hat = self.decoder(z_hat)
        reconstruction = mse(x_hat, x)
        cycle = reconstruction
        if self.pair_critic is not None:
            same, other = torch.cat([x, x], 1), torch.cat([x, x_hat], 1)
            yield Update(critic_loss(self.pair_critic(same), self.pair_critic(other.detach())), [self.pair_critic])
            with frozen(self.pair_critic):
                cycle = generator_loss(self.pair_critic(other))
        loss = deceit + self.cycle_weight * cycle
        yield Update(loss, [self.encoder, self.decoder], {"mse": reconstruction, "adversarial": deceit})
