"""StyleALAE: the adversarial latent autoencoder with StyleGAN's generator, and StyleGAN itself.

Pidhorskyi, Adjeroh, Doretto: Adversarial Latent Autoencoders (2020), Section 5; Karras, Laine, Aila: A Style-Based
Generator Architecture for Generative Adversarial Networks (2019). The equation-to-line map and the deviations are in
docs/models/style-alae.md.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from genae.autoencoders.alae import LatentAdversary, with_slope
from genae.autoencoders.growing import Growing
from genae.latent.mixing import every_layer
from genae.losses import critic_loss, generator_loss, in_float32
from genae.networks.equalised import EqualisedDense
from genae.networks.progressive import ProgressiveCritic
from genae.networks.style import StyleDecoder, StyleEncoder
from genae.priors.mapping import MappingPrior
from genae.protocol import Criteria, Prior, Update, at_least, draw, frozen


class StyleGrowing(Growing):
    """F and G of StyleGAN: what StyleALAE and StyleGAN share. Options as in `Growing`, and:

    ``mapping_layers`` and ``mapping_rate`` are those of F. In a share ``mixing`` of the training samples the styles
    from a random layer on are those of another z. Codes w are [B, code_dim], or one for each layer
    [B, layers, code_dim].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        mapping_layers: int = 8,
        mapping_rate: float = 0.1,
        mixing: float = 0.9,
        **growing: Any,
    ) -> None:
        super().__init__(image_shape, **growing)
        at_least(1, mapping_layers=mapping_layers)
        at_least(0, mapping_rate=mapping_rate, mixing=mixing)
        self.layers = 2 * self.levels
        self.mixing = mixing
        self.decoder = StyleDecoder(image_shape[0], self.code_dim, self.channels)
        prior = MappingPrior(self.code_dim, mapping_layers, mapping_rate)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"mapping": prior}))

    def eased(self, done: float) -> float:
        """Along half a cosine (B.2.7 of StyleALAE's code)."""
        return (1 - math.cos(math.pi * done)) / 2

    def styles(self, count: int) -> Tensor:
        """w = F(z) of every layer [count, layers, code_dim]; from a random layer on often another z's."""
        prior = cast(MappingPrior, self.priors["mapping"])
        first, second = prior.decode(torch.cat([prior.latent(count), prior.latent(count)])).chunk(2)
        used = 2 * (self.now[0] + 1)
        chance, place = draw(torch.rand, count, 2, device=first.device).unbind(1)
        cut = torch.where(chance < self.mixing, 1 + torch.floor(place * used), self.layers)  # of U{1, ..., used}
        own = torch.arange(self.layers, device=first.device) < cut[:, None]
        return torch.where(own[:, :, None], first[:, None], second[:, None])

    def generate(self, w: Tensor) -> Tensor:
        """G(w): codes [B, code_dim] or [B, layers, code_dim] -> images at the resolution at hand, not bounded.

        In training with fresh noise, else with the decoder's fixed one.
        """
        level, blend = self.now
        noise = self.decoder.noise_for(len(w), level) if self.training else None
        return self.decoder(every_layer(w, self.layers), level, blend, noise)


class StyleAdversarialLatentAutoencoder(StyleGrowing, LatentAdversary):
    """ALAE's Algorithm 1 with the style generator and an encoder that reads styles (Eq. 9).

    D has three layers of ``code_dim``, with leaky ReLU between them unless ``affine_critic``. ``entrance_leak`` is the
    slope of E's first leaky ReLU (the authors' code applies it twice: 0.04). The rest as in `StyleGrowing`
    and `LatentAdversary`.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        affine_critic: bool = False,
        entrance_leak: float = 0.2,
        slope_weight: float = 10.0,
        slope_every: int = 1,
        reciprocity: str = "encoder,decoder",
        **growing: Any,
    ) -> None:
        super().__init__(image_shape, **growing)
        self.set_objective(slope_weight, slope_every, reciprocity)
        at_least(0, entrance_leak=entrance_leak)
        bottom = min(2 * self.channels[0], self.most_channels)
        self.encoder = StyleEncoder(image_shape[0], self.code_dim, self.channels, bottom, entrance_leak)
        leak = 1.0 if affine_critic else 0.2
        self.critic = EqualisedDense(self.code_dim, 1, self.code_dim, 2, multiplier=0.1, leak=leak)

    def infer(self, x: Tensor) -> Tensor:
        """E(x): images at the resolution at hand -> codes [B, code_dim]."""
        return self.encoder(x, *self.now)

    def encode(self, x: Tensor) -> Tensor:
        """w = E(x): images [B, C, H, W] in [-1, 1] -> codes [B, code_dim]."""
        return self.infer(self.reduced(x))


class StyleGan(StyleGrowing):
    """StyleGAN: the same F and G against a critic of images; it has no encoder. Options as in `StyleGrowing`."""

    criteria = Criteria("adversarial", "learned/adversarial", "none")

    def __init__(
        self, image_shape: tuple[int, int, int], *, slope_weight: float = 10.0, slope_every: int = 1, **growing: Any
    ) -> None:
        super().__init__(image_shape, **growing)
        at_least(0, slope_weight=slope_weight)
        at_least(1, slope_every=slope_every)
        self.slope_weight = slope_weight
        self.slope_every = slope_every
        self.critic = ProgressiveCritic(image_shape[0], self.channels, blurred=True)

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D; F and G (Karras et al. 2019, appendix C: the non-saturating loss with R1)."""
        x = self.seen(next(batches), images).requires_grad_()
        x_new = self.generate(self.styles(len(x)))

        # D: softplus(D(G(F(z)))) + softplus(-D(x)) + gamma/2 ||grad_x D(x)||^2
        with in_float32(x), torch.compiler.set_stance("force_eager"):
            real = self.critic(x, *self.now)
        loss = critic_loss(real, self.critic(x_new.detach(), *self.now))
        iteration = images // self.stage(images).batch_size
        loss, terms = with_slope(loss, real, x, self.slope_weight, self.slope_every, iteration)
        yield Update(loss, [self.critic], terms)

        # F, G: softplus(-D(G(F(z))))
        with frozen(self.critic):
            deceit = generator_loss(self.critic(x_new, *self.now))
        yield Update(
            deceit, [cast(MappingPrior, self.priors["mapping"]).mapping, self.decoder], {"adversarial": deceit}
        )
