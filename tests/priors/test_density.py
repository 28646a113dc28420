"""Densities of priors in closed form, against independent ones."""

import numpy as np
import pytest
import torch
from scipy import stats

from genae.priors import PRIORS
from genae.priors.flow import FlowPrior
from genae.priors.gaussian import GaussianPrior
from genae.priors.mixture import MixturePrior
from genae.priors.stack import StackedPrior
from genae.protocol import Prior


def skewed(count: int, generator: torch.Generator) -> torch.Tensor:
    """Codes [count, 3] that are correlated and not centred."""
    return torch.randn(count, 3, generator=generator) @ torch.tensor([[2.0, 1, 0], [0, 0.5, 0.3], [0, 0, 0.1]]) + 1


def random_flow(dimensions: int) -> FlowPrior:
    """Couplings that bend codes, which new ones hardly do."""
    torch.manual_seed(0)
    flow = FlowPrior(dimensions, layers=4, width=16)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return flow


def test_the_density_of_a_gaussian_is_that_of_scipy(generator) -> None:
    codes = skewed(400, generator())
    prior = GaussianPrior(3)
    prior.fit(codes)
    expected = stats.multivariate_normal(codes.mean(0), np.cov(codes.numpy().T)).logpdf(codes.numpy())
    assert prior.log_density(codes).numpy() == pytest.approx(expected, abs=1e-3)
    standard = stats.multivariate_normal(np.zeros(3), np.eye(3)).logpdf(codes.numpy())
    assert GaussianPrior(3).log_density(codes).numpy() == pytest.approx(standard, rel=1e-5)


def test_the_density_of_a_flat_gaussian_is_that_of_its_directions(generator) -> None:
    plane = torch.randn(400, 2, generator=generator()) * torch.tensor([3.0, 0.5])
    prior = GaussianPrior(3)
    prior.fit(torch.cat([plane, torch.ones(400, 1)], 1))
    off = torch.cat([plane, torch.full((400, 1), 1.5)], 1)
    expected = stats.multivariate_normal(plane.mean(0), np.cov(plane.numpy().T)).logpdf(plane.numpy())
    assert prior.log_density(off).numpy() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_density_of_a_mixture_is_that_of_scikit_learn(temperature: float, generator) -> None:
    from sklearn.mixture import GaussianMixture

    codes = torch.cat([skewed(200, generator()), skewed(200, generator(1)) - 6])
    prior = MixturePrior(3, components=2, temperature=temperature)
    prior.fit(codes)
    expected = GaussianMixture(2, n_init=3, random_state=0, tol=1e-6).fit(codes.numpy()).score_samples(codes.numpy())
    assert prior.log_density(codes).numpy() == pytest.approx(expected, abs=0.02)


def test_the_density_of_a_flow_integrates_to_one() -> None:
    steps = torch.linspace(-30, 30, 1501)
    grid = torch.cartesian_prod(steps, steps)
    with torch.no_grad():
        log_density = random_flow(2).log_density(grid)
    assert float(log_density.exp().sum() * (steps[1] - steps[0]) ** 2) == pytest.approx(1, abs=1e-3)
    assert float((log_density - GaussianPrior(2).log_density(grid)).abs()[grid.norm(dim=1) < 2].mean()) > 0.1


def test_the_density_of_a_stack_is_the_change_of_variables(generator) -> None:
    codes = skewed(400, generator())
    whitening, flow = GaussianPrior(3), random_flow(3)
    whitening.fit(codes)
    stack = StackedPrior([whitening, flow])
    at = codes[:5]
    slopes = torch.stack([torch.autograd.functional.jacobian(lambda row: stack.encode(row[None])[0], c) for c in at])
    expected = stats.multivariate_normal(np.zeros(3), np.eye(3)).logpdf(stack.encode(at).detach().numpy())
    with torch.no_grad():
        assert stack.log_density(at).numpy() == pytest.approx(expected + slopes.slogdet().logabsdet.numpy(), rel=1e-4)
        mixture = StackedPrior([whitening, MixturePrior(3, 1)])  # one component that is N(0, I)
        assert torch.allclose(mixture.log_density(at), whitening.log_density(at), rtol=1e-5)


def test_a_prior_says_whether_it_has_a_density() -> None:
    def stacked(*levels: Prior) -> Prior:
        return StackedPrior([GaussianPrior(4), *levels])

    for kind, has in (("flow", True), ("gaussian", True), ("mixture", True), ("vae", False), ("flow-matching", False),
                      ("wae-gan", False), ("wgan-gp", False)):  # fmt: skip
        assert PRIORS[kind](4).has_density == has, kind
        assert stacked(PRIORS[kind](4)).has_density == has, kind
    assert not stacked(PRIORS["vae"](4), GaussianPrior(4)).has_density, "the volume below is not known"
    assert not stacked(MixturePrior(4), GaussianPrior(4)).has_density
