"""Spectral normalisation (Miyato, Kataoka, Koyama, Yoshida 2018)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.losses import in_float32
from genae.networks.style_layers import Convolution

STEPS = 20  # of power iteration at the start


class SpectralConvolution(Convolution):
    """As `Convolution`, but its weights are divided by their spectral norm instead of scaled.

    The norm is that of the matrix [outputs, inputs size^2], by power iteration (Miyato et al. 2018, Algorithm 1), whose
    vector u is kept with the weights; an algorithm takes its steps with `follow_weights`. The weights start as
    N(0, gain^2 / (inputs size^2)).
    """

    direction: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int = 3, change: str = "same", gain: float = math.sqrt(2)
    ) -> None:
        super().__init__(inputs, outputs, size, change, gain)
        self.register_buffer("direction", torch.randn(outputs))
        with torch.no_grad():
            self.weight.mul_(self.scale)
            for _ in range(STEPS):
                self.take_step()

    def scaled_weight(self) -> Tensor:
        """The weights divided by their spectral norm."""
        return self.weight / self.spectral_norm()

    def spectral_norm(self) -> Tensor:
        """The largest singular value, a scalar."""
        return self._image().norm()

    def take_step(self) -> None:
        """One of power iteration, in place."""
        self.direction.copy_(F.normalize(self._image(), dim=0))

    def _image(self) -> Tensor:
        """W v [outputs], v = W^T u / ||W^T u||; in float32."""
        with in_float32(self.weight):
            matrix = (self.weight.transpose(0, 1) if self.change == "double" else self.weight).flatten(1)
            with torch.no_grad():
                v = F.normalize(matrix.T @ self.direction, dim=0)
            return matrix @ v


@torch.no_grad()
def follow_weights(*networks: nn.Module) -> None:
    """A step of power iteration in every layer: before an iteration's first pass, never between a pass and its backward
    pass."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, SpectralConvolution):
                module.take_step()
