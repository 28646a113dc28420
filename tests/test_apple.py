"""Apple's GPUs, as far as a machine without one can show: see `pretended`."""

from pathlib import Path

import pytest
import torch

from genae import api, distributed
from genae.autoencoders import AUTOENCODERS
from genae.data.transfer import has_room
from genae.errors import GenaeError
from genae.model import load
from genae.networks.layers import memory_format
from genae.priors import PRIORS
from genae.training.checkpoint import RunFolder
from genae.training.config import Config
from genae.training.prior_fit import fit_of, fit_to_codes
from genae.training.start import train
from tests.pretended import GPU, ROOM


@pytest.mark.parametrize("device", ["mps", "mps:0", "auto"])
def test_the_gpu_is_found(device: str, apple_gpu: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # which `auto` would take first
    assert distributed.start(device) == GPU


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(GenaeError, match="device is 'mps'; PyTorch can use no Apple GPU on this machine"):
        distributed.start("mps")
    assert distributed.start("auto").type in ("cpu", "cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(GenaeError, match="device is 'mps:1'; PyTorch can use one Apple GPU on this machine"):
        distributed.start("mps:1")


def test_it_is_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with pytest.raises(GenaeError, match="'mps', which is for one process; start one, or choose --device cpu"):
        distributed.start("mps")
    if not torch.cuda.is_available():
        assert distributed.start("auto") == torch.device("cpu")


def test_a_pretended_gpu_refuses_what_a_real_one_does(apple_gpu: list[int]) -> None:
    """Or the tests below would show nothing."""
    x = torch.ones(2, 3, device="mps:0")
    for refused in (x.double, lambda: torch.zeros(1, device="mps:0", dtype=torch.float64)):
        with pytest.raises(TypeError, match="Cannot convert a MPS Tensor"):
            refused()
    with pytest.raises(RuntimeError, match="expected all tensors to be on the same device"):
        x + torch.ones(2, 3)
    with pytest.raises(RuntimeError, match="expected a generator of mps:0"):
        torch.randn(3, device="mps:0", generator=torch.Generator())
    with pytest.raises(NotImplementedError, match="not currently implemented for the MPS device"):
        torch.linalg.eig(x[:, :2])
    norm, maps = torch.nn.BatchNorm2d(3).to("mps:0"), torch.ones(2, 3, 4, 4, device="mps:0")
    assert norm(maps).device == x.device
    with pytest.raises(RuntimeError, match="wrong or slow in channels_last"):
        norm(maps.contiguous(memory_format=torch.channels_last))


def test_a_data_set_moves_there_if_it_takes_at_most_half_of_the_free_memory(apple_gpu: list[int]) -> None:
    assert has_room(GPU, ROOM // 2)
    assert not has_room(GPU, ROOM // 2 + 1)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_every_model_trains_and_is_used_there(name: str, apple_gpu: list[int], tiny_options, tmp_path: Path) -> None:
    """Without float64, without an operation that has no kernel there, in PyTorch's own order of memory."""
    size = {"size": "32"} if name in ("patch-vae", "trunk-vae") else {}
    config = Config(name, "digits", images=16, average=64, device="mps", options=tiny_options(name), **size)
    assert train(config, tmp_path).images == 16
    assert RunFolder(tmp_path).beginnings()[0]["precision"] == "float32"
    assert len(apple_gpu) == len(set(apple_gpu)) > 0, "its random numbers are functions of the images seen"
    model = load(tmp_path, device="mps")
    assert {p.device for p in model.autoencoder.parameters()} == {GPU}
    if model.spaces:
        images = torch.rand(3, *model.image_shape) * 2 - 1
        assert model.reconstruct(images).device.type == "cpu"
    if model.priors:
        assert model.sample(3).isfinite().all()


def test_it_trains_what_the_cpu_does(apple_gpu: list[int], short_config, tmp_path: Path) -> None:
    for device in ("cpu", "mps"):
        train(short_config(images=24, device=device), tmp_path / device)
    cpu, mps = (load(tmp_path / device, device="cpu").autoencoder.state_dict() for device in ("cpu", "mps"))
    assert all(torch.allclose(mps[name].float(), value.float(), rtol=1e-2, atol=1e-4) for name, value in cpu.items())


@pytest.mark.parametrize("kind", PRIORS)
def test_every_prior_is_fitted_and_sampled_there(kind: str, apple_gpu: list[int], two_clusters, tmp_path: Path) -> None:
    own = {"patch": 1, "width": 8, "blocks": 1} if PRIORS[kind].spatial else {}
    settings = fit_of(kind, {} if kind in ("gaussian", "mixture") else {"images": 64, "batch_size": 16, **own})
    shape = (2, 1, 1) if PRIORS[kind].spatial else (2,)
    prior, _ = fit_to_codes(two_clusters(200), settings, tmp_path / "partial", device=GPU, code_shape=shape)
    prior = prior.to(GPU)
    assert prior.sample(5, torch.Generator().manual_seed(0)).shape == (5, 2)


def test_it_measures_what_the_cpu_does(apple_gpu: list[int], small_run: Path, tmp_path: Path) -> None:
    metrics = ["mse", "psnr", "normalised_psnr", "ssim", "fd", "prdc", "swd", "vendi", "nearest", "codes", "fpl", "1nn"]
    numbers = {}
    for device in ("cpu", "mps"):
        records = api.evaluate(
            load(small_run, device=device), metrics=metrics, networks=["pixels"], samples=32,
            out=tmp_path / f"{device}.jsonl",
        )  # fmt: skip
        numbers[device] = {(record["of"], record["metric"]): record["value"] for record in records}
    assert numbers["mps"] == pytest.approx(numbers["cpu"], rel=1e-3, abs=1e-6)


def test_order_of_memory() -> None:
    assert memory_format(GPU) == torch.contiguous_format
    assert memory_format(torch.device("cpu")) == torch.channels_last
