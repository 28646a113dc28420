"""What a real GPU does where there is one: ``pytest --device cuda`` (or ``mps``). `test_apple` pretends one."""

from pathlib import Path

import pytest
import torch

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.data.sources import open_data
from genae.model import load
from genae.priors import PRIORS
from genae.protocol import Part
from genae.training.config import Config
from genae.training.feed import Feed
from genae.training.prior_fit import fit_of, fit_to_codes
from genae.training.start import train


def test_the_switch_decides_what_auto_is(pytestconfig: pytest.Config, small_run: Path) -> None:
    assert load(small_run).device.type == pytestconfig.getoption("--device")


@pytest.mark.cpu
def test_a_marked_test_computes_on_the_cpu(small_run: Path) -> None:
    assert load(small_run).device.type == "cpu"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", AUTOENCODERS)
def test_every_model_trains_and_is_used_there(
    name: str, precision: str, gpu: torch.device, tiny_options, tmp_path: Path
) -> None:
    size = {"size": "32"} if name in ("patch-vae", "trunk-vae") else {}
    run = {"images": 16, "average": 64, "device": gpu.type, "precision": precision, **size}
    assert train(Config(name, "digits", options=tiny_options(name), **run), tmp_path).images == 16  # type: ignore[arg-type]
    model = load(tmp_path, device=gpu.type)
    assert {p.device for p in model.autoencoder.parameters()} == {gpu}
    if model.spaces:
        images = torch.rand(3, *model.image_shape) * 2 - 1
        assert model.reconstruct(images).device.type == "cpu"
    if model.priors:
        assert model.sample(3).isfinite().all()


def test_it_trains_what_the_cpu_does(gpu: torch.device, tmp_path: Path) -> None:
    """But for what a model draws on the device: the random numbers of a GPU are its own."""
    options = {"width": 4, "code_dim": 6, "batch_size": 8}
    for device in ("cpu", gpu.type):
        config = Config("ae", "digits", images=24, precision="float32", device=device, options=options)
        train(config, tmp_path / device)
    cpu, there = (load(tmp_path / device, device="cpu").autoencoder.state_dict() for device in ("cpu", gpu.type))
    assert all(torch.allclose(there[name].float(), value.float(), rtol=1e-2, atol=1e-3) for name, value in cpu.items())


def test_batches_of_a_packed_file_are_those_from_memory(gpu: torch.device, genae, tmp_path: Path) -> None:
    assert genae("pack", "digits", "--out", tmp_path / "digits.genae") == 0
    memory, file = open_data("digits"), open_data(tmp_path / "digits.genae")
    model = AUTOENCODERS["ae"](memory.image_shape, width=4, code_dim=6, batch_size=64).to(gpu)
    feeds = [Feed(data, model, 0, True) for data in (memory, file)]
    for images in range(0, 6400, 64):
        first, second = (feed.batch(images, Part(), 0) for feed in feeds)
        assert first.device == gpu
        assert torch.equal(first, second)
    feeds[1].close()
    moved, indices = file.to(gpu), torch.tensor([1700, 3])
    assert moved.store.in_memory
    assert torch.equal(moved.images(indices).cpu(), memory.images(indices))


@pytest.mark.parametrize("kind", PRIORS)
def test_every_prior_is_fitted_and_sampled_there(kind: str, gpu: torch.device, two_clusters, tmp_path: Path) -> None:
    own = {"patch": 1, "width": 8, "blocks": 1} if PRIORS[kind].spatial else {}
    settings = fit_of(kind, {} if kind in ("gaussian", "mixture") else {"images": 64, "batch_size": 16, **own})
    shape = (2, 1, 1) if PRIORS[kind].spatial else (2,)
    prior, _ = fit_to_codes(two_clusters(200), settings, tmp_path / "partial", device=gpu, code_shape=shape)
    prior = prior.to(gpu)
    assert prior.sample(5, torch.Generator().manual_seed(0)).shape == (5, 2)


def test_it_measures_what_the_cpu_does(gpu: torch.device, small_run: Path, tmp_path: Path) -> None:
    metrics = ["mse", "psnr", "ssim", "fd", "prdc", "swd", "vendi", "nearest", "codes", "fpl", "1nn"]
    numbers = {}
    for device in ("cpu", gpu.type):
        records = api.evaluate(
            load(small_run, device=device), metrics=metrics, networks=["pixels"], samples=32,
            out=tmp_path / f"{device}.jsonl",
        )  # fmt: skip
        numbers[device] = {(record["of"], record["metric"]): record["value"] for record in records}
    assert numbers[gpu.type] == pytest.approx(numbers["cpu"], rel=1e-3, abs=1e-6)
