"""PIONEER's and Balanced PIONEER's objectives against a slow reference, and their course through the levels."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from genae.autoencoders import AUTOENCODERS
from genae.autoencoders.balanced_pioneer import BalancedPioneer
from genae.autoencoders.pioneer import Pioneer
from genae.networks.spectral import SpectralConvolution
from genae.protocol import Update
from genae.settings.presets import PRESETS
from genae.training.config import resolve
from genae.training.start import train

SMALL = {"code_dim": 6, "width": 4, "most_channels": 8, "batch_size": "5", "growth": 100}
BLENDED, ALONE = 250, 300  # images seen


def begun(kind: type[Pioneer], x: Tensor, images: int, **options: object) -> tuple[Pioneer, Iterator[Update]]:
    """A small model and an iteration, which begins with a step of power iteration."""
    torch.manual_seed(0)
    model = kind((1, 8, 8), **SMALL | options)  # type: ignore[arg-type]
    for name, p in model.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(p, std=0.1)
    torch.manual_seed(1)
    return model, model.step(iter([x]), images)


def divergence(codes: Tensor) -> Tensor:
    """Of each dimension's Gaussian from N(0, 1), one after the other."""
    each = [kl_divergence(Normal(c.mean(), c.std(correction=0)), Normal(0.0, 1.0)) for c in codes.unbind(1)]
    return torch.stack(each).mean()


def drawn(count: int) -> Tensor:
    z = torch.randn(count, 6)
    return z / z.square().sum(1, keepdim=True).sqrt()


def assert_same(loss: Tensor, expected: Tensor, parameters: list[Tensor]) -> None:
    """In value and gradient."""
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    ours = torch.autograd.grad(loss, parameters, retain_graph=True)
    for mine, its in zip(ours, torch.autograd.grad(expected, parameters), strict=True):
        assert (mine - its).norm() <= 1e-4 * its.norm() + 1e-8


def used(network: torch.nn.Module) -> list[Tensor]:
    """Parameters at both levels of it."""
    return [p for block in network.blocks for p in block.parameters()]


@pytest.mark.parametrize(("images", "weight"), [(BLENDED, 10.0), (ALONE, 15.0)])
def test_the_encoders_objective_is_the_papers(images: int, weight: float) -> None:
    x = torch.rand(5, 1, 8, 8) * 2 - 1
    model, step = begun(Pioneer, x, images)
    update = next(step)
    assert update.trains == [model.encoder]
    torch.manual_seed(1)
    fakes = model.generate(drawn(5)).detach()
    x = model.seen(x, images)
    code = model.encoder(x, *model.now)
    assert torch.allclose(code.square().sum(1), torch.ones(5))
    error = sum((a - b).abs().sum() for a, b in zip(model.generate(code), x, strict=True)) / x.numel()
    expected = divergence(code) - divergence(model.infer(fakes)) + weight * error
    assert_same(update.loss, expected, used(model.encoder))


def test_the_generators_objective_is_the_papers_twice() -> None:
    x = torch.rand(5, 1, 8, 8) * 2 - 1
    model, step = begun(Pioneer, x, BLENDED, code_weight=3.0)
    _, *updates = step
    assert [update.trains for update in updates] == [[model.decoder]] * 2
    torch.manual_seed(1)
    drawn(5)
    for update in updates:
        z = drawn(5)
        code = model.infer(model.generate(z))
        angle = sum(1 - a @ b / (a.norm() * b.norm()) for a, b in zip(z, code, strict=True)) / 5
        assert_same(update.loss, divergence(code) + 3 * angle, used(model.decoder))


@pytest.mark.parametrize("margin", ["0,0.0001", "9,0"])
def test_the_encoder_gains_nothing_beyond_the_margin_of_a_level(margin: str) -> None:
    x = torch.rand(5, 1, 8, 8) * 2 - 1
    model, step = begun(BalancedPioneer, x, BLENDED, margin=margin)
    update, *rest = step
    assert len(rest) == 1
    real, fake, error = (update.terms[key] for key in ("real", "fake", "l1"))
    assert float((real - fake).detach()) < -1e-4, "or this test sees nothing"
    beyond = margin.endswith("0001")
    expected = 10 * error + (-1e-4 if beyond else real - fake)
    assert_same(update.loss, expected, used(model.encoder))


def test_balanced_pioneer_has_spectral_norms_alone_in_both_networks() -> None:
    balanced, plain = BalancedPioneer((1, 8, 8), **SMALL), Pioneer((1, 8, 8), **SMALL)  # type: ignore[arg-type]
    for model, count in ((balanced, 4), (plain, 0)):
        assert sum(isinstance(module, SpectralConvolution) for module in model.decoder.modules()) == count
        assert sum(isinstance(module, SpectralConvolution) for module in model.encoder.modules()) == 4


@pytest.mark.parametrize("wrong", ["0.2,x", "-1"])
def test_a_margin_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="margin is"):
        BalancedPioneer((1, 8, 8), margin=wrong)


def test_resume_in_the_middle_of_a_transition_is_bit_exact(tmp_path: Path) -> None:
    """Also of the vectors of spectral norms, and of the average's."""
    options = {
        "data": "digits", "growth": 30, "code_dim": 6, "width": 4, "most_channels": 8, "batch_size": "10",
        "average": 50, "precision": "float32", "device": "cpu", "checkpoint_every": 1000,
    }  # fmt: skip
    for run, images in (("whole", 120), ("parts", 80), ("parts", 120)):
        train(resolve("balanced-pioneer", options | {"images": images}, PRESETS, AUTOENCODERS), tmp_path / run)
    for file in ("model.safetensors", "average.safetensors", "optimisers.safetensors"):
        whole, parts = (
            load_file(tmp_path / run / "checkpoints" / "images-000000120" / file) for run in ("whole", "parts")
        )
        assert whole.keys() == parts.keys()
        assert all(torch.equal(whole[key], parts[key]) for key in whole), file
    assert any(
        key.endswith("direction")
        for key in load_file(tmp_path / "whole/checkpoints/images-000000120/model.safetensors")
    )
