"""Coupling flow on codes: an invertible network with a tractable density.

Dinh, Sohl-Dickstein, Bengio 2017 (RealNVP), Eq. 4-8.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from genae.losses import mean, normal_log_density
from genae.networks.dense import Dense
from genae.protocol import ConditionalPrior, Given, Update, at_least, normal


class FlowPrior(ConditionalPrior):
    """z = f(c), z ~ N(0, I): ``layers`` affine couplings, each of a random half of the dimensions on the other half.

    With ``classes`` the couplings are told the class y of each code: z = f(c, y), and z ~ N(0, I) for every class.
    """

    def __init__(self, code_dim: int, layers: int = 8, width: int = 256, classes: Sequence[str] = ()) -> None:
        super().__init__(classes)
        if code_dim < 2:
            raise ValueError(f"codes have {code_dim} dimension; a coupling flow needs at least 2")
        at_least(1, layers=layers, width=width)
        self.code_dim = code_dim
        couplings = [_Coupling(code_dim, width, seed, len(classes)) for seed in range(layers)]
        self.couplings = cast(Sequence[_Coupling], nn.ModuleList(couplings))

    def step(self, codes: Iterator[Tensor], images: int, labels: Iterator[Tensor] | None = None) -> Iterator[Update]:
        """Every coupling: -log p(c|y) = -log N(f(c, y); 0, I) - log |det df/dc|, in nats per dimension."""
        c, y = next(codes), None if labels is None else next(labels)
        if y is not None:
            y = self.partly_told(y)
        z, volume = self._forward(c, y)
        loss = mean(-normal_log_density(z, self.code_dim) - volume) / self.code_dim
        yield Update(loss, list(self.couplings), {"nats": loss})

    def latent(self, count: int, generator: torch.Generator | None = None, given: Given | None = None) -> Tensor:
        """z [count, d] ~ N(0, I)."""
        return normal(count, self.code_dim, like=next(self.parameters()), generator=generator)

    def encode(self, codes: Tensor, given: Given | None = None) -> Tensor:
        """z = f(c, y): [B, D] -> [B, D]."""
        return self._forward(codes, given and given.labels)[0]

    def decode(self, z: Tensor, given: Given | None = None) -> Tensor:
        """c = f^-1(z, y): [B, D] -> [B, D]."""
        told = self._told(given and given.labels, len(z))
        for coupling in reversed(self.couplings):
            z = coupling.inverse(z, told)
        return z

    def encode_with_volume(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """z = f(c), and log |det df/dc|: the sum of s over couplings (Eq. 6)."""
        return self._forward(codes, None)

    def log_density(self, codes: Tensor) -> Tensor:
        """log p(c) = log N(f(c); 0, I) + log |det df/dc| (Eq. 2); with ``classes``, of codes of all classes."""
        z, volume = self._forward(codes, None)
        return normal_log_density(z, self.code_dim) + volume

    def _forward(self, codes: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """z, and log |det| [B]."""
        volume = torch.zeros(len(codes), device=codes.device)
        told = self._told(y, len(codes))
        for coupling in self.couplings:
            codes, log_scale = coupling(codes, told)
            volume = volume + log_scale.float().sum(1)
        return codes, volume

    def _told(self, y: Tensor | None, count: int) -> Tensor:
        """Classes y [B] as rows [B, K] of zeros and a one; of zeros alone where none is told."""
        classes = torch.arange(len(self.classes), device=next(self.parameters()).device)
        return (classes == (classes.new_full((count,), -1) if y is None else y)[:, None]).float()


class _Coupling(nn.Module):
    """x_b -> x_b exp(s(x_a, y)) + t(x_a, y), with halves a and b of a fixed random permutation of the dimensions."""

    def __init__(self, dimensions: int, width: int, seed: int, classes: int) -> None:
        super().__init__()
        order = torch.randperm(dimensions, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("given", order[: dimensions // 2])
        self.register_buffer("changed", order[dimensions // 2 :])
        self.given: Tensor
        self.changed: Tensor
        inputs = len(self.given) + classes
        self.network = Dense(inputs, 2 * len(self.changed), width, hidden_layers=2, initial="kaiming")

    def forward(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._affine(x, told)
        moved = x[:, self.changed] * log_scale.exp() + shift
        return x.index_copy(1, self.changed, moved.to(x.dtype)), log_scale

    def inverse(self, x: Tensor, told: Tensor) -> Tensor:
        log_scale, shift = self._affine(x, told)
        return x.index_copy(1, self.changed, ((x[:, self.changed] - shift) * (-log_scale).exp()).to(x.dtype))

    def _affine(self, x: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.network(torch.cat([x[:, self.given], told.to(x.dtype)], 1)).chunk(2, dim=1)
        return 2 * torch.tanh(log_scale / 2), shift  # bounded: no step can blow a code up
