"""The perceptual term: what it measures, and a training that compares in a frozen network."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genae import api
from genae.errors import GenaeError
from genae.losses import unit_length
from genae.metrics import data_classifier, lpips
from genae.metrics.data_classifier import ClassifierDistance
from genae.model import load
from genae.networks.classifier import ConvClassifier
from genae.training.checkpoint import RunFolder
from genae.training.config import Config
from genae.training.start import train


def network(seed: int = 0) -> ClassifierDistance:
    torch.manual_seed(seed)
    return ClassifierDistance(ConvClassifier((1, 8, 8), 10).eval())


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``stand_in(seed)``: every training compares in this network."""

    def use(seed: int) -> None:
        monkeypatch.setattr(data_classifier, "classifier_distance", lambda *_: network(seed))
        monkeypatch.setattr(lpips, "open_lpips", lambda _: network(seed))

    use(0)
    return use


def config(
    tiny_options, name: str = "adversarial", images: int = 64, data: str = "digits", **options: object
) -> Config:
    options = {"perceptual": "classifier", "perceptual_weight": 0.5} | options
    return Config(
        name, data, images=images, checkpoint_every=64, precision="float32", options=tiny_options(name, **options)
    )


def test_the_distance_of_places_of_unit_length() -> None:
    distance = network()
    x, y = torch.rand(2, 3, 1, 8, 8) * 2 - 1
    a, b = x / 2, y / 2
    expected = []
    for layers in (distance.network.convolutions[:3], distance.network.convolutions[3:7]):
        a, b = layers(a), layers(b)
        there = (a.norm(dim=1) > 0).float() + (b.norm(dim=1) > 0).float()  # a place without features has length 0
        expected.append((there - 2 * torch.cosine_similarity(a, b)).mean((1, 2)))
    torch.testing.assert_close(distance(x, y), torch.stack(expected).mean(0))
    assert distance(x, x).tolist() == [0, 0, 0]


def test_places_without_features_have_a_gradient() -> None:
    x = torch.zeros(1, 3, 2, 2, requires_grad=True)
    unit_length(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", ["ae", "vae", "adversarial"])
def test_the_term_is_added_to_the_error(name: str, tiny_model) -> None:
    weighted = {"perceptual": "lpips", "perceptual_weight": 3.0}
    model = tiny_model(name, norm="none", critic_weight=0.0, variance=0.5, learn_variance=False, **weighted)
    x = torch.rand(8, 1, 8, 8) * 2 - 1
    with pytest.raises(RuntimeError, match="the network lpips of the perceptual term is not open"):
        next(model.step(iter([x]), 0))
    model.perceptual.open(network(), "digest")
    torch.manual_seed(1)
    (update,) = model.step(iter([x]), 0)
    model.perceptual.weight = 0.0
    torch.manual_seed(1)
    (without,) = model.step(iter([x]), 0)
    assert float(update.terms["perceptual"].detach()) > 0
    added = float((update.loss - without.loss).detach())
    assert added == pytest.approx(3 * float(update.terms["perceptual"].detach()), rel=1e-4)  # / (2 variance) = 1


def test_a_run_resumes_bit_for_bit_and_keeps_no_network(tmp_path: Path, tiny_options, stand_in) -> None:
    train(config(tiny_options, images=128), tmp_path / "whole")
    train(config(tiny_options), tmp_path / "parts")
    train(config(tiny_options, images=128), tmp_path / "parts")
    ours, theirs = (
        load_file(RunFolder(tmp_path / run).checkpoints()[-1] / "model.safetensors") for run in ("parts", "whole")
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert {key.split(".")[0] for key in ours} == {"encoder", "decoder", "critic"}
    plain = config(tiny_options, images=128, perceptual=None, perceptual_weight=0.0)
    train(plain, tmp_path / "plain")
    other = load_file(RunFolder(tmp_path / "plain").checkpoints()[-1] / "model.safetensors")
    assert not torch.equal(ours["decoder.linear.weight"], other["decoder.linear.weight"])
    assert "perceptual" not in json.loads((RunFolder(tmp_path / "plain").checkpoints()[-1] / "state.json").read_text())
    assert load(tmp_path / "parts").reconstruct(torch.zeros(1, 1, 8, 8)).shape == (1, 1, 8, 8)
    stand_in(1)
    with pytest.raises(GenaeError, match="was started with a classifier of the hash .*, not .*: restore it"):
        train(config(tiny_options, images=192), tmp_path / "parts")


def test_it_is_asked_for_by_name_and_weight(tmp_path: Path, tiny_options, stand_in) -> None:
    np.save(tmp_path / "grey.npy", np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8))
    unlabelled = config(tiny_options, data=str(tmp_path / "grey.npy"))
    with pytest.raises(GenaeError, match=r"has no labels to train one on .* give --perceptual lpips"):
        train(unlabelled, tmp_path / "run")
    for options, said in (
        ({"perceptual": None}, "perceptual is none, with perceptual-weight 0.5; expected classifier or lpips"),
        ({"perceptual": "vgg"}, "perceptual is vgg"),
        ({"perceptual_weight": 0.0}, "perceptual-weight is 0.0 with perceptual classifier; expected a number above 0"),
    ):
        with pytest.raises(GenaeError, match=said):
            train(config(tiny_options, **options), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(config(tiny_options, name="ae", data=str(tmp_path / "grey.npy"), perceptual="lpips"), tmp_path / "run")
    assert api.footprint(config(tiny_options), (1, 8, 8)), "shapes need no network"
