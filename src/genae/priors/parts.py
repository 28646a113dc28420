"""PatchVAE's prior: parts that occur here and there, of any appearance."""

import torch
from torch import Tensor

from genae.protocol import Prior


class PartsPrior(Prior):
    """Appearances ~ N(0, I), occurrences ~ Bernoulli(``rate``) in every cell of the grid; codes [B, N d + N h w].

    Its latent variables are codes whose occurrences are 0 or 1: `encode` decides at 1/2 whether a part is there.
    """

    def __init__(self, appearances: int, occurrences: int, rate: float) -> None:
        super().__init__()
        self.appearances, self.occurrences, self.rate = appearances, occurrences, rate
        self.register_buffer("place", torch.zeros(0), persistent=False)  # where to draw
        self.place: Tensor

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes [count, N d + N h w]."""
        appearance = torch.randn(count, self.appearances, generator=generator, device=generator.device)
        there = torch.rand(count, self.occurrences, generator=generator, device=generator.device) < self.rate
        return torch.cat([appearance, there.float()], 1).to(self.place.device)

    def encode(self, codes: Tensor) -> Tensor:
        """Codes with every occurrence probability rounded to 0 or 1."""
        appearance, occurrence = codes.split([self.appearances, self.occurrences], 1)
        return torch.cat([appearance, (occurrence > 0.5).to(codes.dtype)], 1)

    def decode(self, z: Tensor) -> Tensor:
        """z is a code."""
        return z
