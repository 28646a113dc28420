"""The Gaussian prior: moments and whitening."""

import pytest
import torch

from genae.priors.gaussian import GaussianPrior


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
