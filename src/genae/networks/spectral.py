"""Spectral normalisation (Miyato, Kataoka, Koyama, Yoshida 2018)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from genae.losses import in_float32
from genae.networks.style_layers import Convolution

STEPS = 20  # of power iteration at the start; each pass in training takes one more


class SpectralConvolution(Convolution):
    """As `Convolution`, but its weights are divided by their spectral norm instead of scaled.

    The norm is that of the matrix [outputs, inputs size^2], by power iteration (Miyato et al. 2018, Algorithm 1), whose
    vector is kept with the weights. These start as N(0, gain^2 / (inputs size^2)).
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
                self.spectral_norm()

    def scaled_weight(self) -> Tensor:
        """The weights divided by their spectral norm."""
        return self.weight / self.spectral_norm()

    def spectral_norm(self) -> Tensor:
        """The largest singular value, a scalar: ||W v||, v = W^T u / ||W^T u||. In training u becomes W v / ||W v||."""
        with in_float32(self.weight):
            matrix = (self.weight.transpose(0, 1) if self.change == "double" else self.weight).flatten(1)
            with torch.no_grad():
                v = F.normalize(matrix.T @ self.direction, dim=0)
            image = matrix @ v
            if self.training:
                self.direction.copy_(F.normalize(image.detach(), dim=0))
            return image.norm()
