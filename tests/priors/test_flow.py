"""The flow: invertible, with the volume of its Jacobian."""

from pathlib import Path

import pytest
import torch

from genae.priors.flow import FlowPrior
from genae.protocol import ConditionalPrior, Given
from genae.training.prior_fit import Fit, Labels, fit_to_codes


def test_a_flow_is_invertible_and_its_volume_is_that_of_its_jacobian(generator) -> None:
    torch.manual_seed(0)
    prior = FlowPrior(5, layers=4, width=16).double()
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=0.3)
    c = torch.randn(6, 5, generator=generator(), dtype=torch.float64)
    z = prior.encode(c)
    assert torch.allclose(prior.decode(z), c, atol=1e-10)
    jacobian = torch.autograd.functional.jacobian(lambda row: prior.encode(row[None])[0], c[0])
    assert float(prior.encode_with_volume(c)[1][0]) == pytest.approx(float(jacobian.slogdet().logabsdet), abs=1e-5)
    update = next(prior.step(iter([c]), 0))
    density = torch.distributions.MultivariateNormal(torch.zeros(5).double(), torch.eye(5).double()).log_prob(z)
    assert float(update.loss) == pytest.approx(float(-(density + prior.encode_with_volume(c)[1]).mean() / 5), rel=1e-5)


def test_a_flow_that_is_told_classes_is_invertible_and_samples_them(generator) -> None:
    labels = torch.arange(1200) % 3
    codes = 3.0 * labels[:, None] + torch.randn(1200, 2, generator=generator())
    settings = Fit("flow", images=20_000, batch_size=200, learning_rate=5e-3, options={"width": 32, "layers": 4})
    prior, _ = fit_to_codes(codes, settings, Path("unused"), labels=Labels(labels, ("a", "b", "c")))
    assert isinstance(prior, ConditionalPrior)
    given = Given(labels[:60])
    with torch.no_grad():
        assert torch.allclose(prior.decode(prior.encode(codes[:60], given), given), codes[:60], atol=1e-4)
        assert torch.allclose(prior.decode(prior.encode(codes[:60])), codes[:60], atol=1e-4)
        samples = prior.sample(600, generator(), Given(torch.arange(600) % 3))
    assert [float(samples[k::3].mean()) for k in range(3)] == pytest.approx([0, 3, 6], abs=0.5)
    flow = FlowPrior(3, layers=2, width=8, classes=("a", "b"))
    z, told = torch.randn(4, 3, generator=generator()), Given(torch.tensor([0, 1, 0, 1]))
    assert not torch.equal(flow.decode(z, told)[0], flow.decode(z)[0])
