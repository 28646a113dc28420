"""Float32 that is not rounded: what the context manager sets, and that every measurement is inside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.data.sources import open_data
from genae.metrics.backbones import Networks
from genae.metrics.features import FeatureNetwork
from genae.metrics.lpips import Lpips
from genae.model import load
from genae.networks.arithmetic import SWITCHES, exact_float32
from genae.training import trainer
from genae.training.config import resolve
from genae.training.start import train

BACKENDS: Any = torch.backends


def settings() -> list[str]:
    return [switch.fp32_precision for switch in SWITCHES]


@pytest.fixture
def _as_before() -> Iterator[None]:
    before = settings()
    yield
    torch.set_float32_matmul_precision("highest")
    BACKENDS.cudnn.allow_tf32 = True
    for switch, value in zip(SWITCHES, before, strict=True):
        switch.fp32_precision = value


@pytest.mark.parametrize("matmul", ["highest", "high", "medium"])
@pytest.mark.usefixtures("_as_before")
def test_nothing_rounds_inside_and_all_is_as_before_after(matmul: str) -> None:
    torch.set_float32_matmul_precision(matmul)
    before = settings()
    with torch.autocast("cpu", torch.bfloat16):
        with exact_float32(), exact_float32():
            assert set(settings()) == {"ieee"}
            assert not BACKENDS.cudnn.allow_tf32  # what reads the older settings finds no contradiction
            assert not BACKENDS.cuda.matmul.allow_tf32
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.is_autocast_enabled("cpu")
            assert BACKENDS.cudnn.deterministic
        assert torch.is_autocast_enabled("cpu")
    assert settings() == before
    assert torch.get_float32_matmul_precision() == matmul
    assert BACKENDS.cudnn.allow_tf32
    assert not BACKENDS.cudnn.deterministic


@pytest.mark.usefixtures("_as_before")
def test_a_caller_who_mixes_both_ways_of_pytorch_gets_his_own_settings_back() -> None:
    BACKENDS.cudnn.conv.fp32_precision = "ieee"
    BACKENDS.mkldnn.matmul.fp32_precision = "bf16"
    before = settings()
    with exact_float32():
        assert set(settings()) == {"ieee"}
    assert settings() == before


@pytest.fixture(scope="module")
def larger_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of images that LPIPS takes."""
    path = tmp_path_factory.mktemp("larger") / "run"
    settings = {"data": "digits", "size": "16", "images": 16, "batch_size": 8, "width": 4, "code_dim": 6}
    train(resolve("wae-mmd", settings, {}, AUTOENCODERS), path)
    return path


def test_every_metric_of_a_run_is_measured_in_it(
    larger_run: Path, rounded: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    device = load(larger_run).device
    lpips = Lpips().requires_grad_(False).to(device)
    for weight in lpips.parameters():
        nn.init.normal_(weight, std=0.05)
    network = nn.Conv2d(1, 2, 3).to(device)
    features = FeatureNetwork(
        "a", "a", "", "none", lambda images: (network(images.to(device).float()).flatten(1), None)
    )
    monkeypatch.setattr(Networks, "lpips", lpips)
    monkeypatch.setattr(Networks, "_open", lambda *_: features)
    metrics = ["mse", "ssim", "lpips", "ppl", "fpl", "fd", "nearest", "codes", "svm", "knn"]
    records = api.evaluate(larger_run, metrics=metrics, samples=4, networks=["pixels"])
    assert not rounded
    assert {record["fingerprint"]["float32"] for record in records} == {"ieee"}


def test_recognition_is_trained_and_tested_in_it(small_run: Path, rounded: set[str]) -> None:
    records = api.probe(small_run, frozen="conv1", epochs=1, heads=["mlp", "knn"])
    records += api.probe(small_run, frozen="none", epochs=1, random_trunk=True)
    assert not rounded
    assert {record["fingerprint"]["float32"] for record in records} == {"ieee"}


def test_models_encode_decode_sample_and_judge_in_it(small_run: Path, rounded: set[str]) -> None:
    from genae.operations import Session
    from genae.operations.anomaly import Anomaly

    model = load(small_run)
    data = model.open_data()
    model.encode_data(data, data.split("test")[:9])
    model.decode(model.sample_codes(3))
    Anomaly().answer(Session(model), data.images(data.split("test")[:3]))
    assert not rounded


def test_validation_is_measured_in_it(
    tmp_path: Path, short_config: Any, monkeypatch: pytest.MonkeyPatch, rounded: set[str]
) -> None:
    def inside(name: str) -> Any:
        original = getattr(trainer, name)

        def measure(*arguments: Any) -> Any:
            rounded.clear()  # training rounds as it is told to
            result = original(*arguments)
            assert not rounded
            return result

        return measure

    for name in ("reconstruction_mse", "diagnose"):
        monkeypatch.setattr(trainer, name, inside(name))
    train(short_config(images=16, validate_every=8), tmp_path / "run")
    assert "validation" in (tmp_path / "run" / "log.jsonl").read_text()


def test_a_classifier_is_trained_in_it(rounded: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from genae.metrics import data_classifier

    monkeypatch.setenv("GENAE_CACHE", str(tmp_path))
    data = open_data("digits")
    monkeypatch.setattr(data_classifier, "BATCH", 20_000)  # three steps
    monkeypatch.setattr(data_classifier, "shuffled", lambda *_: torch.arange(64))
    data_classifier.train_classifier(data, torch.device("cpu"))
    assert not rounded
