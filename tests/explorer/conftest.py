"""Runs to explore, and a page's requests without a browser."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from genae.autoencoders import AUTOENCODERS
from genae.explorer.addresses import create_app
from genae.explorer.service import Explorer
from genae.model import load
from genae.operations import Session
from genae.training.config import resolve
from genae.training.start import train


@pytest.fixture(scope="module")
def run(explored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the trained run, which the tests of a module may write into."""
    return Path(shutil.copytree(explored, tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="session")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model with three parts."""
    folder = tmp_path_factory.mktemp("explorer") / "parted"
    settings = {"data": "digits", "size": "32", "images": 320, "batch_size": 32, "width": 4, "parts": 3, "part_dim": 2}
    train(resolve("patch-vae", settings, {}, AUTOENCODERS), folder)
    return folder


@pytest.fixture(scope="session")
def explorer_of() -> Callable[..., Explorer]:
    """``explorer_of(run, data_root=None)``."""

    def make(run: Path, data_root: str | None = None) -> Explorer:
        return Explorer(Session(load(run), run), str(run), data_root)

    return make


@pytest.fixture(scope="session")
def client_of(explorer_of: Callable[..., Explorer]) -> Callable[..., TestClient]:
    """``client_of(run, data_root=None, host=..., token=...)``: it sends what the page sends."""

    def make(run: Path, data_root: str | None = None, **options: str) -> TestClient:
        app = create_app(explorer_of(run, data_root), **options)
        return TestClient(app, base_url="http://127.0.0.1:8765", headers={"X-Genae": "1"})

    return make


@pytest.fixture
def client(run: Path, client_of: Callable[..., TestClient]) -> TestClient:
    return client_of(run)


@pytest.fixture(scope="session")
def picture_file() -> Callable[..., bytes]:
    """``picture_file(size=(8, 8), form="PNG", seed=0)``: the bytes of a file of noise."""

    def make(size: tuple[int, int] = (8, 8), form: str = "PNG", seed: int = 0) -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, form)
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def take() -> Callable[[TestClient, int], list[str]]:
    """``take(client, count)``: put pictures of the data on the page; their names."""
    return lambda client, count: client.get(f"/api/data?split=test&count={count}").json()["pictures"]
