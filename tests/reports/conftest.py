"""Tiny trained runs to report on."""

from pathlib import Path

import pytest

from genae.autoencoders import AUTOENCODERS
from genae.training.config import Config, resolve
from genae.training.start import train


@pytest.fixture(scope="session")
def run(tiny_options, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of stacked-wae with three priors."""
    path = tmp_path_factory.mktemp("reported") / "tiny"
    options = tiny_options("stacked-wae", priors="normal,uniform,uniform/normal")
    train(Config("stacked-wae", "digits", images=320, device="cpu", precision="float32", options=options), path)
    return path


@pytest.fixture(scope="session")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of patch-vae with three parts."""
    path = tmp_path_factory.mktemp("reported") / "patch"
    settings = {"data": "digits", "size": "32", "images": 320, "batch_size": 32, "width": 4, "parts": 3, "part_dim": 2}
    train(resolve("patch-vae", settings, {}, AUTOENCODERS), path)
    return path
