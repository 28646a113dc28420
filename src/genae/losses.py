"""Objectives as pure functions: the equation stands above each.

Squared costs are means over elements and critic losses are means over patches (see `mean`): the published weight
0.001 of the adversarial term presumes it. Everything is computed in float32, whatever the precision of the networks.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

ADVERSARIAL = ("non-saturating", "ratio")  # the kinds of `generator_loss`


def mean(values: Tensor) -> Tensor:
    """The one reduction of every objective here: the mean over batch and elements, in float32.

    With sums over the 3,072 values of a 32 x 32 colour image, a critic weighted by 0.001 would have no effect, while
    the papers' tables show that it decides the result.
    """
    return values.float().mean()


def mse(x: Tensor, target: Tensor) -> Tensor:
    """mean (x - target)^2. Any shape; images in [-1, 1] or codes."""
    return mean((x.float() - target.float()).square())


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(real) - log(1 - D(fake)) = softplus(-C(real)) + softplus(C(fake)), with D = sigmoid(C).

    ``real`` and ``fake`` are the critic's logits, any shape. Goodfellow et al. 2014, Eq. 1; SWAE Eq. 3 and 6.
    """
    return mean(F.softplus(-real.float())) + mean(F.softplus(fake.float()))


def generator_loss(fake: Tensor, kind: str = "non-saturating") -> Tensor:
    """What the generating side minimises, given the critic's logits on its output.

    ``non-saturating``: -log D(fake) = softplus(-C(fake)) (SWAE Algorithm 1).
    ``ratio``: -log(D(fake) / (1 - D(fake))) = -C(fake) (AAAE's log-ratio, Eq. 7).
    """
    if kind == "non-saturating":
        return mean(F.softplus(-fake.float()))
    if kind == "ratio":
        return -mean(fake)
    raise ValueError(f"generator_loss: kind is {kind!r}; expected 'non-saturating' or 'ratio'")


def gradient_penalty(critic: Callable[[Tensor], Tensor], at: Tensor, target: float = 1.0) -> Tensor:
    """mean (||grad_x D(x)||_2 - target)^2 over the rows x of ``at`` [B, ...]; Gulrajani et al. 2017, Eq. 3.

    Differentiable in the critic's parameters; in float32, also inside autocast.
    """
    with torch.autocast(at.device.type, enabled=False):
        x = at.detach().float().requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).float().sum(), x, create_graph=True)
        return mean((slope.flatten(1).norm(dim=1) - target).square())
