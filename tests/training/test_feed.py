"""Batches travel as they are stored, and growing levels get images that were reduced a few at a time."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genae.autoencoders import AUTOENCODERS
from genae.autoencoders.adversarial import AdversarialAutoencoder
from genae.autoencoders.style_alae import StyleAdversarialLatentAutoencoder
from genae.data import sources
from genae.data.sources import ImageData, open_data
from genae.networks.style_layers import halved
from genae.protocol import Part
from genae.training.config import Config, resolve
from genae.training.start import train
from genae.training.trainer import Trainer

GROWING = {
    "growth": 100, "code_dim": 6, "width": 4, "most_channels": 8, "mapping_layers": 2, "batch_size": "16,8,4,2",
}  # fmt: skip


@pytest.fixture
def data() -> ImageData:
    """40 random colour images of 32 pixels."""
    generator = torch.Generator().manual_seed(0)
    return open_data(torch.randint(256, (40, 3, 32, 32), generator=generator, dtype=torch.uint8))


def trainer(data: ImageData, device: str = "cpu", **settings: Any) -> Trainer:
    config = Config("style-alae", "array", precision="float32", **settings)
    model = StyleAdversarialLatentAutoencoder(data.image_shape, **GROWING).to(device)  # type: ignore[arg-type]
    return Trainer(config, None, data, model, lambda event: None)  # type: ignore[arg-type]


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.dtype, int]]:
    """Type and number of the images of every conversion to floats."""
    noted: list[tuple[torch.dtype, int]] = []
    convert = sources.to_unit_range

    def note(pixels: Tensor, *limits: float) -> Tensor:
        noted.append((pixels.dtype, len(pixels)))
        return convert(pixels, *limits)

    monkeypatch.setattr(sources, "to_unit_range", note)
    return noted


@pytest.mark.parametrize(("images", "side"), [(0, 4), (250, 8), (400, 16), (600, 32)])
def test_growing_levels_get_reduced_images(
    images: int, side: int, data: ImageData, converted: list[tuple[torch.dtype, int]]
) -> None:
    run = trainer(data, flip=True)
    batch = run.model.stage(images).batch_size
    first, second = islice(run.batches(images, Part()), 2)
    assert first.shape == second.shape == (batch, 3, side, side)
    assert not torch.equal(first, second)
    assert {dtype for dtype, _ in converted} == {torch.uint8}
    assert max(count for _, count in converted) == 2, "as many at a time as the last stage takes"
    run.model.growth = 0  # the same images at full size
    run.model.batch_sizes = [batch]
    whole = next(run.batches(images, Part()))
    assert whole.shape == (batch, 3, 32, 32)
    assert torch.equal(first, halved(whole, (32 // side).bit_length() - 1)), "bit for bit"


def test_images_are_mirrored_or_not(data: ImageData) -> None:
    mirrored, plain = (trainer(data, flip=flip) for flip in (True, False))
    batches = []
    for run in (mirrored, plain):
        run.model.growth, run.model.batch_sizes = 0, [16]
        batches.append(next(run.batches(0, Part())))
    changed = (batches[0] != batches[1]).flatten(1).any(1)
    assert 0 < int(changed.sum()) < 16
    assert torch.equal(torch.where(changed[:, None, None, None], batches[1].flip(-1), batches[1]), batches[0])


class Crossing(TorchDispatchMode):
    """Notes the types of all tensors that leave the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.types: list[torch.dtype] = []

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if isinstance(result, Tensor) and result.is_meta:
            self.types += [x.dtype for x in inputs if x.device.type == "cpu" and x.ndim]
        return result


def test_batches_travel_as_bytes(data: ImageData) -> None:
    run = trainer(data, "meta", flip=True)
    with Crossing() as crossing:
        x = next(run.batches(0, Part()))
    assert x.is_meta
    assert x.dtype == torch.float32
    assert set(crossing.types) == {torch.uint8, torch.bool}


def test_parts_are_rows_of_the_whole_batch(data: ImageData) -> None:
    run = trainer(data, flip=True)
    whole = next(run.batches(0, Part()))
    parts = [next(run.batches(0, Part(number, 4))) for number in range(4)]
    assert torch.equal(torch.cat(parts), whole)


def test_validation_takes_the_batch_of_training(tmp_path: Path, tiny_options, monkeypatch) -> None:
    sizes: dict[str, set[int]] = {}

    def noting(name: str, plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def note(self: AdversarialAutoencoder, x: Tensor) -> Tensor:
            sizes.setdefault(name, set()).add(len(x))
            return plain(self, x)

        return note

    for name in ("encode", "decode"):
        monkeypatch.setattr(AdversarialAutoencoder, name, noting(name, getattr(AdversarialAutoencoder, name)))
    run = {"data": "digits", "images": 40, "accumulate": 2, "precision": "float32"}
    lines: list[Any] = []
    options = tiny_options("stacked-wae", batch_size=20)
    train(resolve("stacked-wae", run | options, {}, AUTOENCODERS), tmp_path / "run", progress=lines.append)
    assert lines[-1]["validation"]["mse"] > 0
    assert lines[-1]["diagnostics"]["diversity_normal"] > 0
    assert {name: max(noted) for name, noted in sizes.items()} == {"encode": 10, "decode": 10}
