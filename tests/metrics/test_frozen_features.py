"""Features of frozen layers: the same numbers wherever they are, and the place that their size decides on."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genae.data.builtin import cache_folder
from genae.data.sources import ImageData, open_data
from genae.data.store import MemoryStore
from genae.errors import GenaeError
from genae.metrics import frozen_features
from genae.metrics.frozen_features import UNIT, Features, Pick, features_of
from genae.metrics.recognition import BATCH, Layers, freeze, recognise
from genae.networks.residual import ResidualTrunk
from genae.progress import screen, silent
from tests.reading import pixels_of

CPU = torch.device("cpu")
COUNTS = {"train": 300, "validation": 2 * UNIT + 1, "test": 40}
WHERE = {"in memory": (10**9, 0.0), "on disk": (1000, 1.0), "computed again": (1000, 0.0)}
"""Place -> bytes of memory that the machine has, GB of disk that the user gives."""


class Slow(MemoryStore):
    """Images that are read as if from a file."""

    in_memory = False

    def __init__(self, pixels: Tensor) -> None:
        super().__init__(pixels)
        self.reads: list[tuple[int, str]] = []

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        self.reads.append((len(indices), threading.current_thread().name))
        return super().read(indices, halvings)

    def send(self, indices: Tensor, device: torch.device, halvings: int = 0) -> Tensor:
        return self.read(indices).to(device)


@pytest.fixture(scope="module")
def data() -> ImageData:
    """Random pictures of four classes, which their brightness tells."""
    generator = torch.Generator().manual_seed(0)
    total = sum(COUNTS.values())
    labels = torch.arange(total) % 4
    pixels = torch.randint(64, (total, 3, 16, 16), generator=generator) + 40 * labels[:, None, None, None]
    parts = torch.randperm(total, generator=generator).split([*COUNTS.values()])
    source = open_data(pixels.to(torch.uint8))
    return replace(source, labels=labels, classes=tuple("abcd"), splits=dict(zip(COUNTS, parts, strict=True)))


@pytest.fixture(scope="module")
def trunk() -> nn.ModuleList:
    torch.manual_seed(0)
    network = ResidualTrunk((3, 16, 16), width=4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr, operator]
    return nn.ModuleList([network.stem, *network.stages])


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said."""
    said: list[str] = []
    monkeypatch.setattr(screen, "note", said.append)
    return said


def frozen_at(
    place: str, trunk: nn.ModuleList, data: ImageData, monkeypatch: pytest.MonkeyPatch, frozen: str = "conv1-3"
) -> Layers:
    memory, keep = WHERE[place]
    monkeypatch.setattr(frozen_features, "physical_memory", lambda: memory)
    return freeze(trunk, data, frozen, flip=True, keep_features=keep)


def everything(layers: Layers) -> Iterator[Tensor]:
    """All batches of an epoch, and those that it is validated and tested with."""
    positions = range(0, COUNTS["train"] - BATCH + 1, BATCH)
    yield from (x for _, x in layers.features.batches([layers.drawn(position, 0) for position in positions]))
    for split in ("validation", "test"):
        yield from (x for _, x in layers.features.in_order(split, 512))


def test_features_are_the_same_wherever_they_are(
    trunk: nn.ModuleList, data: ImageData, monkeypatch: pytest.MonkeyPatch, notes: list[str]
) -> None:
    results = {}
    for place in WHERE:
        with frozen_at(place, trunk, data, monkeypatch) as layers:
            results[place] = [*everything(layers)], recognise(layers, epochs=2)
    first, found = results["in memory"]
    for features, other in results.values():
        assert [x.shape for x in features] == [(BATCH, 4, 4, 4)] * 2 + [(257, 4, 4, 4), (40, 4, 4, 4)]
        assert all(torch.equal(x, y) for x, y in zip(features, first, strict=True)), "to the last bit"
        assert other == found
    assert found.top1 > 0.5
    assert "the features of 897 images, mirror images among them, take 0.0 GB, more than 25% of the memory" in notes[0]
    assert notes[0].endswith(f": they are kept on disk meanwhile, in {cache_folder() / 'features'}")
    assert notes[1].endswith("they are computed again for every batch; --keep-features keeps them on disk")
    assert len(notes) == 2, "nothing is said of memory"


@pytest.mark.parametrize("frozen", ["none", "conv1-3"])
@pytest.mark.parametrize("place", WHERE)
def test_heads_see_mirror_images_as_the_encoder_did(
    frozen: str, place: str, trunk: nn.ModuleList, data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly: features of mirrored images, not mirrored features."""

    def drawn(position: int, seed: int) -> Tensor:
        ((_, x),) = layers.features.batches([layers.drawn(position, seed)])
        return x

    with frozen_at(place, trunk, data, monkeypatch, frozen) as layers:
        images = layers.drawn(128, 0)
        fixed = nn.Sequential(*trunk[: 2 if frozen == "conv1-3" else 0]).eval()
        x = data.images(data.split("train")[images.rows])
        with torch.no_grad():
            plain, mirrored = fixed(x), fixed(x.flip(-1))
        features = drawn(128, 0)
        assert images.mirrored is not None
        assert 32 < int(images.mirrored.sum()) < 96
        assert torch.allclose(features[images.mirrored], mirrored[images.mirrored], atol=1e-6)
        assert torch.allclose(features[~images.mirrored], plain[~images.mirrored], atol=1e-6)
        assert not torch.allclose(plain, mirrored, atol=0.1)
        assert torch.equal(drawn(128, 0), features), "a function of the seed and the images seen"
        assert not torch.equal(layers.drawn(128, 1).mirrored, images.mirrored)
        assert not torch.equal(layers.drawn(256, 0).mirrored, images.mirrored)
    assert replace(layers, flip=False).drawn(128, 0).mirrored is None


def test_an_image_is_computed_alike_alone_and_among_others(trunk: nn.ModuleList, data: ImageData) -> None:
    features = Features(nn.Sequential(*trunk).eval(), data, CPU)
    rows = torch.arange(UNIT)
    (_, together), (_, alone) = features.batches([Pick("train", rows), Pick("train", rows[5:6])])
    assert torch.equal(together[5:6], alone)


def test_sizes_decide_where_features_are(
    trunk: nn.ModuleList, data: ImageData, monkeypatch: pytest.MonkeyPatch, notes: list[str]
) -> None:
    layers = nn.Sequential(*trunk[:2]).eval()
    size = 4 * sum(COUNTS.values()) * 4 * 4 * 4

    def place(memory: int, keep: float, flip: bool = False) -> str:
        notes.clear()
        monkeypatch.setattr(frozen_features, "physical_memory", lambda: memory)
        with features_of(layers, data, CPU, silent, flip=flip, keep_gb=keep):
            return notes[0].split(": they are ")[1].split(" ")[0] if notes else "in memory"

    assert place(4 * size, 0) == "in memory"
    assert place(4 * size, 0, flip=True) == "computed"
    assert place(4 * size - 4, 0) == "computed"
    assert place(4 * size - 4, size / 1e9) == "kept"
    assert place(4 * size - 4, (size - 1) / 1e9) == "computed"
    assert place(0, 0) == "in memory", "Windows does not say how much it has"
    layers = nn.Sequential()
    assert place(1, 0) == "in memory", "nothing is frozen, nothing is said"


def test_images_are_read_ahead_and_a_batch_at_a_time(
    trunk: nn.ModuleList, data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Slow(pixels_of(data))
    slow = replace(data, store=store)
    for frozen in ("none", "conv1-3"):
        with frozen_at("computed again", trunk, slow, monkeypatch, frozen) as layers:
            with frozen_at("computed again", trunk, data, monkeypatch, frozen) as quick:
                pairs = zip(everything(layers), everything(quick), strict=True)
                assert all(torch.equal(x, y) for x, y in pairs)
            reads = store.reads[1:]  # the first asks for the shape
            assert [count for count, _ in reads] == [BATCH, BATCH, 257, 40]
            assert all(name.startswith("ahead") for _, name in reads)
            store.reads.clear()


def test_a_disk_that_is_or_becomes_full(
    trunk: nn.ModuleList, data: ImageData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Usage:
        free = 1000

    class Full:
        def seek(self, place: int) -> None: ...
        def close(self) -> None: ...
        def write(self, data: memoryview) -> None:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda folder: Usage)
        with pytest.raises(GenaeError, match="its disk has 0.0 GB left; make room, set GENAE_CACHE"):
            frozen_at("on disk", trunk, data, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", lambda dir: Full())
        with pytest.raises(GenaeError, match="No space left on device; make room"):
            frozen_at("on disk", trunk, data, monkeypatch)
    with frozen_at("on disk", trunk, data, monkeypatch) as layers:
        folder = cache_folder() / "features"
        assert folder.is_dir()
    assert not [*folder.iterdir()]
    with pytest.raises(ValueError, match="closed file"):
        [*layers.features.in_order("test", 8)]
