"""Priors stacked on one another.

"We can stack several encoder-generators": Xu, Keshmiri, Wang: Stacked Wasserstein Autoencoder (2019), Section 3.1.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from genae.protocol import ConditionalPrior, Given, Prior, Update


class StackedPrior(ConditionalPrior):
    """Each level models the latent variables of the level below it; the lowest models the codes.

    ``levels`` are priors with `encode` and `decode`, lowest first. z [B, d] is the highest level's. Each level that can
    be told a class is told what is given; ``classes`` are the highest level's.
    """

    def __init__(self, levels: Sequence[Prior]) -> None:
        super().__init__()
        self.levels = cast(Sequence[Prior], nn.ModuleList(levels))
        if isinstance(levels[-1], ConditionalPrior):
            self.classes = levels[-1].classes

    @property
    def is_guided(self) -> bool:
        """Whether the highest level is."""
        level = self.levels[-1]
        return isinstance(level, ConditionalPrior) and level.is_guided

    @property
    def has_encoder(self) -> bool:
        """Whether every level has one."""
        return all(level.has_encoder for level in self.levels)

    @property
    def has_latent(self) -> bool:
        """Whether the highest level has."""
        return self.levels[-1].has_latent

    @property
    def has_density(self) -> bool:
        """Whether the highest level has one, and every level below it a known change of volume."""
        return self.levels[-1].has_density and all(level.has_volume for level in self.levels[:-1])

    def step(self, codes: Iterator[Tensor], images: int, labels: Iterator[Tensor] | None = None) -> Iterator[Update]:
        """Every level in turn, each on the encodings of the level below; no level is told a class."""
        h = next(codes)
        for level in self.levels:
            yield from level.step(iter([h]), images)
            h = _encode_frozen(level, h)

    def latent(self, count: int, generator: torch.Generator | None = None, given: Given | None = None) -> Tensor:
        """z [count, d] of the highest level."""
        level = self.levels[-1]
        if isinstance(level, ConditionalPrior):
            return level.latent(count, generator, given)
        return level.latent(count, generator)

    def sample(self, count: int, generator: torch.Generator, given: Given | None = None) -> Tensor:
        """Draw codes [count, D]: from the highest level, then down."""
        level = self.levels[-1]
        if isinstance(level, ConditionalPrior):
            given = level.drawn_classes(count, generator) if given is None else given
            codes = level.sample(count, generator, given)
        else:
            codes = level.sample(count, generator)
        return self._down(self.levels[:-1], codes, given)

    def drawn_classes(self, count: int, generator: torch.Generator) -> Given | None:
        """As the highest level does."""
        level = self.levels[-1]
        return level.drawn_classes(count, generator) if isinstance(level, ConditionalPrior) else None

    def encode(self, codes: Tensor, given: Given | None = None) -> Tensor:
        """Codes [B, D] -> z [B, d], up through every level."""
        for level in self.levels:
            codes = level.encode(codes, given) if isinstance(level, ConditionalPrior) else level.encode(codes)
        return codes

    def log_density(self, codes: Tensor) -> Tensor:
        """log p(z) of the highest level + log |det dz/dc| of those below: the change of variables."""
        total = torch.zeros(len(codes), device=codes.device)
        for level in self.levels[:-1]:
            codes, volume = level.encode_with_volume(codes)
            total = total + volume
        return self.levels[-1].log_density(codes) + total

    def decode(self, z: Tensor, given: Given | None = None) -> Tensor:
        """z [B, d] -> codes [B, D], down through every level."""
        return self._down(self.levels, z, given)

    def _down(self, levels: Sequence[Prior], z: Tensor, given: Given | None) -> Tensor:
        for level in reversed(levels):
            z = level.decode(z, given) if isinstance(level, ConditionalPrior) else level.decode(z)
        return z


@torch.no_grad()
def _encode_frozen(level: Prior, codes: Tensor) -> Tensor:
    return level.encode(codes)
