"""Flow matching: its equation both ways, its velocity, its source."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from genae.priors.flow_matching import FlowMatchingPrior
from genae.training.prior_fit import Fit, fit_to_codes


def test_flow_matching_solves_its_equation_both_ways(generator) -> None:
    torch.manual_seed(0)
    prior = FlowMatchingPrior(3, width=16, blocks=1, solver_steps=200)
    z = prior.latent(4, generator())
    assert torch.allclose(prior.encode(prior.decode(z)), z, atol=1e-5)


def test_the_solver_is_of_order_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """dx/dt = x (1 + t) has the solution x_0 exp(t + t^2 / 2): half the step, a sixteenth of the error."""
    prior = FlowMatchingPrior(2, width=4, blocks=1).double()
    monkeypatch.setattr(prior.velocity, "forward", lambda x, t: x * (1 + t))
    x_0 = torch.tensor([[1.0, -2.0]]).double()

    def error(steps: int) -> float:
        prior.solver_steps = steps
        assert torch.allclose(prior.encode(prior.decode(x_0)), x_0, atol=20 / steps**4)
        return float((prior.decode(x_0) - x_0 * math.exp(1.5)).abs().max())

    assert error(4) / error(8) == pytest.approx(16, rel=0.15)


def test_the_average_is_the_sum_of_all_weights_each_halved_by_half_life() -> None:
    prior = FlowMatchingPrior(2, width=4, blocks=1, half_life=20)
    average, weights = prior.average.clone(), parameters_to_vector(prior.velocity.parameters())
    for images in (0, 1000, 1010):
        for _ in prior.step(iter([torch.zeros(10, 2)]), images):
            with torch.no_grad():
                for p in prior.velocity.parameters():
                    p.add_(1.0)
        kept = 0.5 ** (10 / min(20, 1 + images / 4))
        weights = weights + 1
        average = kept * average + (1 - kept) * weights
        assert torch.allclose(prior.average, average, atol=1e-6)


def test_the_velocity_of_a_single_point_leads_there(generator) -> None:
    settings = Fit("flow-matching", images=60_000, batch_size=200, options={"width": 64, "blocks": 2})
    codes = torch.tensor([[2.0, -1.0]]) + 0.05 * torch.randn(400, 2, generator=generator())
    prior, _ = fit_to_codes(codes, settings, Path("unused"))
    with torch.no_grad():
        samples = prior.sample(500, generator())
    assert samples.mean(0).tolist() == pytest.approx([2, -1], abs=0.02)
    assert samples.std(0).tolist() == pytest.approx([0.05, 0.05], abs=0.02)


def test_flow_matching_from_a_mixture_needs_short_lines(tmp_path: Path, generator, two_clusters) -> None:
    codes = two_clusters()
    options = {"width": 32, "blocks": 1, "components": 2}
    settings = Fit("flow-matching", images=20_000, batch_size=250, options=options)
    prior, _ = fit_to_codes(codes, settings, tmp_path / "p")
    with torch.no_grad():
        samples = prior.sample(2000, generator())
    assert (samples[:, 0].abs() < 1.2).float().mean() < 0.02, "no samples between the clusters, after 80 steps"
    # At the start the field is small, so the loss is the mean square of x_1 - x_0: as short as a cluster is wide.
    fresh = FlowMatchingPrior(2, width=32, blocks=1, components=2)
    fresh.fit(codes)
    torch.nn.init.zeros_(fresh.velocity.last.weight)
    torch.nn.init.zeros_(fresh.velocity.last.bias)
    loss = float(next(fresh.step(iter([codes]), 0)).loss)
    within = torch.cat([side - side.mean(0) for side in (codes[codes[:, 0] > 0], codes[codes[:, 0] <= 0])])
    assert loss == pytest.approx(2 * float(within.square().mean()), rel=0.1)
    with pytest.raises(ValueError, match="temperature is that of a mixture; set components too"):
        FlowMatchingPrior(2, temperature=0.5)
