"""StyleALAE: the adversarial latent autoencoder with StyleGAN's generator, and StyleGAN itself.

Pidhorskyi, Adjeroh, Doretto: Adversarial Latent Autoencoders (2020), Section 5; Karras, Laine, Aila: A Style-Based
Generator Architecture for Generative Adversarial Networks (2019). The equation-to-line map and the deviations are in
docs/models/style-alae.md.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn

from genae.autoencoders.alae import LatentAdversary, with_slope
from genae.latent.mixing import every_layer
from genae.losses import critic_loss, generator_loss, in_float32
from genae.networks.equalised import EqualisedDense
from genae.networks.style import Blend, StyleCritic, StyleDecoder, StyleEncoder
from genae.networks.style_layers import channels_of, doubled, halved, levels_of
from genae.priors.mapping import MappingPrior
from genae.protocol import Autoencoder, Criteria, Prior, Stage, Update, at_least, draw, frozen


class Growing(Autoencoder):
    """F and G of StyleGAN, which grow from 4 x 4 pixels: what StyleALAE and StyleGAN share.

    A level lasts 2 x ``growth`` images: it is blended in over the first half (B.2.7 of the authors' code: along half a
    cosine) and stands alone in the second; level 0 stands alone from the start, the last level for ever. With
    ``growth`` 0 there is only the last. ``batch_size`` and ``learning_rate`` are numbers for the levels from 4 x 4 up,
    separated by commas; the last one holds for those that follow.

    ``width`` is the number of channels at the highest resolution, doubled at every lower one up to ``most_channels``;
    codes w are in R^``code_dim``. In a share ``mixing`` of the training samples the styles from a random layer on are
    those of another z.

    Codes are [B, code_dim], or one for each layer [B, layers, code_dim]. While a model grows, `encode` reduces images
    to the resolution at hand, and `decode` enlarges them to the full one; `step` works at the one at hand.
    """

    betas: ClassVar[tuple[float, float]] = (0.0, 0.99)
    minimises_error: ClassVar[bool] = False
    steady: ClassVar[bool] = False
    images_seen: int
    """Images that training has seen, which decides level and blend. Weights files keep it; in memory it is Python's own
    number, as an iteration would wait for a GPU that is asked for it."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        code_dim: int = 256,
        width: int = 64,
        most_channels: int = 256,
        mapping_layers: int = 8,
        mapping_rate: float = 0.1,
        mixing: float = 0.9,
        growth: int = 0,
        batch_size: str = "16",
        learning_rate: str = "0.0015",
    ) -> None:
        self.batch_sizes = [int(b) for b in _numbers("batch-size", batch_size)]
        self.learning_rates = _numbers("learning-rate", learning_rate)
        super().__init__(image_shape, min(self.batch_sizes), min(self.learning_rates))
        at_least(1, code_dim=code_dim, width=width, most_channels=most_channels, mapping_layers=mapping_layers)
        at_least(0, mapping_rate=mapping_rate, mixing=mixing, growth=growth)
        if image_shape[1] != image_shape[2]:
            raise ValueError(f"images of {image_shape[1]} x {image_shape[2]} pixels; expected squares (--fit crop)")
        self.levels = levels_of(image_shape[1])
        self.layers = 2 * self.levels
        self.code_dim = code_dim
        self.channels = channels_of(self.levels, width, most_channels)
        self.most_channels = most_channels
        self.mixing = mixing
        self.growth = growth
        self.images_seen = 0
        self.decoder = StyleDecoder(image_shape[0], code_dim, self.channels)
        prior = MappingPrior(code_dim, mapping_layers, mapping_rate)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"mapping": prior}))

    def grown(self, images: int) -> tuple[int, float]:
        """Level and blend after ``images`` images."""
        if self.growth == 0:
            return self.levels - 1, 1.0
        level = min(self.levels - 1, images // (2 * self.growth))
        done = (images - 2 * self.growth * level) / self.growth
        return level, (1 - math.cos(math.pi * done)) / 2 if level and done < 1 else 1.0

    @property
    def resolution(self) -> int:
        """Of the level that is trained."""
        level, _ = self.grown(self.images_seen)
        return int(4 * 2**level)

    def stage(self, images: int) -> Stage:
        """The schedule after ``images`` images."""
        level, _ = self.grown(images)
        batch, rate = (table[min(level, len(table) - 1)] for table in (self.batch_sizes, self.learning_rates))
        return Stage(4 * 2**level, int(batch), rate)

    def changes(self) -> list[int]:
        """Numbers of images at which a level begins."""
        return [2 * self.growth * level for level in range(self.levels)] if self.growth else [0]

    def follow(self, model: Self) -> None:
        """As `Autoencoder.follow`: also the level."""
        super().follow(model)
        self.images_seen = model.images_seen

    @property
    def now(self) -> tuple[int, Blend]:
        """Level, and blend as networks take it: a tensor while a level is blended in, so that compiled networks are
        not compiled anew for every value."""
        level, blend = self.grown(self.images_seen)
        return level, blend if blend == 1.0 else torch.full((), blend, device=self.decoder.noise0.device)

    def seen(self, x: Tensor, images: int) -> Tensor:
        """A batch at the resolution of ``images``, blended with the one below as G's output is."""
        self.images_seen = images
        level, blend = self.now
        if x.shape[-1] != 4 * 2**level:
            raise ValueError(f"a batch of {x.shape[-1]} pixels; expected {4 * 2**level} after {images:,} images")
        return x if isinstance(blend, float) else torch.lerp(doubled(halved(x)), x, blend)

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

    def decode(self, code: Tensor) -> Tensor:
        """x = G(w): codes [B, code_dim] or [B, layers, code_dim] -> images [B, C, H, W], clipped to [-1, 1]."""
        return self.decode_unclipped(code).clamp(-1, 1)

    def decode_unclipped(self, code: Tensor) -> Tensor:
        """G(w), as it is, at the size of the images."""
        x = self.generate(code)
        for _ in range(self.levels - 1 - self.now[0]):
            x = doubled(x)
        return x

    def _save_to_state_dict(self, destination: dict[str, Tensor], prefix: str, keep_vars: bool) -> None:
        """What `state_dict` calls: ``images_seen`` is one of its tensors."""
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[no-untyped-call]
        destination[f"{prefix}images_seen"] = torch.tensor(self.images_seen)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """What `load_state_dict` calls."""
        seen = state_dict.pop(f"{prefix}images_seen", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[no-untyped-call]
        if seen is None:
            _, _, missing, *_ = rest
            missing.append(f"{prefix}images_seen")
        else:
            self.images_seen = int(seen)


class StyleAdversarialLatentAutoencoder(Growing, LatentAdversary):
    """ALAE's Algorithm 1 with the style generator and an encoder that reads styles (Eq. 9).

    D has three layers of ``code_dim``, with leaky ReLU between them unless ``affine_critic``. ``entrance_leak`` is the
    slope of E's first leaky ReLU (the authors' code applies it twice: 0.04). The rest as in `Growing` and
    `LatentAdversary`.
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
        return self.infer(halved(x, self.levels - 1 - self.now[0]))


class StyleGan(Growing):
    """StyleGAN: the same F and G against a critic of images; it has no encoder. Options as in `Growing`."""

    criteria = Criteria("adversarial", "learned/adversarial", "none")

    def __init__(
        self, image_shape: tuple[int, int, int], *, slope_weight: float = 10.0, slope_every: int = 1, **growing: Any
    ) -> None:
        super().__init__(image_shape, **growing)
        at_least(0, slope_weight=slope_weight)
        at_least(1, slope_every=slope_every)
        self.slope_weight = slope_weight
        self.slope_every = slope_every
        self.critic = StyleCritic(image_shape[0], self.channels)

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


def _numbers(name: str, text: str | float) -> list[float]:
    try:
        values = [float(part) for part in str(text).split(",")]
    except ValueError:
        raise ValueError(f"{name} is {text!r}; expected a number, or numbers from 4 x 4 up: 128,64,32") from None
    for value in values:
        at_least(1 if name == "batch-size" else 0, **{name: value})
    return values
