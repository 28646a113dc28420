"""PatchVAE's prior: parts occur independently, with any appearance."""

import torch
from torch import Tensor

from genae.protocol import Prior, normal


class PartsPrior(Prior):
    """Appearances ~ N(0, I), occurrences ~ Bernoulli(``rate``) in every cell of the grid; codes [B, N d + N h w].

    Its latent variables are codes whose occurrences are 0 or 1: `encode` decides at 1/2 whether a part is there.
    """

    def __init__(self, appearances: int, occurrences: int, rate: float) -> None:
        super().__init__()
        self.appearances, self.occurrences, self.rate = appearances, occurrences, rate
        self.register_buffer("place", torch.zeros(0), persistent=False)  # where to draw
        self.place: Tensor

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Codes [count, N d + N h w] whose occurrences are 0 or 1."""
        drawn = normal(count, self.appearances + self.occurrences, like=self.place, generator=generator)
        appearance, chance = drawn.split([self.appearances, self.occurrences], 1)
        return torch.cat([appearance, (torch.special.ndtr(chance) < self.rate).float()], 1)

    def encode(self, codes: Tensor) -> Tensor:
        """Codes with every occurrence probability rounded to 0 or 1."""
        appearance, occurrence = codes.split([self.appearances, self.occurrences], 1)
        return torch.cat([appearance, (occurrence > 0.5).to(codes.dtype)], 1)

    def decode(self, z: Tensor) -> Tensor:
        """z is a code."""
        return z
