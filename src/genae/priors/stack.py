"""Priors stacked on one another.

"We can stack several encoder-generators": Xu, Keshmiri, Wang: Stacked Wasserstein Autoencoder (2019), Section 3.1.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from genae.protocol import Prior, Update


class StackedPrior(Prior):
    """Each level models the latent variables of the level below it; the lowest models the codes.

    ``levels`` are priors with `encode` and `decode`, lowest first. z [B, d] is the highest level's.
    """

    def __init__(self, levels: Sequence[Prior]) -> None:
        super().__init__()
        self.levels = cast(Sequence[Prior], nn.ModuleList(levels))

    @property
    def has_encoder(self) -> bool:
        """Whether every level has one."""
        return all(level.has_encoder for level in self.levels)

    def step(self, codes: Iterator[Tensor], images: int) -> Iterator[Update]:
        """Every level in turn, each on the encodings of the level below."""
        h = next(codes)
        for level in self.levels:
            yield from level.step(iter([h]), images)
            h = _encode_frozen(level, h)

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """z [count, d] of the highest level."""
        return self.levels[-1].latent(count, generator)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes [count, D]: from the highest level, then down."""
        codes = self.levels[-1].sample(count, generator)
        for level in reversed(self.levels[:-1]):
            codes = level.decode(codes)
        return codes

    def encode(self, codes: Tensor) -> Tensor:
        """Codes [B, D] -> z [B, d], up through every level."""
        for level in self.levels:
            codes = level.encode(codes)
        return codes

    def decode(self, z: Tensor) -> Tensor:
        """z [B, d] -> codes [B, D], down through every level."""
        for level in reversed(self.levels):
            z = level.decode(z)
        return z


@torch.no_grad()
def _encode_frozen(level: Prior, codes: Tensor) -> Tensor:
    return level.encode(codes)
