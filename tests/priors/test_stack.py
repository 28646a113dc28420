"""Priors on priors."""

import torch

from genae.priors import PRIORS
from genae.priors.gaussian import GaussianPrior
from genae.priors.stack import StackedPrior


def test_a_stack_samples_with_its_highest_level(generator) -> None:
    torch.manual_seed(0)
    base, top = GaussianPrior(4), PRIORS["vae"](4)
    base.fit(torch.randn(50, 4, generator=generator()) * 3 + 1)
    stack = StackedPrior([base, top])
    with torch.no_grad():
        assert torch.equal(stack.sample(6, generator()), base.decode(top.sample(6, generator())))
