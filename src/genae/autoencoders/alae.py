"""Adversarial Latent Autoencoder.

Pidhorskyi, Adjeroh, Doretto: Adversarial Latent Autoencoders (2020). `step` is its Algorithm 1; the equation-to-line
map and the deviations are in docs/models/alae.md.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from genae.losses import critic_loss, generator_loss, mse, squared_slope
from genae.networks.equalised import DenseDecoder, DenseEncoder, EqualisedDense
from genae.priors.mapping import MappingPrior
from genae.protocol import Autoencoder, Prior, Update, at_least, frozen

RECIPROCITY = ("encoder,decoder", "encoder,decoder,mapping")


class AdversarialLatentAutoencoder(Autoencoder):
    """F: z -> w, G: w -> x, E: x -> w and D: w -> logit: a GAN whose discriminator is D after E, whose generator is G
    after F, and whose E inverts G on w.

    ``slope_weight`` is gamma, the weight of R1: the authors' 10 for pixels in [0, 1] is 40 for pixels in [-1, 1], whose
    slopes are half as steep. ``reciprocity`` names the networks that the third update trains: the
    paper's box says E and G, the authors' code also moves F. This class has the paper's dense networks: ``width``
    hidden units, codes w in R^``code_dim``, a mapping of ``mapping_layers``, and a critic of three layers, with leaky
    ReLU between them unless ``affine_critic``.
    """

    betas: ClassVar[tuple[float, float]] = (0.0, 0.99)
    minimises_error: ClassVar[bool] = False

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        code_dim: int = 50,
        width: int = 1024,
        mapping_layers: int = 6,
        affine_critic: bool = False,
        slope_weight: float = 40.0,
        reciprocity: str = "encoder,decoder",
        batch_size: int = 128,
        learning_rate: float = 0.002,
        anneal: int = 0,
    ) -> None:
        super().__init__(image_shape, batch_size, learning_rate, anneal)
        at_least(1, code_dim=code_dim, width=width, mapping_layers=mapping_layers)
        at_least(0, slope_weight=slope_weight)
        if reciprocity not in RECIPROCITY:
            raise ValueError(f"reciprocity is {reciprocity!r}; expected one of {' or '.join(RECIPROCITY)}")
        self.slope_weight = slope_weight
        self.encoder = DenseEncoder(image_shape, code_dim, width, last_leak=0.01)
        self.decoder = DenseDecoder(image_shape, code_dim, width)
        self.critic = EqualisedDense(code_dim, 1, code_dim, 2, multiplier=0.1, leak=1.0 if affine_critic else 0.2)
        prior = MappingPrior(code_dim, mapping_layers)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"mapping": prior}))
        self.mapped = reciprocity.endswith("mapping")

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """Algorithm 1. G and F do not move in the first update: its fakes are those of the second."""
        x = next(batches).requires_grad_()
        prior = cast(MappingPrior, self.priors["mapping"])
        x_new = self.decoder(prior.decode(prior.latent(len(x))))  # G(F(z))

        # E, D: softplus(D(E(G(F(z))))) + softplus(-D(E(x))) + gamma/2 ||grad_x D(E(x))||^2              (I; Eq. 6)
        with torch.autocast(x.device.type, enabled=False):
            real = self.critic.forward(self.encoder.forward(x))  # eager: compiled networks have no second derivative
        loss = critic_loss(real, self.critic(self.encoder(x_new.detach())))
        slope = squared_slope(real, x)
        yield Update(loss + self.slope_weight / 2 * slope, [self.encoder, self.critic], {"slope": slope})

        # F, G: softplus(-D(E(G(F(z)))))                                                                (II; Eq. 6)
        with frozen(self.encoder, self.critic):
            deceit = generator_loss(self.critic(self.encoder(x_new)))
        yield Update(deceit, [prior.mapping, self.decoder], {"adversarial": deceit})

        # E, G: ||F(z) - E(G(F(z)))||^2                                                              (III; Eq. 7-8)
        w = prior.decode(prior.latent(len(x)))
        reciprocity = mse(self.encoder(self.decoder(w if self.mapped else w.detach())), w.detach())
        trains = [self.encoder, self.decoder, *([prior.mapping] if self.mapped else [])]
        yield Update(reciprocity, trains, {"reciprocity": reciprocity})

    def encode(self, x: Tensor) -> Tensor:
        """w = E(x): images [B, C, H, W] in [-1, 1] -> codes [B, code_dim]."""
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """x = G(w): codes [B, code_dim] -> images [B, C, H, W], clipped to [-1, 1]: G's output is not bounded."""
        return self.decoder(code).clamp(-1, 1)
