"""The uniform distribution on the unit sphere, the prior of AGE."""

import torch
import torch.nn.functional as F
from torch import Tensor

from genae.protocol import Prior, normal


class SpherePrior(Prior):
    """Codes of length 1, of every direction alike; there is nothing to fit."""

    def __init__(self, code_dim: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(code_dim), persistent=False)
        self.centre: Tensor

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """z [count, D] = n / ||n||, n ~ N(0, I)."""
        return on_sphere(normal(count, len(self.centre), like=self.centre, generator=generator))

    def encode(self, codes: Tensor) -> Tensor:
        """The direction of a code: [B, D] -> [B, D]."""
        return on_sphere(codes)

    def decode(self, z: Tensor) -> Tensor:
        """z is the code."""
        return z


def on_sphere(codes: Tensor) -> Tensor:
    """Codes [B, D], or maps [B, c, h, w], divided by their length over all their numbers, in float32."""
    return F.normalize(codes.float().flatten(1)).view(codes.shape)
