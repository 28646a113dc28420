"""Learned priors come near codes of two clusters."""

from pathlib import Path
from typing import Any

import pytest
import torch

from genae.priors.gaussian import GaussianPrior
from genae.training.prior_fit import Fit, fit_to_codes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wgan-gp", "wae-gan"])
def test_adversarial_priors_come_near_the_codes(kind: str, tmp_path: Path, generator, two_clusters) -> None:
    options: dict[str, Any] = {"width": 64, "latent_dim": 2, "initial": "kaiming"}
    if kind == "wgan-gp":  # one critic step and a strong penalty, as in AAAE, do not converge in this time
        options |= {"critic_steps": 5, "penalty": 1.0}
    codes = two_clusters()

    def samples_after(images: int) -> torch.Tensor:
        settings = Fit(kind, images=images, batch_size=250, learning_rate=3e-4, options=options)
        prior, _ = fit_to_codes(codes, settings, tmp_path / str(images))
        with torch.no_grad():
            return prior.sample(2000, generator())

    def energy_distance(samples: torch.Tensor) -> float:
        pairs = (torch.cdist(a, b).mean() for a, b in ((codes, samples), (codes, codes), (samples, samples)))
        between, of_codes, of_samples = map(float, pairs)
        return 2 * between - of_codes - of_samples

    samples = samples_after(250_000)
    assert samples.mean(0).tolist() == pytest.approx(codes.mean(0).tolist(), abs=0.8)
    assert samples.std(0).tolist() == pytest.approx(codes.std(0).tolist(), rel=0.4)
    assert energy_distance(samples) < 0.4 * energy_distance(samples_after(250))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flow", "flow-matching", "vae"])
def test_likelihood_priors_learn_two_clusters(kind: str, tmp_path: Path, generator, two_clusters) -> None:
    small: dict[str, dict[str, Any]] = {
        "flow": {"layers": 6, "width": 64}, "flow-matching": {"width": 64, "blocks": 2}, "vae": {"width": 64},
    }  # fmt: skip
    codes = two_clusters()
    images = 1_000_000 if kind == "vae" else 250_000
    prior, _ = fit_to_codes(codes, Fit(kind, images=images, batch_size=250, options=small[kind]), tmp_path / "p")
    with torch.no_grad():
        samples = prior.sample(2000, generator())
    right = samples[:, 0] > 0
    assert 0.1 < float(right.float().mean()) < 0.45, "both clusters, in about their share"
    between = (samples[:, 0].abs() < 1.2).float().mean()
    gaussian = GaussianPrior(2)
    gaussian.fit(codes)
    plain = (gaussian.sample(2000, generator())[:, 0].abs() < 1.2).float().mean()
    assert float(between) < 0.6 * float(plain), "less between the clusters than a Gaussian"
