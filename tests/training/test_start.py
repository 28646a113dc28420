"""What is refused before a run begins or goes on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genae.errors import GenaeError
from genae.model import load
from genae.training.checkpoint import RunFolder
from genae.training.config import Config
from genae.training.start import train


def test_another_configuration_is_refused(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    with pytest.raises(GenaeError, match="started with learning-rate 0.001, not 0.1: repeat its command"):
        train(short_config(options={"learning_rate": 0.1}), tmp_path / "run")
    with pytest.raises(GenaeError, match="started with seed 0, not 1"):
        train(short_config(seed=1), tmp_path / "run")


def test_a_batch_must_fit_the_data(tmp_path: Path, short_config) -> None:
    np.save(tmp_path / "few.npy", np.zeros((5, 8, 8), np.uint8))
    with pytest.raises(GenaeError, match="a batch of 8 is larger than the 3 training images .* --batch-size"):
        train(short_config(data=str(tmp_path / "few.npy")), tmp_path / "run")
    assert not (tmp_path / "run").exists(), "nothing is left behind"
    train(short_config(data=str(tmp_path / "few.npy"), options={"batch_size": 2}), tmp_path / "run")
    with pytest.raises(GenaeError, match="batch of 8 cannot be divided into 9 parts .* or start fewer"):
        train(short_config(accumulate=9), tmp_path / "other")


def test_a_run_of_a_version_with_fewer_options_goes_on(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    assert "networks" not in json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    assert train(short_config(images=128, options={"networks": "dcgan"}), tmp_path / "run").images == 128
    with pytest.raises(GenaeError, match="was started with networks 'dcgan', not 'dense'"):
        train(short_config(images=192, options={"networks": "dense", "norm": "none"}), tmp_path / "run")


def test_a_run_of_a_version_whose_default_was_another_keeps_it(tmp_path: Path, tiny_options) -> None:
    settings = Config("alae", "digits", images=64, precision="float32", options=tiny_options("alae"))
    train(settings, tmp_path / "run")
    assert "output_slope" not in json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    assert load(tmp_path / "run").autoencoder.encoder.last_leak == 0.01
    named = replace(settings, images=128, options=tiny_options("alae") | {"output_slope": 0.2})
    with pytest.raises(GenaeError, match=r"was started with output-slope 0\.01, not 0\.2"):
        train(named, tmp_path / "run")
    train(named, tmp_path / "new")
    assert load(tmp_path / "new").autoencoder.encoder.last_leak == 0.2


def test_a_run_of_an_unknown_model_is_refused(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    known = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(known | {"model": "of-tomorrow"}))
    with pytest.raises(GenaeError, match="was started with model 'of-tomorrow', not 'stacked-wae'"):
        train(short_config(images=128), tmp_path / "run")


def test_changed_data_is_noticed(tmp_path: Path, short_config) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "a.npy", images[:30])
    settings = {"data": str(tmp_path / "a.npy")}
    train(short_config(**settings), tmp_path / "run")
    np.save(tmp_path / "a.npy", images)
    with pytest.raises(GenaeError, match="not those that .* started with"):
        train(short_config(**settings, images=128), tmp_path / "run")
    with pytest.raises(GenaeError, match="not those that run was trained on"):
        load(tmp_path / "run").open_data()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch-size is 0; expected at least 1"),
        ({"learning_rate": -1.0}, "learning-rate is -1.0; expected at least 0"),
        ({"learning_rate": float("nan")}, "learning-rate is nan"),
        ({"inner_steps": -3}, "inner-steps is -3"),
        ({"width": 0}, "width is 0"),
        ({"code_dim": -3}, "code-dim is -3"),
        ({"prior_dim": 0}, "prior-dim is 0"),
        ({"anneal": -5}, "anneal is -5"),
        ({"critic_weight": float("nan")}, "critic-weight is nan"),
        ({"priors": "normal,normal"}, "expected each name once"),
        ({"priors": ""}, "a WAE-GAN prior is ''"),
        ({"adversarial": "hinge"}, "adversarial is 'hinge'"),
        ({"norm": "layer"}, "normalisation is 'layer'"),
        ({"prior_initial": "zeros"}, "initial weights are 'zeros'"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], message: str, tmp_path: Path, short_config) -> None:
    with pytest.raises(GenaeError, match=message):
        train(short_config(options=options), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tied_anneal_follows_when_a_run_is_made_longer(tmp_path: Path, short_config) -> None:
    run = tmp_path / "run"
    train(short_config(options={"anneal": 64}), run)
    assert train(short_config(images=128, options={"anneal": 128}), run).images == 128  # as `resolve` ties it
    stored = RunFolder(run).config
    assert stored
    assert (stored.images, stored.options["anneal"]) == (128, 64), "the schedule that it began with"
    with pytest.raises(GenaeError, match="started with anneal 64, not 90"):
        train(short_config(images=192, options={"anneal": 90}), run)
