"""Priors on codes: closed forms, densities, samples; fitting them after the autoencoder."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genae import api
from genae.errors import GenaeError
from genae.model import load
from genae.priors import PRIORS
from genae.priors.flow import FlowPrior
from genae.priors.flow_matching import FlowMatchingPrior
from genae.priors.gaussian import GaussianPrior
from genae.priors.mixture import MixturePrior
from genae.priors.stack import StackedPrior
from genae.priors.wgan_gp import WganGpPrior
from genae.protocol import Prior
from genae.storage import load_tensors, save_tensors
from genae.training.config import Config
from genae.training.prior_fit import Fit, fit_to_codes
from genae.training.start import train


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_clusters(count: int = 4000) -> torch.Tensor:
    """Codes in the plane around (3, 0) and (-3, 1), with different spreads."""
    noise = torch.randn(count, 2, generator=generator(1))
    first = torch.arange(count) % 4 == 0  # a quarter
    return torch.where(first[:, None], noise * 0.2 + torch.tensor([3.0, 0]), noise * 0.5 + torch.tensor([-3.0, 1]))


def test_a_gaussian_prior_is_standard_until_it_is_fitted() -> None:
    prior = GaussianPrior(3)
    c = torch.randn(5, 3, generator=generator())
    assert torch.equal(prior.encode(c), c)
    assert torch.equal(prior.decode(c), c)
    assert prior.sample(2000, generator()).std(0) == pytest.approx([1, 1, 1], abs=0.1)


def test_a_fitted_gaussian_has_the_moments_of_the_codes_and_whitens_them() -> None:
    codes = torch.randn(500, 4, generator=generator()) @ torch.randn(4, 4, generator=generator(2)) + 5
    prior = GaussianPrior(4)
    prior.fit(codes)
    z = prior.encode(codes)
    assert torch.allclose(z.T @ z / 499, torch.eye(4), atol=1e-4)
    assert torch.allclose(prior.decode(z), codes, atol=1e-3)
    assert torch.allclose(prior.factor @ prior.factor.T, codes.T.cov(), rtol=1e-4, atol=1e-4)
    samples = prior.sample(50_000, generator())
    assert torch.allclose(samples.mean(0), codes.mean(0), atol=0.1)


def test_directions_without_variance_are_not_blown_up() -> None:
    codes = torch.cat([torch.randn(100, 2, generator=generator()), torch.ones(100, 1)], 1)
    prior = GaussianPrior(3)
    prior.fit(codes)
    assert prior.encode(codes + 1e-3).abs().max() < 10
    assert torch.allclose(prior.sample(5, generator())[:, 2], torch.ones(5), atol=1e-5)


def test_a_mixture_finds_the_clusters() -> None:
    prior = MixturePrior(2, components=2)
    prior.fit(two_clusters())
    order = prior.means[:, 0].argsort()
    assert prior.weights[order].tolist() == pytest.approx([0.75, 0.25], abs=0.01)
    assert prior.means[order].flatten().tolist() == pytest.approx([-3, 1, 3, 0], abs=0.05)
    samples = prior.sample(4000, generator())
    assert float((samples[:, 0] > 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert samples[samples[:, 0] > 0].std(0).tolist() == pytest.approx([0.2, 0.2], abs=0.02)
    assert not prior.has_encoder


def test_a_flow_is_invertible_and_its_volume_is_that_of_its_jacobian() -> None:
    torch.manual_seed(0)
    prior = FlowPrior(5, layers=4, width=16).double()
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=0.3)
    c = torch.randn(6, 5, generator=generator(), dtype=torch.float64)
    z = prior.encode(c)
    assert torch.allclose(prior.decode(z), c, atol=1e-10)
    jacobian = torch.autograd.functional.jacobian(lambda row: prior.encode(row[None])[0], c[0])
    assert float(prior._forward(c)[1][0]) == pytest.approx(float(jacobian.slogdet().logabsdet), abs=1e-5)
    update = next(prior.step(iter([c]), 0))
    density = torch.distributions.MultivariateNormal(torch.zeros(5).double(), torch.eye(5).double()).log_prob(z)
    assert float(update.loss) == pytest.approx(float(-(density + prior._forward(c)[1]).mean() / 5), rel=1e-5)


def test_flow_matching_solves_its_equation_both_ways() -> None:
    torch.manual_seed(0)
    prior = FlowMatchingPrior(3, width=16, blocks=1, solver_steps=200)
    z = prior.latent(4, generator())
    assert torch.allclose(prior.encode(prior.decode(z)), z, atol=1e-3)


def test_the_velocity_of_a_single_point_leads_there() -> None:
    settings = Fit("flow-matching", images=60_000, batch_size=200, options={"width": 64, "blocks": 2})
    codes = torch.tensor([[2.0, -1.0]]) + 0.05 * torch.randn(400, 2, generator=generator())
    prior, _ = fit_to_codes(codes, settings, Path("unused"))
    with torch.no_grad():
        samples = prior.sample(500, generator())
    assert samples.mean(0).tolist() == pytest.approx([2, -1], abs=0.02)
    assert samples.std(0).tolist() == pytest.approx([0.05, 0.05], abs=0.02)


@pytest.mark.parametrize("kind", ["wgan-gp", "wae-gan"])
def test_adversarial_priors_come_near_the_codes(kind: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("kind", ["flow", "flow-matching", "vae"])
def test_likelihood_priors_learn_two_clusters(kind: str, tmp_path: Path) -> None:
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


def test_a_second_stage_vae_does_not_collapse_on_codes_of_many_dimensions(tmp_path: Path) -> None:
    centres = torch.randn(10, 16, generator=generator())
    chosen = centres[torch.randint(10, (4000,), generator=generator(1))]
    codes = chosen + 0.3 * torch.randn(4000, 16, generator=generator(2))
    prior, _ = fit_to_codes(codes, Fit("vae", images=200_000, batch_size=250, options={"width": 64}), tmp_path / "p")
    variance = prior.levels[1].likelihood.log_variance.exp()  # type: ignore[index,union-attr,operator]
    assert float(variance.detach()) < 0.9, "1 is the variance of whitened codes: a Gaussian and no more"


def test_a_stack_samples_with_its_highest_level() -> None:
    torch.manual_seed(0)
    base, top = GaussianPrior(4), PRIORS["vae"](4)
    base.fit(torch.randn(50, 4, generator=generator()) * 3 + 1)
    stack = StackedPrior([base, top])
    with torch.no_grad():
        assert torch.equal(stack.sample(6, generator()), base.decode(top.sample(6, generator())))


@pytest.mark.parametrize("at", ["interpolates", "generated"])
def test_both_places_of_the_penalty(at: str) -> None:
    torch.manual_seed(0)
    prior = WganGpPrior(3, latent_dim=2, width=8, penalty_at=at, initial="kaiming")
    update = next(prior.step(iter([torch.randn(4, 3)] * 2), 0))
    assert {"gap", "penalty"} <= set(update.terms)
    assert float(update.loss) == pytest.approx(10 * float(update.terms["penalty"]) - float(update.terms["gap"]))
    with pytest.raises(ValueError, match="penalty-at is 'codes'; expected one of interpolates, generated"):
        WganGpPrior(3, penalty_at="codes")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_options) -> Path:
    path = tmp_path_factory.mktemp("runs") / "plain"
    train(Config("ae", "digits", images=64, options=tiny_options("ae")), path)
    return path


@pytest.mark.parametrize("kind", PRIORS)
def test_any_prior_on_the_codes_of_a_run(kind: str, run: Path) -> None:
    learned = PRIORS[kind].step is not Prior.step
    api.fit_prior(run, kind, **({"images": "1024", "batch-size".replace("-", "_"): 64} if learned else {}))
    model = load(run)
    assert kind in model.priors
    assert model.sample(3, prior=kind).shape == (3, 1, 8, 8)
    assert (kind in model.spaces) == model.autoencoder.priors[kind].has_encoder
    assert api.evaluate(run, metrics=["fd"], networks=["pixels"], priors=[kind], samples=100)
    assert len(list((run / "codes").iterdir())) == 1, "codes are encoded once"


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path: Path) -> None:
    codes = two_clusters(400)
    settings = Fit("flow-matching", images=20_000, batch_size=100, options={"width": 16, "blocks": 1})
    whole, _ = fit_to_codes(codes, settings, tmp_path / "a")

    def interrupt(message: str, done: int, total: int) -> None:
        if 0 < done < total and not (tmp_path / "b").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_to_codes(codes, settings, tmp_path / "b", interrupt)
    parts, _ = fit_to_codes(codes, settings, tmp_path / "b")
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True))
    other, _ = fit_to_codes(codes + 1, settings, tmp_path / "b")  # of other codes: begun anew
    anew, _ = fit_to_codes(codes + 1, settings, tmp_path / "c")
    assert torch.equal(other.sample(2, generator()), anew.sample(2, generator()))
    assert not torch.equal(other.sample(2, generator()), whole.sample(2, generator()))


def test_priors_of_other_weights_are_left_out(run: Path, tmp_path: Path, tiny_options) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    api.fit_prior(copy, "gaussian", name="kept")
    assert "kept" in load(copy).priors
    train(Config("ae", "digits", images=128, options=tiny_options("ae")), copy)
    assert not load(copy).priors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: api.fit_prior(run, "gausian"), "no prior 'gausian'; did you mean 'gaussian'"),
        (lambda run: api.fit_prior(run, "mixture", componets="3"), "no setting 'componets'; did you mean 'components'"),
        (lambda run: api.fit_prior(run, "flow", layers="many"), "layers is 'many'; expected a whole number"),
        (
            lambda run: api.fit_prior(run, "mixture", batch_size=9),
            "a mixture prior has a closed form and no batch-size",
        ),
        (lambda run: api.fit_prior(run, "flow", images=0), "images is 0; expected at least 1"),
        (lambda run: api.fit_prior(run, "flow", batch_size=5000), "a batch of 5000 is larger than the 1457 codes"),
        (lambda run: api.fit_prior(run, "wgan-gp", penalty=-1.0), "penalty is -1.0; expected at least 0"),
        (lambda run: api.fit_prior(run, "mixture", components=1000), "1457 codes are too few for 1000 components"),
        (lambda run: api.fit_prior(run, "gaussian", name="../out"), "--name is '../out'; expected letters, digits"),
        (lambda run: api.fit_prior(run, "gaussian", name="v1.0"), "--name is 'v1.0'; expected letters, digits"),
        (lambda run: api.fit_prior(run, "gaussian", name="code"), "--name is 'code'; expected .* not 'code'"),
        (lambda run: api.evaluate(run, priors=["nothing"]), "no prior 'nothing'"),
    ],
)
def test_wrong_requests_are_explained(call: Any, message: str, run: Path) -> None:
    with pytest.raises(GenaeError, match=message):
        call(run)


def test_a_prior_cannot_replace_one_that_was_trained_with_the_model(tmp_path: Path, tiny_options) -> None:
    train(Config("aaae", "digits", images=16, options=tiny_options("aaae")), tmp_path / "run")
    with pytest.raises(GenaeError, match="was trained with a prior 'wgan-gp'; choose another --name"):
        api.fit_prior(tmp_path / "run", "wgan-gp")
    api.fit_prior(tmp_path / "run", "gaussian", name="plain")
    assert load(tmp_path / "run").priors == ["wgan-gp", "plain"]


def test_a_generator_without_encoder_says_so(tmp_path: Path, tiny_options) -> None:
    run = tmp_path / "run"
    train(Config("wgan-gp", "digits", images=16, options=tiny_options("wgan-gp")), run)
    model = load(run)
    for call in (lambda: model.encode(torch.zeros(1, 1, 8, 8)), lambda: api.fit_prior(run, "gaussian")):
        with pytest.raises(GenaeError, match="has no encoder"):
            call()
    with pytest.raises(GenaeError, match="this model has no encoder; mse need one"):
        api.evaluate(run, metrics=["mse"])
    found = {r["metric"] for r in api.evaluate(run, samples=100)}
    assert {"icp100-1split", "fd100-classifier"} <= found
    assert api.report(run).exists()
    assert model.sample(2).shape == (2, 1, 8, 8)
    assert math.isfinite(float(model.decode(model.sample_codes(2)).sum()))


def test_the_posterior_of_a_mixture_is_that_of_bayes() -> None:
    prior = MixturePrior(2, components=3).double()
    prior.weights.copy_(torch.tensor([0.2, 0.5, 0.3]))
    prior.means.copy_(torch.tensor([[0.0, 1.0], [2.0, -1.0], [-1.0, 0.5]]))
    prior.factors.copy_(torch.tensor([[[1.0, 0.0], [0.5, 0.7]], [[0.3, 0.0], [0.1, 2.0]], [[1.5, 0.0], [-1.0, 0.4]]]))
    c = torch.randn(7, 2, generator=generator()).double()
    densities = torch.stack(
        [
            w * torch.distributions.MultivariateNormal(m, scale_tril=f).log_prob(c).exp()
            for w, m, f in zip(prior.weights, prior.means, prior.factors, strict=True)
        ],
        1,
    )
    assert torch.allclose(prior.posterior(c), densities / densities.sum(1, keepdim=True))


def test_a_temperature_shrinks_each_component_and_not_their_distance() -> None:
    wide, narrow = MixturePrior(2, components=2), MixturePrior(2, components=2, temperature=0.5)
    for prior in (wide, narrow):
        prior.fit(two_clusters())
    a, b = wide.sample(3000, generator()), narrow.sample(3000, generator())
    right = a[:, 0] > 0
    assert torch.equal(right, b[:, 0] > 0)
    assert b[right].std(0).tolist() == pytest.approx((0.5 * a[right].std(0)).tolist(), rel=1e-3)
    assert b[right].mean(0).tolist() == pytest.approx(a[right].mean(0).tolist(), abs=0.1)


def test_flow_matching_from_a_mixture_needs_short_lines(tmp_path: Path) -> None:
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


def test_what_is_fitted_is_fitted_again_only_for_other_settings_or_codes(run: Path) -> None:
    def stamp(**settings: Any) -> tuple[int, int]:
        found = api.fit_prior(run, "mixture", name="again", **settings).stat()
        return found.st_mtime_ns, found.st_ino

    first = stamp(components=2, temperature=0.9)
    assert stamp(temperature=0.9, components=2) == first
    assert stamp(temperature=0.8, components=2) != first
    second = stamp(components=2)
    data = load(run).open_data()
    assert stamp(components=2, data=replace(data, pixels=data.pixels.max() - data.pixels)) != second


def test_a_prior_that_cannot_be_read_says_how_to_mend_it(run: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    path = api.fit_prior(copy, "gaussian", name="old")
    tensors, metadata = load_tensors(path)
    tensors["another"] = tensors.pop("mean")
    save_tensors(path, tensors, {k: v for k, v in metadata.items() if k != "format"} | {"genae": "0.0.9"})
    with pytest.raises(GenaeError, match=r"fit it again with genae prior .*copy gaussian --name old, or delete it"):
        load(copy)
    api.fit_prior(copy, "gaussian", name="old")
    assert "old" in load(copy).priors
