"""Coupling flow on codes: an invertible network with a tractable density.

Dinh, Sohl-Dickstein, Bengio 2017 (RealNVP), Eq. 4-8.
"""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from genae.losses import mean
from genae.networks.dense import Dense
from genae.protocol import Prior, Update, at_least, normal


class FlowPrior(Prior):
    """z = f(c), z ~ N(0, I): ``layers`` affine couplings, each of a random half of the dimensions on the other half."""

    def __init__(self, code_dim: int, layers: int = 8, width: int = 256) -> None:
        super().__init__()
        if code_dim < 2:
            raise ValueError(f"codes have {code_dim} dimension; a coupling flow needs at least 2")
        at_least(1, layers=layers, width=width)
        self.code_dim = code_dim
        couplings = [_Coupling(code_dim, width, seed) for seed in range(layers)]
        self.couplings = cast(Sequence[_Coupling], nn.ModuleList(couplings))

    def step(self, codes: Iterator[Tensor], images: int) -> Iterator[Update]:
        """Every coupling: -log p(c) = (||f(c)||^2 + D log 2 pi) / 2 - log |det df/dc|, in nats per dimension."""
        z, volume = self._forward(next(codes))
        energy = (z.float().square().sum(1) + self.code_dim * math.log(2 * math.pi)) / 2
        loss = mean(energy - volume) / self.code_dim
        yield Update(loss, list(self.couplings), {"nats": loss})

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """z [count, D] ~ N(0, I)."""
        return normal(count, self.code_dim, like=next(self.parameters()), generator=generator)

    def encode(self, codes: Tensor) -> Tensor:
        """z = f(c): [B, D] -> [B, D]."""
        return self._forward(codes)[0]

    def decode(self, z: Tensor) -> Tensor:
        """c = f^-1(z): [B, D] -> [B, D]."""
        for coupling in reversed(self.couplings):
            z = coupling.inverse(z)
        return z

    def _forward(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """z, and log |det| [B]."""
        volume = torch.zeros(len(codes), device=codes.device)
        for coupling in self.couplings:
            codes, log_scale = coupling(codes)
            volume = volume + log_scale.float().sum(1)
        return codes, volume


class _Coupling(nn.Module):
    """x_b -> x_b exp(s(x_a)) + t(x_a), with halves a and b of a fixed random permutation of the dimensions."""

    def __init__(self, dimensions: int, width: int, seed: int) -> None:
        super().__init__()
        order = torch.randperm(dimensions, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("given", order[: dimensions // 2])
        self.register_buffer("changed", order[dimensions // 2 :])
        self.given: Tensor
        self.changed: Tensor
        self.network = Dense(len(self.given), 2 * len(self.changed), width, hidden_layers=2, initial="kaiming")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._affine(x)
        moved = x[:, self.changed] * log_scale.exp() + shift
        return x.index_copy(1, self.changed, moved.to(x.dtype)), log_scale

    def inverse(self, x: Tensor) -> Tensor:
        log_scale, shift = self._affine(x)
        return x.index_copy(1, self.changed, ((x[:, self.changed] - shift) * (-log_scale).exp()).to(x.dtype))

    def _affine(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.network(x[:, self.given]).chunk(2, dim=1)
        return 2 * torch.tanh(log_scale / 2), shift  # bounded: no step can blow a code up
