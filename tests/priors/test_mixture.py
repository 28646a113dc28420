"""The mixture: its clusters, its posterior, its temperature."""

import copy
from pathlib import Path

import pytest
import torch
from sklearn.mixture import GaussianMixture

from genae.errors import GenaeError
from genae.priors.k_means import _moved
from genae.priors.mixture import MixturePrior
from genae.protocol import Given
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


@pytest.mark.parametrize(("count", "dimensions", "components"), [(3000, 4, 5), (400, 8, 50)])
def test_a_mixture_is_that_of_scikit_learn(
    count: int, dimensions: int, components: int, monkeypatch: pytest.MonkeyPatch, generator
) -> None:
    """Their random numbers, k-means and expectation-maximisation, although all of it is done in parts."""
    centres = 2 * torch.randn(40, dimensions, generator=generator())
    codes = centres[torch.arange(count) % 40] + 0.5 * torch.randn(count, dimensions, generator=generator(1))
    monkeypatch.setattr("genae.priors.k_means.AT_ONCE", 1)  # parts of 256
    prior = MixturePrior(dimensions, components)
    prior.fit(codes)
    theirs = GaussianMixture(components, random_state=0).fit(codes.double().numpy())
    assert torch.allclose(prior.weights.double(), torch.from_numpy(theirs.weights_), atol=1e-7)
    assert torch.allclose(prior.means.double(), torch.from_numpy(theirs.means_), atol=1e-6)
    covariances = prior.factors.double() @ prior.factors.double().mT
    assert torch.allclose(covariances, torch.from_numpy(theirs.covariances_), atol=1e-5)


def test_means_that_have_no_codes_move_to_the_farthest() -> None:
    """Two of three places are one: the third mean begins where another is, and takes what is far from its own."""
    codes = torch.tensor([[0.0], [0.0], [0.0], [10.0], [10.0], [13.0]])
    labels, means = _moved(codes, torch.tensor([[0.0], [10.0], [90.0]], dtype=torch.float64), torch.zeros(1))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert means.flatten().tolist() == [0.0, 10.0, 13.0]


def test_codes_without_a_covariance_are_refused() -> None:
    codes = torch.randn(16, 2).index_fill(0, torch.tensor([3]), torch.nan)
    with pytest.raises(GenaeError, match=r"component \d of 2 has no covariance: codes hold NaN or infinity, .*; lower"):
        MixturePrior(2, components=2).fit(codes)


def test_each_class_has_components_of_its_own(generator, two_clusters) -> None:
    codes = two_clusters()
    labels = (codes[:, 0] > 0).long()
    prior, alone = MixturePrior(2, components=2, classes=("left", "right")), MixturePrior(2, components=2)
    prior.fit(codes, labels=labels)
    alone.fit(codes[labels == 1])
    assert torch.allclose(prior.means[2:], alone.means)
    assert prior.weights.tolist() == pytest.approx(
        [*prior.weights[:2].tolist(), *(0.25 * alone.weights).tolist()], abs=0.01
    )
    assert float(prior.weights.sum()) == pytest.approx(1)
    given = torch.arange(400) % 2
    assert torch.equal(prior.sample(400, generator(), Given(given))[:, 0] > 0, given == 1)
    assert float((prior.sample(4000, generator())[:, 0] > 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    posterior = prior.posterior(codes[:50], labels[:50])
    assert torch.equal(posterior.unflatten(1, (2, 2)).sum(2).argmax(1), labels[:50])
    with pytest.raises(GenaeError, match="1 codes of class 'right' are too few for 2 components"):
        prior.fit(codes[:10], labels=torch.tensor([0] * 9 + [1]))
