"""Gaussians at the ends of networks: what variational models share."""

import math

import torch
from torch import Tensor, nn

from genae.protocol import normal


def posterior(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """An encoder's outputs [B, 2 D] as mean and log variance [B, D] of q(z|x); maps [B, 2 c, h, w] as [B, c, h, w]."""
    mean, log_variance = outputs.float().chunk(2, dim=1)
    return mean, log_variance


def reparameterise(mean: Tensor, log_variance: Tensor) -> Tensor:
    """z = mean + sigma e, e ~ N(0, I)."""
    return mean + (log_variance / 2).exp() * normal(*mean.shape, like=mean)


class GaussianLikelihood(nn.Module):
    """-log p(x|z) per value, without its constant: e / (2 v) + log(v) / 2 for a squared error e and the variance v.

    A learned log v is 30 times its parameter: Adam moves a parameter by its learning rate, and v has to fall from 1 to
    0.001 within a few thousand steps of 1e-4.
    """

    gain = 30.0

    def __init__(self, variance: float, learned: bool = True) -> None:
        super().__init__()
        if not 0 < variance < math.inf:
            raise ValueError(f"variance is {variance}; expected a positive number")
        self.learned = learned
        value = torch.tensor(math.log(variance) / self.gain)
        self.scaled: Tensor
        if learned:
            self.scaled = nn.Parameter(value)
        else:
            self.register_buffer("scaled", value)

    @property
    def log_variance(self) -> Tensor:
        """log v."""
        return self.gain * self.scaled

    def forward(self, error: Tensor) -> Tensor:
        return (error * (-self.log_variance).exp() + self.log_variance) / 2
