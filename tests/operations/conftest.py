"""Runs that operations work on."""

import shutil
from pathlib import Path

import pytest
import torch

from genae.autoencoders import AUTOENCODERS
from genae.model import load
from genae.operations import Session
from genae.training.config import resolve
from genae.training.start import train


@pytest.fixture(scope="module")
def run(explored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the trained run, which the tests of a module may write into."""
    return Path(shutil.copytree(explored, tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture
def session(run: Path) -> Session:
    return Session(load(run), run)


@pytest.fixture
def images(session: Session) -> torch.Tensor:
    """Four test images."""
    return session.data.images(session.data.split("test")[:4])


@pytest.fixture(scope="session")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model with three parts."""
    folder = tmp_path_factory.mktemp("operations") / "parted"
    settings = {"data": "digits", "size": "32", "images": 320, "batch_size": 32, "width": 4, "parts": 3, "part_dim": 2}
    train(resolve("patch-vae", settings, {}, AUTOENCODERS), folder)
    return folder
