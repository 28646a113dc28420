"""What is not in memory is read ahead, and the training is the same to the last bit."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from genae.autoencoders import AUTOENCODERS
from genae.data.sources import ImageData, open_data
from genae.data.store import MemoryStore, Store
from genae.errors import GenaeError
from genae.networks.style_layers import halved
from genae.protocol import Part
from genae.training import feed as feeding
from genae.training import trainer as training
from genae.training.checkpoint import RunFolder
from genae.training.config import Config
from genae.training.feed import Feed, levels_taken
from genae.training.start import build_model, train
from genae.training.trainer import Trainer

pytestmark = pytest.mark.cpu


class SlowStore(Store):
    """Images in memory that are read as from a slow disk: some requests take longer than those after them."""

    def __init__(self, pixels: Tensor, levels: int = 0, milliseconds: float = 1.0, lost: int | None = None) -> None:
        self.levels = levels
        self.pixels = [halved(pixels.double(), times).round().to(pixels.dtype) for times in range(levels + 1)]
        self.shape, self.dtype = MemoryStore(pixels).shape, pixels.dtype
        self.milliseconds = milliseconds
        self.lost = lost
        self.read_rows: Counter[int] = Counter()
        self.sizes: Counter[int] = Counter()
        self.threads: set[str] = set()
        self.lock = threading.Lock()
        self.chance = random.Random(0)

    def __len__(self) -> int:
        return len(self.pixels[0])

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        with self.lock:
            seconds = self.chance.uniform(0, self.milliseconds / 1000)
            self.read_rows.update(indices.tolist())
            self.sizes[self.shape[1] >> halvings] += len(indices)
            self.threads.add(threading.current_thread().name.partition("_")[0])
        time.sleep(seconds)
        if self.lost in indices.tolist():
            raise GenaeError(f"image {self.lost} cannot be read")
        return self.pixels[halvings][indices]

    def digest(self, before: bytes, after: bytes) -> str:
        return MemoryStore(self.pixels[0]).digest(before, after)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def data() -> ImageData:
    """60 random colour images of 16 pixels: 49 for training, 5 for validation, 6 for tests."""
    generator = torch.Generator().manual_seed(0)
    return open_data(torch.randint(256, (60, 3, 16, 16), generator=generator, dtype=torch.uint8))


def kept(data: ImageData, **how: Any) -> ImageData:
    """The same data set, kept by a `SlowStore`."""
    return replace(data, store=SlowStore(data.store.read(torch.arange(60)), **how))


GROWING = {"growth": 8, "width": 4, "most_channels": 8, "mapping_layers": 2, "batch_size": "8,6,4"}


def config(tiny_options: Callable[..., Any], name: str, images: int = 48, **changes: Any) -> Config:
    options = tiny_options(name, **GROWING if name == "style-alae" else {"inner_steps": 3})
    rare = {"checkpoint_every": 32, "validate_every": 24} | changes
    return Config(name, "array", images=images, precision="float32", flip=True, device="cpu", options=options, **rare)


def alike(one: Path, other: Path) -> bool:
    """Whether the last weights of two runs are equal."""
    first, second = (load_file(RunFolder(run).checkpoints()[-1] / "model.safetensors") for run in (one, other))
    return all(torch.equal(first[key], second[key]) for key in first | second)


def measured(run: Path) -> list[dict[str, float]]:
    return [line["validation"] for line in RunFolder(run).history() if "validation" in line]


def trained(settings: Config, data: ImageData) -> dict[str, Tensor]:
    """Weights after the iterations of a training, without its files."""
    model = build_model(settings, data.image_shape)
    run = Trainer(settings, None, data, model, lambda event: None)  # type: ignore[arg-type]
    with closing(run.feed):
        while run.images < settings.images:
            stage = model.stage(run.images)
            run.loop.iteration(run.images, stage.learning_rate)
            run.images += stage.batch_size
    return model.state_dict()


@pytest.mark.parametrize(("name", "accumulate"), [("stacked-wae", 2), ("style-alae", 1)])
def test_readers_do_not_change_a_bit(name: str, accumulate: int, data, tiny_options, monkeypatch) -> None:
    settings = config(tiny_options, name, images=48 // accumulate, accumulate=accumulate)
    expected = trained(settings, data)
    for threads in (1, 2, 4):
        monkeypatch.setattr(feeding, "THREADS", threads)
        slow = kept(data)
        weights = trained(settings, slow)
        assert all(torch.equal(weights[key], expected[key]) for key in expected)
        assert slow.store.threads == {"ahead"}


def test_a_run_that_reads_ahead_is_that_from_memory(data, tmp_path: Path, tiny_options) -> None:
    settings = config(tiny_options, "stacked-wae", images=32, validate_every=16)
    train(settings, tmp_path / "memory", data=data)
    train(replace(settings, images=16), tmp_path / "file", data=kept(data))
    train(settings, tmp_path / "file", data=kept(data))
    assert alike(tmp_path / "file", tmp_path / "memory")
    assert measured(tmp_path / "file") == measured(tmp_path / "memory")


def feed_of(data: ImageData, name: str, tiny_options: Callable[..., Any], end: int = 64) -> Feed:
    settings = config(tiny_options, name)
    model = AUTOENCODERS[name](data.image_shape, **settings.options)
    return Feed(data, model, 0, True, 1, end)


def test_each_image_that_is_asked_for_is_read_once_and_no_other(data, tiny_options) -> None:
    slow = kept(data)
    feed = feed_of(slow, "stacked-wae", tiny_options, end=64)
    asked: Counter[int] = Counter()
    for images in range(0, 64, 8):
        for draw in range(4):
            feed.batch(images, Part(), draw)
            asked.update(feed._indices(feeding.Request(images, Part(), draw, 0)).tolist())
    feed.close()
    assert sum(asked.values()) == 8 * 4 * 8
    extra = slow.store.read_rows - asked
    assert not asked - slow.store.read_rows
    assert sum(extra.values()) <= 16 * 8, "what was expected in the first iteration, before its draws were known"
    assert set(slow.store.read_rows) <= set(data.split("train").tolist())


def test_parts_of_a_batch_read_their_own_rows(data, tiny_options) -> None:
    read = []
    for number in range(2):
        slow = kept(data)
        feed = feed_of(slow, "stacked-wae", tiny_options, end=48)
        for images in range(0, 48, 8):
            feed.batch(images, Part(number, 2), 0)
        feed.close()
        read.append(slow.store.read_rows)
    assert sum(read, Counter()) <= Counter(data.split("train").tolist()), "most of an epoch: no image twice"
    assert {sum(rows.values()) for rows in read} == {24}


def test_the_loop_does_not_wait_for_what_was_read_ahead(data, tiny_options) -> None:
    feed = feed_of(kept(data, milliseconds=0), "stacked-wae", tiny_options, end=10**6)
    feed.batch(0, Part(), 0)
    for images in range(8, 64, 8):
        waiting, _ = feed.ahead._waiting[feeding.Request(images, Part(), 0, 0)]
        for _ in range(500):
            if waiting.done():
                break
            time.sleep(0.01)
        assert waiting.done(), "before it is asked for"
        feed.batch(images, Part(), 0)
    feed.close()


def test_what_waits_is_bounded(data, tiny_options, monkeypatch) -> None:
    monkeypatch.setattr(feeding, "ROOM", 3 * 8 * 3 * 16 * 16)
    slow = kept(data, milliseconds=0)
    feed = feed_of(slow, "stacked-wae", tiny_options, end=10**6)
    feed.batch(0, Part(), 0)
    feed.close()
    assert sum(slow.store.read_rows.values()) <= 4 * 8


def test_growing_models_take_the_halved_images_that_are_kept(data, tmp_path: Path, tiny_options) -> None:
    packed = kept(data, levels=1)
    feed = feed_of(packed, "style-alae", tiny_options)
    sizes = {}
    for images in (0, 16, 32):  # 4, 8 and 16 pixels
        stage = feed.model.stage(images)
        x = feed.batch(images, Part(), 0)
        indices = feed._indices(feeding.Request(images, Part(), 0, 0))
        sizes[stage.resolution] = x.shape[-1]
        flipped = feed._mirrored(images, stage.batch_size, 0)[: len(indices), None, None, None]
        pixels = packed.store.pixels[1 if stage.resolution < 16 else 0][indices]
        expected = halved(data.converted(torch.where(flipped, pixels.flip(-1), pixels)), int(stage.resolution == 4))
        assert torch.equal(x[: len(indices)], expected)
    feed.close()
    assert sizes == {4: 4, 8: 8, 16: 16}
    assert packed.store.sizes[8] >= 8 + 6
    assert levels_taken(feed.model, packed.store) == 1
    whole = feed_of(packed, "stacked-wae", tiny_options)
    assert levels_taken(whole.model, packed.store) == 0, "its images are of full size"


def test_a_run_goes_on_with_the_halved_images_that_it_was_started_with(data, tmp_path: Path, tiny_options) -> None:
    settings = config(tiny_options, "style-alae", images=24)
    train(settings, tmp_path / "whole", data=kept(data, levels=1))
    train(replace(settings, images=16), tmp_path / "parts", data=kept(data, levels=1))
    with pytest.raises(GenaeError, match="was started with 1 packed level of array, not 0; they are rounded, so pack"):
        train(settings, tmp_path / "parts", data=data)
    train(settings, tmp_path / "parts", data=kept(data, levels=1))
    assert alike(tmp_path / "whole", tmp_path / "parts")
    train(replace(settings, images=8), tmp_path / "memory", data=data)
    with pytest.raises(GenaeError, match="was started with 0 packed levels of array, not 2;"):
        train(settings, tmp_path / "memory", data=kept(data, levels=3))


def test_a_data_set_moves_to_a_gpu_with_the_halved_images_that_are_taken(data) -> None:
    packed = kept(data, levels=2)
    moved = packed.store.to(torch.device("cpu"), 1)
    assert (moved.in_memory, moved.levels, moved.shape) == (True, 1, (3, 16, 16))
    for level in range(2):
        assert torch.equal(moved.read(torch.tensor([7, 0]), level), packed.store.pixels[level][[7, 0]])
    assert packed.to(torch.device("cpu"), 1) is packed, "on the CPU it stays where it is"
    there = packed.to(torch.device("meta"), 1).store
    assert (there.in_memory, there.levels, there.device.type) == (True, 1, "meta")
    assert [moved.to(torch.device("meta"), levels).levels for levels in range(2)] == [0, 1]


@pytest.mark.parametrize("lost", ["train", "validation"])
def test_an_error_of_a_reader_ends_the_run_with_its_sentence(lost: str, data, tmp_path: Path, tiny_options) -> None:
    number = int(data.split(lost)[-1])
    settings = config(tiny_options, "stacked-wae", 10_000)
    with pytest.raises(GenaeError, match=f"^image {number} cannot be read"):
        train(settings, tmp_path / "run", data=kept(data, lost=number))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_a_validation_that_fails_ends_its_readers(data, tmp_path: Path, tiny_options, monkeypatch) -> None:
    def broken(model: object, batches: Iterator[Tensor]) -> None:
        next(batches)
        raise GenaeError("no memory is left")

    monkeypatch.setattr(training, "reconstruction_mse", broken)
    with pytest.raises(GenaeError, match="no memory") as raised:
        train(config(tiny_options, "stacked-wae"), tmp_path / "run", data=kept(data))
    assert raised.tb, "its frames, with all that they hold"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.mark.parametrize("times", [1, 2])
def test_interrupts_end_the_readers(times: int, data, tmp_path: Path, tiny_options) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)

    settings = config(tiny_options, "stacked-wae", 10_000)
    if times == 1:
        assert train(settings, tmp_path / "run", data=kept(data), progress=interrupt).stopped == "interrupted"
    else:
        with pytest.raises(KeyboardInterrupt):
            train(settings, tmp_path / "run", data=kept(data), progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_batches_of_any_split_are_read_ahead_in_order(data) -> None:
    slow = kept(data)
    parts = torch.arange(60).split(7)
    for x, part in zip(slow.batches(parts), parts, strict=True):
        assert torch.equal(x, data.images(part))
    assert slow.store.threads == {"ahead"}
    assert slow.store.read_rows == Counter(range(60))
    slow = kept(data, milliseconds=0)
    some = slow.batches(torch.arange(60).split(1))
    list(islice(some, 2))
    while len(slow.store.read_rows) < 10:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(slow.store.read_rows) == 10, "two for each thread wait"
    some.close()
    assert list(slow.batches([])) == []
