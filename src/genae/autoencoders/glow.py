"""Glow: an autoencoder without loss, whose decoder is the inverse of its encoder. Images have a likelihood.

Kingma and Dhariwal 2018, Section 2 (objective) and 3 (layers: `networks.invertible`). Where the paper is silent, the
authors' code decides: docs/models/baselines.md.
"""

import math
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from genae.losses import mean, normal_log_density
from genae.networks.invertible import COUPLINGS, Scales, initialise_by
from genae.priors.channel_gaussian import ChannelGaussianPrior
from genae.protocol import Autoencoder, Criteria, Prior, Stage, Update, at_least, uniform

VALUES = 256
"""Of a channel of a pixel: 8 bits."""


class Glow(Autoencoder):
    """Flow f: image <-> code of the image's shape, code ~ N(0, I).

    ``levels`` is the paper's L, ``depth`` its K, ``width`` the channels of the couplings' hidden layers, ``coupling``
    ``affine`` or ``additive``. Training reduces values to ``bits`` bits, at most 8. The learning rate rises from 0 over
    the first ``warm_up`` images. Sides of images are multiples of 2 to the power of ``levels``.
    """

    criteria = Criteria("likelihood", "imposed/divergence", "exact")
    betas = (0.9, 0.999)
    minimises_error = False  # which is that of rounding, from the start

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        levels: int = 3,
        depth: int = 32,
        width: int = 512,
        coupling: str = "affine",
        bits: int = 8,
        warm_up: int = 0,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        anneal: int = 0,
    ) -> None:
        super().__init__(image_shape, batch_size, learning_rate, anneal)
        at_least(1, levels=levels, depth=depth, width=width, bits=bits)
        at_least(0, warm_up=warm_up)
        channels, *sides = image_shape
        if any(side % 2**levels for side in sides):
            raise ValueError(
                f"images have {sides[0]} x {sides[1]} pixels, and glow with {levels} levels halves them {levels} "
                f"times; expected multiples of {2**levels}: choose another --size, or fewer --levels"
            )
        if coupling not in COUPLINGS:
            raise ValueError(f"coupling is {coupling!r}; expected {' or '.join(COUPLINGS)}")
        if bits > 8:
            raise ValueError(f"bits is {bits}; expected at most 8, which pictures have")
        self.bits = bits
        self.warm_up = warm_up
        self.code_dim = math.prod(image_shape)
        self.flow = Scales(channels, levels, depth, width, coupling)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": ChannelGaussianPrior(image_shape)}))

    @property
    def code_shape(self) -> tuple[int, ...]:
        """(C, H, W): the image's."""
        return self.image_shape

    def stage(self, images: int) -> Stage:
        """With a learning rate that rises in proportion to the images, over the first ``warm_up``."""
        stage = super().stage(images)
        risen = min(1.0, images / self.warm_up) if self.warm_up else 1.0
        return stage._replace(learning_rate=risen * stage.learning_rate)

    def initialise(self, x: Tensor) -> None:
        """Every actnorm by the first minibatch (Section 3.1)."""
        initialise_by(self.flow, self._dequantised(x))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """f: -log p(x) (Eq. 1), in bits per value of the image."""
        yield Update(mean(self.bits_per_dim(next(batches))), [self.flow])

    def bits_per_dim(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """-log2 p(x) per value, [B], of images [B, C, H, W] in [-1, 1] whose values have `bits` bits.

        -log p(y) + D log a (Eq. 2), of values y with noise and a = 2^bits steps; log p(y) = log N(f(y); 0, I) +
        log |det df/dy| (Eq. 6). Its mean over noise is an upper bound of what p(x) takes.
        """
        code, volume = self.flow(self._dequantised(x, generator))
        log_density = normal_log_density(code.flatten(1), self.code_dim) + volume
        return self.bits - log_density / (self.code_dim * math.log(2))

    def _dequantised(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """y = (k + u) / a - 1/2 with u ~ U(0, 1), where k = 0, ..., a - 1 are the values of x in a = 2^bits steps."""
        steps = 2**self.bits
        values = ((x.float() + 1) * (VALUES - 1) / 2).round()
        levels = (values / (VALUES // steps)).floor()
        return (levels + uniform(*x.shape, like=x, generator=generator)) / steps - 0.5

    def encode(self, x: Tensor) -> Tensor:
        """f(y) of values without noise, in the middle of their steps of 8 bits: [B, C, H, W] -> codes [B, C H W]."""
        return self.flow(x.float() * ((VALUES - 1) / (2 * VALUES)))[0].flatten(1)

    def decode(self, code: Tensor) -> Tensor:
        """f^-1(code), clipped: codes [B, C H W] -> images [B, C, H, W] in [-1, 1]."""
        return self.decode_unclipped(code).clamp(-1, 1)

    def decode_unclipped(self, code: Tensor) -> Tensor:
        """f^-1(code), as it is."""
        return self.flow.inverse(code.unflatten(1, self.image_shape)) * (2 * VALUES / (VALUES - 1))
