"""VampPrior: a mixture of the posteriors that an encoder gives to learned pseudo-inputs.

Tomczak and Welling 2018, Eq. 9.
"""

import math

import torch
from torch import Tensor, nn

from genae.losses import gaussian_log_density
from genae.networks.variational import posterior
from genae.protocol import Prior, at_least


class PseudoInputs(nn.Module):
    """u_1 ... u_K: learned images [K, C, H, W] in (-1, 1)."""

    def __init__(self, image_shape: tuple[int, int, int], components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(0.01 * torch.randn(components, *image_shape))

    def forward(self) -> Tensor:
        """[K, C, H, W]."""
        return self.logits.tanh()


class VampPrior(Prior):
    """p(z) = 1/K sum_k q(z|u_k), with K = ``components``; like other mixtures it has no latent variables.

    ``encoder`` maps images to mean and log variance of q(z|x) (`networks.variational.posterior`). It is another
    module's: it is neither saved with the prior nor moved with it.
    """

    def __init__(self, image_shape: tuple[int, int, int], components: int, encoder: nn.Module) -> None:
        super().__init__()
        at_least(1, components=components)
        self.pseudo_inputs = PseudoInputs(image_shape, components)
        self._encoder = (encoder,)  # not a module of its own

    def components(self) -> tuple[Tensor, Tensor]:
        """Means and log variances [K, D] of q(z|u_k)."""
        mean, log_variance = posterior(self._encoder[0](self.pseudo_inputs()))
        return mean.flatten(1), log_variance.flatten(1)

    def log_density(self, codes: Tensor) -> Tensor:
        """log 1/K sum_k q(c|u_k): [B, D] -> [B]."""
        mean, log_variance = self.components()
        each = gaussian_log_density(codes[:, None], mean, log_variance)
        return each.logsumexp(1) - math.log(len(mean))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes [count, D]: a component each, then its Gaussian."""
        mean, log_variance = self.components()
        component = torch.randint(len(mean), (count,), generator=generator).to(mean.device)
        noise = torch.randn(count, mean.shape[1], generator=generator).to(mean.device)
        return mean[component] + (log_variance[component] / 2).exp() * noise
