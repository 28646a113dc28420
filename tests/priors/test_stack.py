"""Priors on priors."""

import torch

from genae.priors import PRIORS
from genae.priors.flow_matching import FlowMatchingPrior
from genae.priors.gaussian import GaussianPrior
from genae.priors.stack import StackedPrior


def test_a_stack_samples_with_its_highest_level(generator) -> None:
    torch.manual_seed(0)
    base, top = GaussianPrior(4), PRIORS["vae"](4)
    base.fit(torch.randn(50, 4, generator=generator()) * 3 + 1)
    stack = StackedPrior([base, top])
    with torch.no_grad():
        assert torch.equal(stack.sample(6, generator()), base.decode(top.sample(6, generator())))


def test_a_stack_is_guided_and_draws_classes_as_its_highest_level_does(generator) -> None:
    flow = FlowMatchingPrior(4, width=8, blocks=1, classes=("a", "b", "c"))
    stack = StackedPrior([GaussianPrior(4), flow])
    assert flow.is_guided
    assert stack.is_guided
    assert not FlowMatchingPrior(4, width=8, blocks=1).is_guided, "there is no class to be drawn to"
    assert not GaussianPrior(4, classes=("a", "b", "c")).is_guided
    flow.shares.copy_(torch.tensor([0.0, 0.25, 0.75]))
    drawn = stack.drawn_classes(4000, generator(0))
    assert drawn is not None
    assert torch.bincount(drawn.labels, minlength=3).div(4000).sub(flow.shares).abs().max() < 0.03
