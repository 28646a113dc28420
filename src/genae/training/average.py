"""The moving average of a model's weights, which samples and reconstructs better than the last weights of a GAN."""

import copy

import torch

from genae.protocol import Autoencoder


class Average:
    """Follows the parameters of ``model``: after ``half_life`` images, half of what it was is left.

    It starts from the model's weights. Buffers are the model's own. Karras et al. 2018, Section 6.1.
    """

    def __init__(self, model: Autoencoder, half_life: int) -> None:
        self.half_life = half_life
        self.model = copy.deepcopy(model).requires_grad_(False)

    def update(self, model: Autoencoder, images: int) -> None:
        """Follow the model after a step of ``images`` images."""
        with torch.no_grad():
            weight = 1 - 0.5 ** (images / self.half_life)
            torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), weight)
            self.model.follow(model)
