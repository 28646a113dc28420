"""Flow matching on maps, by a transformer over their cells."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genae import api
from genae.errors import GenaeError
from genae.model import load
from genae.priors.channel_gaussian import ChannelGaussianPrior
from genae.priors.flow_transformer import FlowTransformerPrior
from genae.protocol import Given
from genae.storage import load_tensors
from genae.training import precision, prior_fit
from genae.training.config import Config
from genae.training.prior_fit import Fit, Labels, fit_of, fit_to_codes
from genae.training.start import train

SHAPE = (2, 2, 4)
SMALL: dict[str, Any] = {"width": 16, "blocks": 2, "patch": 1, "solver_steps": 4}


@pytest.fixture(scope="module")
def striped() -> tuple[Tensor, Labels]:
    """400 maps of two kinds: the left half high and the right half low, or the other way round; labels say which."""
    generator = torch.Generator().manual_seed(0)
    sides = torch.arange(400) % 2
    high = torch.tensor([1.0, 1, -1, -1]) * (2 * sides[:, None] - 1)
    maps = high[:, None, None].expand(-1, *SHAPE) + 0.1 * torch.randn(400, *SHAPE, generator=generator)
    return maps.flatten(1) * 3 + 5, Labels(sides, ("right", "left"))


@pytest.fixture(scope="module")
def trained(striped: tuple[Tensor, Labels], tmp_path_factory: pytest.TempPathFactory) -> Any:
    codes, labels = striped
    settings = Fit("flow-transformer", images=10_000, batch_size=50, learning_rate=1e-2, options=SMALL)
    return fit_to_codes(codes, settings, tmp_path_factory.mktemp("p") / "p", code_shape=SHAPE, labels=labels)[0]


def left_minus_right(codes: Tensor) -> Tensor:
    maps = codes.view(-1, *SHAPE)
    return (maps[..., :2].mean((1, 2, 3)) - maps[..., 2:].mean((1, 2, 3))) / 6


def test_two_kinds_of_maps_are_learned_and_labels_steer(
    trained: Any, striped: tuple[Tensor, Labels], generator
) -> None:
    assert isinstance(trained.levels[0], ChannelGaussianPrior)
    with torch.no_grad():
        samples = trained.sample(400, generator())
        sides = left_minus_right(samples)
        assert ((sides.abs() - 1).abs() < 0.3).float().mean() > 0.95, "no maps between the two kinds"
        assert float((sides > 0).float().mean()) == pytest.approx(0.5, abs=0.1)
        given = Given(torch.arange(200) % 2)
        asked = left_minus_right(trained.sample(200, generator(), given))
        assert float(((asked > 0) == (given.labels == 1)).float().mean()) > 0.98
        # A lossless second stage: what is encoded comes back.
        codes = striped[0][:20]
        labels = Given(striped[1].numbers[:20])
        assert torch.allclose(trained.decode(trained.encode(codes, labels), labels), codes, atol=0.3)


def test_a_training_that_was_interrupted_goes_on_bit_for_bit(
    striped: tuple[Tensor, Labels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, labels = striped
    settings = Fit("flow-transformer", images=400, batch_size=50, options=SMALL)

    def fit(name: str) -> dict[str, Tensor]:
        return fit_to_codes(codes, settings, tmp_path / name, code_shape=SHAPE, labels=labels)[0].state_dict()

    whole = fit("whole")
    shuffled, calls = prior_fit.shuffled, []

    def interrupted(*arguments: Any) -> Tensor:
        calls.append(arguments)
        if len(calls) == 9:  # codes and labels of four batches
            raise KeyboardInterrupt
        return shuffled(*arguments)

    monkeypatch.setattr(prior_fit, "shuffled", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit("parts")
    assert load_tensors(tmp_path / "parts")[1]["images"] == "200"
    parts = fit("parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_weights_of_one_grid_draw_wider_maps(trained: Any, generator) -> None:
    wide = Fit("flow-transformer", options=SMALL).build((2, 2, 8), ("right", "left"))
    wide.load_state_dict(trained.state_dict())
    with torch.no_grad():
        assert wide.sample(3, generator()).shape == (3, 32)
        again = Fit("flow-transformer", options=SMALL).build(SHAPE, ("right", "left"))
        again.load_state_dict(trained.state_dict())
        assert torch.equal(again.sample(3, generator()), trained.sample(3, generator()))


def test_a_run_with_shaped_codes_gets_a_transformer_and_one_with_vectors_does_not(tmp_path: Path, tiny_options) -> None:
    shaped = {"networks": "residual", "norm": "group", "code_grid": 4, "code_channels": 2}
    for name, options in (("shaped", shaped), ("plain", {})):
        config = Config("ae", "digits", images=8, device="cpu", options=tiny_options("ae", **options))
        train(config, tmp_path / name)
    told = {"given": "label", "images": 64, "batch_size": 32, "solver_steps": 1, "width": 8, "blocks": 1}
    api.fit_prior(tmp_path / "shaped", "flow-transformer", **told)
    model = load(tmp_path / "shaped")
    assert model.code_shape == (2, 4, 4)
    assert model.sample(2, given="7", guidance=2).shape == (2, 1, 8, 8)
    assert model.reconstruct(torch.zeros(1, 1, 8, 8), "flow-transformer", given="7").shape == (1, 1, 8, 8)
    with pytest.raises(GenaeError, match=r"vectors of 6 numbers; .* maps \(c, h, w\): choose flow-matching"):
        api.fit_prior(tmp_path / "plain", "flow-transformer")
    assert not (tmp_path / "plain" / "codes").exists(), "refused before images are encoded"


def test_it_has_settings_of_training_of_its_own_and_learns_in_bfloat16_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, striped: tuple[Tensor, Labels]
) -> None:
    settings = fit_of("flow-transformer", {"batch_size": "32"})
    assert (settings.images, settings.batch_size, settings.learning_rate) == (1_000_000, 32, 5e-4)
    assert fit_of("flow-matching", {}) == Fit("flow-matching")
    used = []

    def look(*_: object, precision: str, betas: tuple[float, float], **__: object) -> None:
        used.append((precision, betas))
        raise KeyboardInterrupt

    monkeypatch.setattr(prior_fit, "Loop", look)
    for flags in ({"avx512_bf16"}, set()):
        monkeypatch.setattr(precision, "_cpu_flags", lambda flags=flags: flags)
        for kind in ("flow-transformer", "flow-matching"):
            own = SMALL if kind == "flow-transformer" else {}
            with pytest.raises(KeyboardInterrupt):
                fit_to_codes(striped[0], fit_of(kind, {"batch_size": 50} | own), Path("unused"), code_shape=SHAPE)
    assert used == [
        ("bfloat16", (0.9, 0.99)), ("float32", (0.5, 0.9)), ("float32", (0.9, 0.99)), ("float32", (0.5, 0.9)),
    ]  # fmt: skip


def test_a_network_and_its_average_are_all_that_is_kept() -> None:
    prior = FlowTransformerPrior((3, 4, 4), width=16, blocks=1)
    weights = sum(p.numel() for p in prior.parameters())
    assert prior.state_dict()["average"].shape == (weights,)
    assert sum(tensor.numel() for tensor in prior.state_dict().values()) == 2 * weights
