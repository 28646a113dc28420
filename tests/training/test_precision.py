"""Which precision ``auto`` takes: a rule over what the device and the network are."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from genae.autoencoders import AUTOENCODERS
from genae.protocol import Autoencoder, Part
from genae.training import precision
from genae.training.checkpoint import RunFolder
from genae.training.config import Config, resolve
from genae.training.loop import Loop
from genae.training.precision import fast_float32, preferred_precision, wide_share
from genae.training.start import build_model, train

CPU, GPU = torch.device("cpu"), torch.device("cuda")
OLD, NEW = "flags : fpu avx512f", "flags : fpu avx512f avx512_bf16"


def dense(width: int) -> Autoencoder:
    options = {"networks": "dense", "norm": "none", "width": width, "code_dim": width}
    return build_model(resolve("ae", {"data": "digits", **options}, {}, AUTOENCODERS), (1, 8, 8))


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def fake(text: str) -> None:
        (tmp_path / "cpuinfo").write_text(text)
        monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")

    return fake


@pytest.mark.parametrize(
    ("flags", "width", "name", "reason"),
    [
        (OLD, 128, "float32", "this processor has no amx_bf16 or avx512_bf16"),
        (NEW, 8, "float32", "0% of the work is in layers of 64 channels or more; bfloat16 gains from 40%"),
        (NEW, 128, "bfloat16", "this processor has avx512_bf16, and 100% of the work is in layers of 64 channels"),
        (NEW + " amx_bf16", 128, "bfloat16", "this processor has amx_bf16"),
    ],
)
def test_processors(cpu: Any, flags: str, width: int, name: str, reason: str) -> None:
    cpu(flags)
    chosen = preferred_precision(dense(width), CPU)
    assert chosen.name == name
    assert reason in chosen.reason


def test_a_system_without_cpuinfo_takes_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "none")
    assert preferred_precision(dense(128), CPU).name == "float32"


@pytest.mark.parametrize(
    ("capability", "width", "name", "reason"),
    [
        ((7, 5), 128, "float32", "compute capability 7.5, below 8.0"),
        ((8, 0), 128, "bfloat16", "compute capability 8.0, and 100%"),
        ((9, 0), 8, "float32", "bfloat16 gains from"),
    ],
)
def test_gpus(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], width: int, name: str, reason: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    chosen = preferred_precision(dense(width), GPU)
    assert chosen.name == name
    assert reason in chosen.reason


def test_mps_stays_in_float32() -> None:
    assert preferred_precision(dense(128), torch.device("mps")) == (
        "float32",
        "bfloat16 is not known to be faster than float32 on Apple's GPUs",
    )


def test_the_share_of_wide_layers() -> None:
    """E: 64 -> 64 -> 64 -> 100, G: 100 -> 64 -> 64 -> 64 of width 64; all are wide. Of width 63 none is."""
    assert wide_share(dense(64)) == 1
    assert wide_share(dense(63)) == 0
    conv = build_model(resolve("ae", {"data": "digits", "width": 32}, {}, AUTOENCODERS), (1, 8, 8))
    assert 0 < wide_share(conv) < 1


@pytest.mark.parametrize("name", sorted(AUTOENCODERS))
def test_counting_changes_no_model(name: str, tiny_model: Any) -> None:
    model = tiny_model(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert 0 <= wide_share(model) <= 1
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_run_says_why_and_keeps_its_precision(tmp_path: Path, cpu: Any) -> None:
    options = dict(resolve("ae", {"data": "digits", "width": 64}, {}, AUTOENCODERS).options)
    cpu(NEW)
    said: list[Any] = []
    train(Config("ae", "digits", images=64, device="cpu", options=options), tmp_path / "run", progress=said.append)
    assert said[0]["precision"] == "bfloat16"
    assert "avx512_bf16" in said[0]["reason"]
    cpu(OLD)  # another machine
    train(Config("ae", "digits", images=128, device="cpu", options=options), tmp_path / "run", progress=said.append)
    begun = [event for event in said if "precision" in event]
    assert begun[1] == {"began_at": 64, "precision": "bfloat16", "reason": "as this run began"}
    stored = RunFolder(tmp_path / "run").config
    assert stored
    assert stored.precision == "bfloat16"
    assert (tmp_path / "run" / "log.jsonl").read_text().count('"reason"') == 2


def test_fast_products_are_exact_and_only_while_training(tiny_model, random_batches) -> None:
    def products() -> str:
        return str(torch.backends.mkldnn.matmul.fp32_precision)

    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(128, 784, generator=generator), torch.randn(784, 256, generator=generator)
    exact = a.double() @ b.double()
    usual = (a @ b - exact).norm()
    with fast_float32(torch.device("cpu")):
        chosen = products()
        assert (a @ b - exact).norm() < 4 * usual < 1e-5 * exact.norm()
    seen = []

    def batches(images: int, part: Part) -> Iterator[torch.Tensor]:
        for x in random_batches(images, part):
            seen.append(products())
            yield x

    Loop(tiny_model("ae"), batches).iteration(0, 1e-3)
    assert set(seen) == {chosen}
    assert products() == "none"


@pytest.mark.parametrize(
    "choose",
    [
        lambda products: torch.set_float32_matmul_precision("high"),
        lambda products: setattr(products, "fp32_precision", "ieee"),
    ],
)
def test_a_precision_that_the_caller_chose_stays(choose: Callable[[Any], None]) -> None:
    products = torch.backends.mkldnn.matmul
    try:
        choose(products)
        chosen = products.fp32_precision
        assert chosen != "none"
        with fast_float32(torch.device("cpu")):
            assert products.fp32_precision == chosen
        assert products.fp32_precision == chosen
    finally:
        torch.set_float32_matmul_precision("highest")
        products.fp32_precision = "none"
