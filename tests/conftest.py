"""Tiny models and data for every test; genae's cache is a temporary folder."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from torch import nn

from genae.autoencoders import AUTOENCODERS
from genae.data.sampler import shuffled
from genae.protocol import Autoencoder, Part
from genae.training.config import Config, option_types, resolve
from genae.training.start import train

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one is slow now and then
hypothesis.settings.load_profile("any machine")

# Whatever a model's options are called, these keep it small.
TINY = {
    "width": 4, "code_dim": 6, "prior_dim": 3, "prior_width": 8, "batch_size": 8, "learning_rate": 1e-3,
}  # fmt: skip
SHAPE = (1, 8, 8)
DEEP = {"levels": 2, "depth": 2, "components": 5}
TINY_FLAGS = [f"--{key.replace('_', '-')}={value}" for key, value in TINY.items()]
TINY_FLAGS += ["--precision=float32", "--device=cpu"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--device``, which is what ``auto`` means while the tests run."""
    parser.addoption("--device", choices=("cpu", "cuda", "mps"), default="cpu", help="what `auto` means in the tests")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--device") == "cpu":
        patch = pytest.MonkeyPatch()
        hide_gpus(patch)
        config.add_cleanup(patch.undo)


def hide_gpus(patch: pytest.MonkeyPatch) -> None:
    """``auto`` is the CPU, in this process and in those that it starts (there an Apple GPU stays in sight)."""
    patch.setenv("CUDA_VISIBLE_DEVICES", "")
    for gpu in (torch.cuda, torch.backends.mps):
        if gpu.is_available():
            patch.setattr(gpu, "is_available", cache(lambda: False))  # PyTorch looks into the `cache`


@pytest.fixture(autouse=True)
def _on_the_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are marked so."""
    if request.node.get_closest_marker("cpu"):
        hide_gpus(monkeypatch)


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> torch.device:
    """The GPU of ``--device``; the test is skipped without one."""
    device = request.config.getoption("--device")
    if device == "cpu":
        pytest.skip("needs a GPU, and pytest's --device")
    return torch.device(device, 0)


@pytest.fixture(autouse=True, scope="session")
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["GENAE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def _threads() -> None:
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


def tiny_options(name: str, **options: Any) -> dict[str, Any]:
    known = option_types(AUTOENCODERS[name])
    return {key: value for key, value in (TINY | DEEP | options).items() if key in known}


def tiny_model(name: str, **options: Any) -> Autoencoder:
    torch.manual_seed(0)  # equalised layers keep the weights that they are built with
    return lively(AUTOENCODERS[name](SHAPE, **tiny_options(name, **options)))


def lively(model: nn.Module) -> nn.Module:
    """PyTorch's default weights: the papers' N(0, 0.01^2) in tiny networks leaves gradients at rounding level."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.reset_parameters()
    return model


def random_batches(images: int, part: Part, whole: int = 8, total: int = 64) -> Iterator[torch.Tensor]:
    """Batches of fixed random images, cut to this part, as the run's sampler gives them."""
    data = torch.rand(total, *SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    rows = part.rows(whole)
    draw = 0
    while True:
        yield data[shuffled(images, whole, total, 0, draw)[rows]]
        draw += 1


@pytest.fixture
def folder_of_images(tmp_path: Path) -> Path:
    """Two classes of 12 colour pictures each."""
    from PIL import Image

    generator = torch.Generator().manual_seed(0)
    for label in ("cat", "dog"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(12):
            pixels = torch.randint(256, (12, 16, 3), generator=generator, dtype=torch.uint8).numpy()
            Image.fromarray(pixels).save(tmp_path / "pictures" / label / f"{i}.png")
    return tmp_path / "pictures"


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small trained run with an encoder and a prior; modules that write into it take a copy."""
    folder = tmp_path_factory.mktemp("explored") / "run"
    settings = {"data": "digits", "images": 4000, "batch_size": 50, "width": 8, "code_dim": 8, "learning_rate": 2e-3}
    train(resolve("wae-gan", settings, {}, AUTOENCODERS), folder)
    return folder


@pytest.fixture(scope="session")
def told(explored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run with a Gaussian that is told the digit, and a mixture that is told nothing; tests that write into
    it take a copy."""
    from genae.api import fit_prior

    folder = Path(shutil.copytree(explored, tmp_path_factory.mktemp("told") / "run"))
    fit_prior(folder, "gaussian", given="label")
    fit_prior(folder, "mixture", name="plain", components=2)
    return folder


# Tests ask for the helpers above by name and import nothing from here. They are functions of this module, so that a
# process that a test starts can be given them.


@pytest.fixture(scope="session", name="tiny_options")
def _tiny_options() -> Callable[..., Any]:
    """``tiny_options(name)`` -> the options that keep a model small, of those that it has."""
    return tiny_options


@pytest.fixture(scope="session", name="tiny_model")
def _tiny_model() -> Callable[..., Any]:
    """``tiny_model(name)`` -> a small model for 8 x 8 grey images."""
    return tiny_model


@pytest.fixture(scope="session", name="lively")
def _lively() -> Callable[..., Any]:
    """``lively(model)`` -> the model with weights that let signals through."""
    return lively


@pytest.fixture(scope="session", name="random_batches")
def _random_batches() -> Callable[..., Any]:
    """``random_batches(images, part)`` -> endless batches of 64 fixed images."""
    return random_batches


@pytest.fixture(scope="session")
def short_config() -> Callable[..., Config]:
    """``short_config(images=128, options={...})`` -> of a training of a small stacked-wae for 64 digits on the CPU."""

    def config(**changes: Any) -> Config:
        options = tiny_options("stacked-wae") | changes.pop("options", {})
        run = {"data": "digits", "images": 64, "precision": "float32", "device": "cpu"}
        return Config("stacked-wae", **run | changes, options=options)

    return config


@pytest.fixture
def apple_gpu() -> Iterator[list[int]]:
    """Pretend that this machine has an Apple GPU; gives the seeds that its generator receives."""
    from tests.pretended import pretended_gpu

    with pretended_gpu() as seeds:
        yield seeds


@pytest.fixture(scope="session")
def tiny_shape() -> tuple[int, int, int]:
    return SHAPE


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    """Flags of ``genae train`` that keep any model small."""
    return TINY_FLAGS


@pytest.fixture(scope="session")
def genae() -> Callable[..., int]:
    """Run the command line in this process: ``genae("sample", run)`` -> its exit status."""

    def run(*arguments: object) -> int:
        from genae.cli import main

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["genae", *map(str, arguments)])
            with pytest.raises(SystemExit) as stop:
                main()
        return int(stop.value.code or 0)

    return run


@pytest.fixture(scope="session")
def pictures() -> Callable[..., Path]:
    """``pictures(folder, 20)``: smooth random colour pictures, as files."""

    def save(folder: Path, count: int, size: tuple[int, int] = (12, 16), seed: int = 0, ending: str = "png") -> Path:
        import numpy as np
        from PIL import Image

        folder.mkdir(parents=True)
        rng = np.random.default_rng(seed)
        for i in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8))
            picture = coarse.resize(size[::-1], Image.Resampling.BICUBIC)
            picture.save(folder / f"{i:03d}.{ending}", **({"quality": 50} if ending == "jpg" else {}))
        return folder

    return save


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 64 images with two priors, to be measured; tests that count its records take a copy."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    train(Config("stacked-wae", "digits", images=64, options=tiny_options("stacked-wae")), path)
    return path


@pytest.fixture(scope="session")
def trained_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose best weights are those after 16 images, while its training ended after 32."""
    path = tmp_path_factory.mktemp("runs") / "twice"
    config = Config("stacked-wae", "digits", images=16, checkpoint_every=16, options=tiny_options("stacked-wae"))
    train(config, path)
    best = (path / "best.safetensors").read_bytes()
    train(replace(config, images=32), path)
    (path / "best.safetensors").write_bytes(best)
    return path


@pytest.fixture(scope="session", name="generator")
def _generator() -> Callable[..., torch.Generator]:
    """``generator(seed)`` -> random numbers of their own."""
    return generator


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def rounded() -> Iterator[set[str]]:
    """Classes of the modules that computed, from here on, where float32 was rounded: TensorFloat-32 or autocast.

    The test runs inside autocast, and with PyTorch's own setting for GPUs, which is TensorFloat-32 for convolutions.
    """
    modules: set[str] = set()

    def look(module: nn.Module, _: object) -> None:
        settings = torch.backends.cudnn.conv, torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
        exact = all(setting.fp32_precision in ("none", "ieee") for setting in settings)
        if not exact or torch.is_autocast_enabled("cpu"):
            modules.add(type(module).__name__)
        computed.add(type(module).__name__)

    computed: set[str] = set()
    handle = nn.modules.module.register_module_forward_pre_hook(look)
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    with torch.autocast("cpu", torch.bfloat16):
        yield modules
    handle.remove()
    assert computed, "nothing was computed"


@pytest.fixture(scope="session")
def two_clusters() -> Callable[..., torch.Tensor]:
    """``two_clusters(count)`` -> codes in the plane around (3, 0), a quarter of them, and (-3, 1)."""

    def codes(count: int = 4000) -> torch.Tensor:
        noise = torch.randn(count, 2, generator=generator(1))
        first = torch.arange(count) % 4 == 0
        return torch.where(first[:, None], noise * 0.2 + torch.tensor([3.0, 0]), noise * 0.5 + torch.tensor([-3.0, 1]))

    return codes
