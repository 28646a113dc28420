"""The flow: invertible, with the volume of its Jacobian."""

import pytest
import torch

from genae.priors.flow import FlowPrior


def test_a_flow_is_invertible_and_its_volume_is_that_of_its_jacobian(generator) -> None:
    torch.manual_seed(0)
    prior = FlowPrior(5, layers=4, width=16).double()
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=0.3)
    c = torch.randn(6, 5, generator=generator(), dtype=torch.float64)
    z = prior.encode(c)
    assert torch.allclose(prior.decode(z), c, atol=1e-10)
    jacobian = torch.autograd.functional.jacobian(lambda row: prior.encode(row[None])[0], c[0])
    assert float(prior._forward(c)[1][0]) == pytest.approx(float(jacobian.slogdet().logabsdet), abs=1e-5)
    update = next(prior.step(iter([c]), 0))
    density = torch.distributions.MultivariateNormal(torch.zeros(5).double(), torch.eye(5).double()).log_prob(z)
    assert float(update.loss) == pytest.approx(float(-(density + prior._forward(c)[1]).mean() / 5), rel=1e-5)
