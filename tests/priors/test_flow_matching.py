"""Flow matching: its equation both ways, its velocity, its source."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from genae.priors.flow_matching import FlowMatchingPrior
from genae.protocol import ConditionalPrior, Given
from genae.training.prior_fit import Fit, Labels, fit_to_codes


def test_flow_matching_solves_its_equation_both_ways(generator) -> None:
    torch.manual_seed(0)
    prior = FlowMatchingPrior(3, width=16, blocks=1, solver_steps=200)
    z = prior.latent(4, generator())
    assert torch.allclose(prior.encode(prior.decode(z)), z, atol=1e-5)


def test_the_solver_is_of_order_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """dx/dt = x (1 + t) has the solution x_0 exp(t + t^2 / 2): half the step, a sixteenth of the error."""
    prior = FlowMatchingPrior(2, width=4, blocks=1).double()
    monkeypatch.setattr(prior.velocity, "forward", lambda x, t, y: x * (1 + t))
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


def told(**options: Any) -> tuple[ConditionalPrior, torch.Tensor, torch.Tensor]:
    """A prior of three classes around 0, 3 and 6, with its codes and labels."""
    labels = torch.arange(1200) % 3
    codes = 3.0 * labels[:, None] + torch.randn(1200, 2, generator=torch.Generator().manual_seed(0))
    options = {"width": 32, "blocks": 1} | options
    settings = Fit("flow-matching", images=40_000, batch_size=200, learning_rate=5e-3, options=options)
    prior, _ = fit_to_codes(codes, settings, Path("unused"), labels=Labels(labels, ("a", "b", "c")))
    assert isinstance(prior, ConditionalPrior)
    return prior, codes, labels


@pytest.mark.parametrize("components", [0, 1])
def test_samples_are_of_the_class_that_is_given(components: int, generator) -> None:
    prior, codes, labels = told(components=components)
    with torch.no_grad():
        samples = prior.sample(600, generator(), Given(torch.arange(600) % 3))
        assert [float(samples[k::3].mean()) for k in range(3)] == pytest.approx([0, 3, 6], abs=0.5)
        assert float(samples[1::3].std(0).mean()) == pytest.approx(1, abs=0.3)
        assert float(prior.sample(900, generator()).mean()) == pytest.approx(3, abs=0.5), "classes by their shares"
        given = Given(labels[:60])
        assert torch.allclose(prior.decode(prior.encode(codes[:60], given), given), codes[:60], atol=0.02)


def test_guidance_is_a_line_between_the_velocities_with_and_without_the_class(generator) -> None:
    torch.manual_seed(0)
    prior = FlowMatchingPrior(3, width=16, blocks=1, classes=("a", "b"))
    x, t, y = torch.randn(5, 3, generator=generator()), torch.full((1, 1), 0.3), torch.tensor([0, 1, 1, 0, 1])
    weights = prior._averages()
    with torch.no_grad():
        none = prior.velocity(x, t, torch.full((5,), 2))
        own = prior.velocity(x, t, y)
        assert torch.equal(prior._guided(weights, x, t, Given(y, 1.0)), own)
        assert torch.equal(prior._guided(weights, x, t, Given(y, 0.0)), none)
        assert torch.equal(prior._guided(weights, x, t, None), none)
        assert torch.allclose(prior._guided(weights, x, t, Given(y, 2.5)), none + 2.5 * (own - none), atol=1e-6)
        assert torch.equal(prior.decode(x, Given(y, 0.0)), prior.decode(x))
        assert not torch.equal(own, none)
    assert prior.is_guided
    assert not FlowMatchingPrior(3, width=16, blocks=1).is_guided


def test_a_tenth_of_the_classes_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = FlowMatchingPrior(2, width=8, blocks=1, classes=("a", "b"))
    labels: list[torch.Tensor] = []
    forward = prior.velocity.forward

    def look(x: torch.Tensor, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        labels.append(y)
        return forward(x, t, y)

    monkeypatch.setattr(prior.velocity, "forward", look)
    y = torch.arange(4000) % 2
    next(prior.step(iter([torch.zeros(4000, 2)]), 0, iter([y])))
    assert float((labels[0] == 2).float().mean()) == pytest.approx(0.1, abs=0.02)
    assert torch.equal(labels[0][labels[0] < 2], y[labels[0] < 2])


def test_the_tensors_of_a_file_are_those_of_genae_0_1() -> None:
    prior = FlowMatchingPrior(3, width=4, blocks=1)
    linear = [
        f"velocity.{name}" for name in ("first", "time.0", "time.2", "blocks.0.0", "blocks.0.1", "blocks.0.3", "last")
    ]
    source = [f"source.{name}" for name in ("temperature", "weights", "means", "factors")]
    weights = [f"{name}.{part}" for name in linear for part in ("weight", "bias")]
    assert list(prior.state_dict()) == ["average", *source, "velocity.frequencies", *weights]
    assert prior.average.shape == (sum(p.numel() for p in prior.velocity.parameters()),)
