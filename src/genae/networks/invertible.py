"""Invertible maps of images whose change of volume is known: Glow's layers, and the scales that they work on.

Kingma and Dhariwal 2018, Section 3. Every map has a ``forward`` that also gives log |det| of its Jacobian, in nats, and
an ``inverse``. They compute in float32, whatever the precision of the networks inside: what is rounded is lost.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.losses import in_float32
from genae.networks.layers import M

COUPLINGS = ("affine", "additive")
RATE = 3
"""How many times as fast as other parameters logarithms of scales are learned (the authors' code)."""


class ActNorm(nn.Module):
    """y = s (x + b), with a scale s and a shift b for each channel; [B, C, H, W]. Section 3.1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.shift) * (RATE * self.log_scale).exp()

    def inverse(self, y: Tensor) -> Tensor:
        """x [B, C, H, W]."""
        return y * (-RATE * self.log_scale).exp() - self.shift

    def cell_volume(self) -> Tensor:
        """log |det| for each cell of a map: sum log |s| (Table 1)."""
        return (RATE * self.log_scale).sum()

    def initialise(self, x: Tensor) -> None:
        """Choose b and s so that the channels of y have mean 0 and variance 1 for these x."""
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        self.shift.copy_(-mean.view_as(self.shift))
        self.log_scale.copy_(-(variance.sqrt() + 1e-6).log().view_as(self.log_scale) / RATE)


def initialise_by(network: M, x: Tensor) -> M:
    """Initialise every `ActNorm` of a network by what reaches it when the network sees x, one after another."""
    norms = [module for module in network.modules() if isinstance(module, ActNorm)]
    hooks = [norm.register_forward_pre_hook(lambda norm, inputs: norm.initialise(*inputs)) for norm in norms]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return network


class InvertibleConvolution(nn.Module):
    """y = W x in every cell, with a matrix W [C, C] that begins as a random rotation; [B, C, H, W]. Section 3.2.

    W = P L (U + diag(s)) (Eq. 10): P is fixed, L is lower triangular with ones, U upper triangular with zeros on the
    diagonal. The signs of s are fixed too. Here they are those of P, which changes neither W nor what is learned.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        order, lower, upper = torch.linalg.lu(torch.linalg.qr(torch.randn(channels, channels)).Q)
        signs = upper.diagonal().sign()
        self.register_buffer("order", order * signs)
        self.order: Tensor
        self.triangles = nn.Parameter((signs[:, None] * lower * signs).tril(-1) + (signs[:, None] * upper).triu(1))
        """L below the diagonal, U above it."""
        self.log_scale = nn.Parameter(upper.diagonal().abs().log())

    def forward(self, x: Tensor) -> Tensor:
        with in_float32(x):
            upper = self._upper()
            return _in_cells(self.order @ (self.triangles.tril(-1) @ upper + upper), x)

    def inverse(self, y: Tensor) -> Tensor:
        """x [B, C, H, W]."""
        with in_float32(y):
            solved = torch.linalg.solve_triangular(self.triangles, self.order.T, upper=False, unitriangular=True)
            return _in_cells(torch.linalg.solve_triangular(self._upper(), solved, upper=True), y)

    def cell_volume(self) -> Tensor:
        """log |det W| = sum log |s| (Eq. 11)."""
        return self.log_scale.sum()

    def _upper(self) -> Tensor:
        """U + diag(s)."""
        return self.triangles.triu(1) + self.log_scale.exp().diag()


def _in_cells(matrix: Tensor, x: Tensor) -> Tensor:
    return F.conv2d(x, matrix[:, :, None, None])


class EdgeConvolution(nn.Conv2d):
    """3 x 3 convolution, [B, C, H, W] -> [B, outputs, H, W], that is told where an image ends: by a channel that is 1
    outside of it and 0 inside (the authors' code). Without inputs, C = 0, it knows nothing else."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs + 1, outputs, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        outside = F.pad(x.new_zeros(len(x), 1, *x.shape[2:]), (1, 1, 1, 1), value=1)
        return super().forward(torch.cat([F.pad(x, (1, 1, 1, 1)), outside], 1))


class ZeroConvolution(EdgeConvolution):
    """The last layer of a network that begins as zero: so couplings begin as the identity. Section 3.3.

    Each output has a scale of its own, which begins as 1.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(cast(Tensor, self.bias))
        self.log_scale = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float() * (RATE * self.log_scale).exp()


def coupling_network(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """NN(): three convolutions, the hidden layers with ``width`` channels, each with an actnorm (the authors' code)."""
    first, second = EdgeConvolution(inputs, width, bias=False), nn.Conv2d(width, width, 1, bias=False)
    for hidden in (first, second):
        nn.init.normal_(hidden.weight, std=0.05)
    norms = ActNorm(width), ActNorm(width)
    last = ZeroConvolution(width, outputs)
    return nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1], nn.ReLU(), last)


class Coupling(nn.Module):
    """y_a = x_a, y_b = s (x_b + t) with (s, t) = NN(x_a), of halves a and b of the channels; [B, C, H, W]. Section 3.3.

    ``kind`` is ``affine``, with s = sigmoid(NN + 2) as in the authors' code, or ``additive``, with s = 1.
    """

    def __init__(self, channels: int, width: int, kind: str) -> None:
        super().__init__()
        self.affine = kind == "affine"
        self.network = coupling_network(channels // 2, channels if self.affine else channels // 2, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, 1)
        log_scale, shift = self._moves(a)
        return torch.cat([a, (b + shift) * log_scale.exp()], 1), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """x [B, C, H, W]."""
        a, b = y.chunk(2, 1)
        log_scale, shift = self._moves(a)
        return torch.cat([a, b * (-log_scale).exp() - shift], 1)

    def _moves(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """log s and t, of b's shape."""
        outputs = self.network(a)
        if not self.affine:
            return torch.zeros_like(outputs), outputs
        logits, shift = outputs.chunk(2, 1)
        return F.logsigmoid(logits + 2), shift


class Step(nn.Module):
    """A step of the flow: actnorm, invertible convolution, coupling; [B, C, H, W]. Figure 2a."""

    def __init__(self, channels: int, width: int, coupling: str) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.convolution = InvertibleConvolution(channels)
        self.coupling = Coupling(channels, width, coupling)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, volume = self.coupling(self.convolution(self.norm(x)))
        cells = x.shape[2] * x.shape[3]
        return y, volume + cells * (self.norm.cell_volume() + self.convolution.cell_volume())  # Eq. 9

    def inverse(self, y: Tensor) -> Tensor:
        """x [B, C, H, W]."""
        return self.norm.inverse(self.convolution.inverse(self.coupling.inverse(y)))


class Standardised(nn.Module):
    """e = (z - m) / d, with (m, log d) = NN(given): e ~ N(0, I) is z ~ N(m, diag d^2). Maps with as many cells as
    those that are given, [B, inputs, H, W], which may have no channels. The authors' code, ``split2d`` and ``prior``.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.network = ZeroConvolution(inputs, 2 * channels)

    def forward(self, z: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_deviation = self.network(given).chunk(2, 1)
        return (z - mean) * (-log_deviation).exp(), -log_deviation.flatten(1).sum(1)

    def inverse(self, e: Tensor, given: Tensor) -> Tensor:
        """z [B, channels, H, W]."""
        mean, log_deviation = self.network(given).chunk(2, 1)
        return mean + log_deviation.exp() * e


class Scales(nn.Module):
    """The multi-scale architecture (Figure 2b): images [B, C, H, W] -> codes of the same shape.

    Each of the ``levels`` turns squares of four pixels into channels, takes ``depth`` steps, and hands half of the
    channels on to the coarser levels, which are inside it. What these give is put in the place of what they got, so a
    code has the shape of an image at every level. H and W are multiples of 2 to the power of ``levels``.
    """

    def __init__(self, channels: int, levels: int, depth: int, width: int, coupling: str) -> None:
        super().__init__()
        self.handed_on = 2 * channels if levels > 1 else 0
        steps = [Step(4 * channels, width, coupling) for _ in range(depth)]
        self.steps = cast(Sequence[Step], nn.ModuleList(steps))
        self.rest = Standardised(self.handed_on, 4 * channels - self.handed_on)
        self.coarser = Scales(self.handed_on, levels - 1, depth, width, coupling) if levels > 1 else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.pixel_unshuffle(x, 2)
        volumes = []
        for step in self.steps:
            x, volume = step(x)
            volumes.append(volume)
        handed_on, rest = x.tensor_split([self.handed_on], 1)
        code, volume = self.rest(rest, handed_on)
        volumes.append(volume)
        if self.coarser is not None:
            inner, volume = self.coarser(handed_on)
            code = torch.cat([inner, code], 1)
            volumes.append(volume)
        return F.pixel_shuffle(code, 2), torch.stack(volumes).sum(0)  # Eq. 7

    def inverse(self, code: Tensor) -> Tensor:
        """Images [B, C, H, W]."""
        handed_on, rest = F.pixel_unshuffle(code, 2).tensor_split([self.handed_on], 1)
        if self.coarser is not None:
            handed_on = self.coarser.inverse(handed_on)
        x = torch.cat([handed_on, self.rest.inverse(rest, handed_on)], 1)
        for step in reversed(self.steps):
            x = step.inverse(x)
        return F.pixel_shuffle(x, 2)
