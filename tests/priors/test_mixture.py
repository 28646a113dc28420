"""The mixture: its clusters, its posterior, its temperature."""

import copy
from pathlib import Path

import pytest
import torch

from genae.priors.mixture import MixturePrior
from genae.storage import load_weights


def test_a_mixture_finds_the_clusters(generator, two_clusters) -> None:
    prior = MixturePrior(2, components=2)
    prior.fit(two_clusters())
    order = prior.means[:, 0].argsort()
    assert prior.weights[order].tolist() == pytest.approx([0.75, 0.25], abs=0.01)
    assert prior.means[order].flatten().tolist() == pytest.approx([-3, 1, 3, 0], abs=0.05)
    samples = prior.sample(4000, generator())
    assert float((samples[:, 0] > 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert samples[samples[:, 0] > 0].std(0).tolist() == pytest.approx([0.2, 0.2], abs=0.02)
    assert not prior.has_encoder


def test_the_posterior_of_a_mixture_is_that_of_bayes(generator) -> None:
    prior = MixturePrior(2, components=3).double()
    factors = torch.tensor([[[1.0, 0.0], [0.5, 0.7]], [[0.3, 0.0], [0.1, 2.0]], [[1.5, 0.0], [-1.0, 0.4]]])
    means = torch.tensor([[0.0, 1.0], [2.0, -1.0], [-1.0, 0.5]])
    state = {"weights": torch.tensor([0.2, 0.5, 0.3]), "means": means, "factors": factors}
    prior.load_state_dict({"temperature": torch.ones(()), **state})
    c = torch.randn(7, 2, generator=generator()).double()
    densities = torch.stack(
        [
            w * torch.distributions.MultivariateNormal(m, scale_tril=f).log_prob(c).exp()
            for w, m, f in zip(prior.weights, prior.means, prior.factors, strict=True)
        ],
        1,
    )
    assert torch.allclose(prior.posterior(c), densities / densities.sum(1, keepdim=True))


def test_a_temperature_shrinks_each_component_and_not_their_distance(generator, two_clusters) -> None:
    wide, narrow = MixturePrior(2, components=2), MixturePrior(2, components=2, temperature=0.5)
    for prior in (wide, narrow):
        prior.fit(two_clusters())
    a, b = wide.sample(3000, generator()), narrow.sample(3000, generator())
    right = a[:, 0] > 0
    assert torch.equal(right, b[:, 0] > 0)
    assert b[right].std(0).tolist() == pytest.approx((0.5 * a[right].std(0)).tolist(), rel=1e-3)
    assert b[right].mean(0).tolist() == pytest.approx(a[right].mean(0).tolist(), abs=0.1)


def test_covariances_are_inverted_when_they_change_and_not_for_every_batch(
    generator, two_clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    inverted = []
    plain = torch.linalg.inv
    monkeypatch.setattr(torch.linalg, "inv", lambda x: inverted.append(x) or plain(x))
    fitted, loaded = MixturePrior(2, components=2), MixturePrior(2, components=2)
    fitted.fit(two_clusters())
    load_weights(loaded, fitted.state_dict(), Path("there"))
    inverted.clear()
    codes = torch.randn(5, 2, generator=generator())
    expected = fitted.posterior(codes)
    assert torch.equal(loaded.posterior(codes), expected)
    assert torch.equal(copy.deepcopy(loaded).posterior(codes), expected)
    assert torch.allclose(loaded.double().posterior(codes.double()).float(), expected, atol=1e-5)
    assert not inverted
    assert fitted.state_dict().keys() == {"temperature", "weights", "means", "factors"}, (
        "weights files stay as they are"
    )
