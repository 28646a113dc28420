"""The Gaussian prior: moments and whitening."""

import pytest
import torch

from genae.priors.gaussian import GaussianPrior
from genae.protocol import Given


def test_a_gaussian_prior_is_standard_until_it_is_fitted(generator) -> None:
    prior = GaussianPrior(3)
    c = torch.randn(5, 3, generator=generator())
    assert torch.equal(prior.encode(c), c)
    assert torch.equal(prior.decode(c), c)
    assert prior.sample(2000, generator()).std(0) == pytest.approx([1, 1, 1], abs=0.1)


def test_a_fitted_gaussian_has_the_moments_of_the_codes_and_whitens_them(generator) -> None:
    codes = torch.randn(500, 4, generator=generator()) @ torch.randn(4, 4, generator=generator(2)) + 5
    prior = GaussianPrior(4)
    prior.fit(codes)
    z = prior.encode(codes)
    assert torch.allclose(z.T @ z / 499, torch.eye(4), atol=1e-4)
    assert torch.allclose(prior.decode(z), codes, atol=1e-3)
    assert torch.allclose(prior.factor @ prior.factor.T, codes.T.cov(), rtol=1e-4, atol=1e-4)
    samples = prior.sample(50_000, generator())
    assert torch.allclose(samples.mean(0), codes.mean(0), atol=0.1)


def test_directions_without_variance_are_not_blown_up(generator) -> None:
    codes = torch.cat([torch.randn(100, 2, generator=generator()), torch.ones(100, 1)], 1)
    prior = GaussianPrior(3)
    prior.fit(codes)
    assert prior.encode(codes + 1e-3).abs().max() < 10
    assert torch.allclose(prior.sample(5, generator())[:, 2], torch.ones(5), atol=1e-5)


def test_each_class_has_a_gaussian_of_its_own_beside_that_of_all_codes(generator) -> None:
    codes = torch.randn(600, 3, generator=generator())
    labels = torch.arange(600) % 3
    codes = codes * torch.tensor([0.5, 1.0, 2.0])[labels, None] + 10.0 * labels[:, None]
    prior, alone, whole = GaussianPrior(3, classes=("a", "b", "c")), GaussianPrior(3), GaussianPrior(3)
    prior.fit(codes, labels=labels)
    alone.fit(codes[labels == 2])
    whole.fit(codes)
    given = Given(torch.tensor([2, 0, 2]))
    z = prior.encode(codes[:3], given)
    assert torch.allclose(z[[0, 2]], alone.encode(codes[[0, 2]]), atol=1e-5)
    assert torch.allclose(prior.decode(z, given), codes[:3], atol=1e-4)
    assert torch.equal(prior.encode(codes), whole.encode(codes))
    samples = prior.sample(300, generator(), Given(torch.arange(300) % 3))
    assert [float(samples[k::3].mean()) for k in range(3)] == pytest.approx([0, 10, 20], abs=0.3)
    prior.shares.copy_(torch.tensor([0.0, 1.0, 0.0]))
    assert float(prior.sample(100, generator()).mean()) == pytest.approx(10, abs=0.3)  # nothing given: by the shares


def test_of_few_codes_no_direction_is_lost(generator) -> None:
    codes = torch.randn(8, 20, generator=generator()) * torch.linspace(1, 2, 20)
    prior = GaussianPrior(20)
    prior.fit(codes)
    others = torch.randn(50, 20, generator=generator(1))
    assert torch.allclose(prior.decode(prior.encode(others)), others, atol=1e-4)
    assert float(prior.encode(codes).T.cov().trace()) == pytest.approx(7, abs=1e-3)  # whitened where they are
