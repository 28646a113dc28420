"""The VampPrior: its density, its samples, and the divergence that it makes of an encoder's posterior."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from genae.networks.variational import posterior
from genae.protocol import Part


def test_the_prior_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs(tiny_model, generator) -> None:
    model = tiny_model("vamp-vae", components=3, norm="none")
    prior = model.priors["vamp"]
    with torch.no_grad():
        prior.pseudo_inputs.logits.normal_(generator=generator())
        mean, log_variance = posterior(model.encoder(prior.pseudo_inputs.logits.tanh()))
        each = Independent(Normal(mean, (log_variance / 2).exp()), 1)
        mixture = MixtureSameFamily(Categorical(torch.ones(3)), each)
        codes = torch.randn(20, 6, generator=generator())
        assert torch.allclose(prior.log_density(codes), mixture.log_prob(codes), rtol=1e-5)
        drawn = prior.sample(20_000, generator())
    assert torch.allclose(drawn.mean(0), mixture.mean, atol=0.05)
    assert torch.allclose(drawn.var(0), mixture.variance, rtol=0.1)


def test_the_divergence_is_that_of_a_draw(tiny_model, random_batches) -> None:
    x = next(iter(random_batches(0, Part())))[:1] * 0.9
    model = tiny_model("vamp-vae", components=1, norm="none")
    prior = model.priors["vamp"]
    with torch.no_grad():
        prior.pseudo_inputs.logits.copy_(x.atanh())
    mean, log_variance = posterior(model.encoder(x))
    z = mean + 0.3
    assert float(model.divergence(z, mean, log_variance)) == pytest.approx(0, abs=1e-5), "q(z|x) is the prior itself"
    away, narrow = mean - 1.0, log_variance - 0.5
    expected = Normal(away, (narrow / 2).exp()).log_prob(z) - Normal(mean, (log_variance / 2).exp()).log_prob(z)
    assert float(model.divergence(z, away, narrow)) == pytest.approx(float(expected.sum()), rel=1e-4)


def test_batch_statistics_are_refused(tiny_model) -> None:
    with pytest.raises(ValueError, match="norm is batch, and pseudo-inputs are no images of the data; expected group"):
        tiny_model("vamp-vae", norm="batch")
