"""Glow: its likelihood and gradient by hand, exact reconstructions, and a training that begins with data."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.autoencoders.glow import Glow
from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.model import load
from genae.networks.invertible import ActNorm
from genae.protocol import Autoencoder
from genae.training.config import Config
from genae.training.start import train


def eight_bits(count: int = 4, side: int = 8) -> Tensor:
    """Images [count, 1, side, side] of 8-bit values, as numbers from 0 to 255."""
    return torch.randint(256, (count, 1, side, side), generator=torch.Generator().manual_seed(0)).float()


def stirred(model: Glow) -> Glow:
    """With weights that are neither zero nor the identity."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model


@pytest.fixture(scope="module")
def trained(tiny_options, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any], list[Tensor]]:
    """A run of 8 digits with a moving average, what it logged, and what `initialise` saw."""
    path, events, seen = tmp_path_factory.mktemp("runs") / "glow", [], []
    plain = Glow.initialise

    def watched(model: Glow, x: Tensor) -> None:
        seen.append(x)
        plain(model, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Glow, "initialise", watched)
        for images in (8, 16):
            options = tiny_options("glow")
            config = Config(
                "glow", "digits", images=images, precision="float32", average=1000, accumulate=2, options=options
            )
            train(config, path, progress=events.append)
    return path, events, seen


def by_the_jacobian(model: Glow, values: Tensor, noise: Tensor) -> Tensor:
    """Bits per dimension [B] the slow way: one image after another, with autograd's Jacobian of f."""
    steps = 2**model.bits
    found = []

    def of_row(row: Tensor) -> Tensor:
        return model.flow(row.view(1, 1, 4, 4))[0].flatten()

    for v, u in zip(values, noise, strict=True):
        y = ((v * steps / 256).floor() + u) / steps - 0.5
        code = model.flow(y[None])[0]
        jacobian = torch.autograd.functional.jacobian(of_row, y.flatten(), create_graph=True)
        log_density = torch.distributions.Normal(0, 1).log_prob(code).sum() + torch.linalg.slogdet(jacobian).logabsdet
        found.append(-(log_density / 16 - math.log(steps)) / math.log(2))
    return torch.stack(found)


@pytest.mark.parametrize("bits", [8, 5])
def test_the_objective_and_its_gradient_are_those_of_the_change_of_variables(bits: int) -> None:
    model = stirred(Glow((1, 4, 4), levels=2, depth=1, width=4, bits=bits))
    values = eight_bits(2, side=4)
    torch.manual_seed(1)
    noise = torch.rand(2, 1, 4, 4)
    torch.manual_seed(1)
    (update,) = model.step(iter([values / 127.5 - 1]), 0)
    slow = by_the_jacobian(model, values, noise).mean()
    assert float(update.loss.detach()) == pytest.approx(float(slow.detach()), rel=1e-5)
    parameters = list(model.flow.parameters())
    mine = torch.cat([g.flatten() for g in torch.autograd.grad(update.loss, parameters)])
    its = torch.cat([g.flatten() for g in torch.autograd.grad(slow, parameters)])
    assert (mine - its).norm() < 1e-3 * its.norm()


def test_likelihoods_of_all_images_of_two_values_add_up_to_one() -> None:
    """Of one bit for each of four values there are 16 images; less what the flow draws that is no image."""
    model = stirred(Glow((1, 2, 2), levels=1, depth=1, width=4, bits=1))
    with torch.no_grad():
        model.flow.steps[0].norm.log_scale.fill_(math.log(5) / 3)  # most of what it draws is an image
        corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4).view(16, 1, 2, 2)
        bits = model.bits_per_dim(corners.repeat(4000, 1, 1, 1), torch.Generator().manual_seed(1))
        drawn = model.flow.inverse(torch.randn(40_000, 1, 2, 2, generator=torch.Generator().manual_seed(2)))
    densities = (-4 * math.log(2) * bits).exp().view(4000, 16)
    total = float(densities.mean(0).sum())  # a mean over noise is a probability
    assert 0.5 < total < 1
    assert total == pytest.approx(float((drawn.abs() <= 0.5).flatten(1).all(1).float().mean()), abs=0.02)


def test_reconstructions_are_exact_and_codes_are_as_large_as_images(tiny_model) -> None:
    for options in ({}, {"coupling": "additive", "levels": 3}, {"bits": 5}):
        model = tiny_model("glow", **options)
        x = eight_bits(16) / 127.5 - 1
        model.initialise(x)
        codes = model.encode_frozen(x)
        assert (model.code_shape, codes.shape) == ((1, 8, 8), (16, 64))
        assert (model.decode(codes) - x).abs().max() < 1e-5
        again = model.encode(model.decode_unclipped(codes))
        assert (again - codes).abs().max() < 1e-4


def test_codes_are_those_of_values_in_the_middle_of_their_steps(tiny_model) -> None:
    model, values = tiny_model("glow"), eight_bits()
    expected = model.flow((values + 0.5) / 256 - 0.5)[0].flatten(1)
    torch.testing.assert_close(model.encode(values / 127.5 - 1), expected, rtol=1e-4, atol=1e-5)


def test_the_learning_rate_rises_with_the_images_and_falls_as_any(tiny_model) -> None:
    model = tiny_model("glow", warm_up=40)
    assert [model.stage(images).learning_rate for images in (0, 10, 40, 90)] == [0, 2.5e-4, 1e-3, 1e-3]
    annealed = tiny_model("glow", warm_up=40, anneal=100).stage(20).learning_rate
    assert annealed == pytest.approx(tiny_model("glow", anneal=100).stage(20).learning_rate / 2)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 28, 28), {}, "28 x 28 pixels, and glow with 3 levels halves them 3 times; expected multiples of 8"),
        ((1, 8, 8), {"coupling": "cubic"}, "coupling is 'cubic'; expected affine or additive"),
        ((1, 8, 8), {"bits": 9}, "bits is 9; expected at most 8"),
        ((1, 8, 8), {"depth": 0}, "depth is 0; expected at least 1"),
    ],
)
def test_what_cannot_be_built_is_refused(shape, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AUTOENCODERS["glow"](shape, **{"width": 4, **options})


def test_a_training_begins_with_what_its_whole_first_batch_says(trained) -> None:
    run, _, (x,) = trained
    assert x.shape == (8, 1, 8, 8), "once, although the run was resumed, and not a part of the batch"
    norm = next(module for module in load(run).autoencoder.modules() if isinstance(module, ActNorm))
    assert float(norm.log_scale.detach().abs().min()) > 0.01, "the average began with it too"


def test_bits_per_dimension_are_measured_and_logged(trained, small_run: Path) -> None:
    run, events, _ = trained
    logged = [event["diagnostics"]["bits_per_dim"] for event in events if "diagnostics" in event]
    assert all(3 < bits < 12 for bits in logged)
    assert len(logged) == 2
    (record,) = api.evaluate(run, metrics=["bpd"])
    model, data = load(run).autoencoder, open_data("digits")
    with torch.no_grad():
        expected = model.bits_per_dim(data.images(data.split("test")), torch.Generator().manual_seed(3)).mean()
    assert (record["of"], record["metric"], record["fingerprint"]["seed"]) == ("code", "bits_per_dim", 0)
    assert record["value"] == pytest.approx(float(expected), abs=0.05)
    with pytest.raises(GenaeError, match="gives images no likelihood; bpd: expected a glow"):
        api.evaluate(small_run, metrics=["bpd"])


def test_a_model_says_whether_it_has_a_likelihood(tiny_model) -> None:
    assert tiny_model("glow").has_likelihood
    plain: Autoencoder = tiny_model("ae")
    assert not plain.has_likelihood
    assert not plain.begins_with_data
