"""Packed files: what they hold, how they are read, and what is said of damaged ones."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from genae.data import packed, packing
from genae.data.packed import PackedStore, open_packed
from genae.data.raw import Raw
from genae.data.store import MemoryStore, Store
from genae.errors import GenaeError

COUNT = 50
ABOUT = {
    "labels": torch.arange(COUNT) % 3,
    "classes": ("a", "b", "c"),
    "names": tuple(f"{i}.png" for i in range(COUNT)),
    "splits": {"train": torch.arange(40), "test": torch.arange(40, COUNT)},
    "attributes": {"old": torch.arange(COUNT) > 7},
    "notes": ("found",),
    "conversions": ("converted",),
    "format": "jpeg-q75",
    "resize": "none",
    "value_range": (0.0, 255.0),
}


def pixels_of(kind: str = "uint8", shape: tuple[int, int, int] = (3, 8, 8)) -> torch.Tensor:
    pixels = torch.randint(256, (COUNT, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return {"uint8": pixels, "uint16": pixels.float() * 257, "float32": pixels.float() / 3}[kind]


@pytest.fixture
def pack_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PackedStore]:
    """Pack pixels in blocks of 800 bytes: 4 images of 3 x 8 x 8."""

    def pack(pixels: torch.Tensor, **options: bool) -> PackedStore:
        monkeypatch.setattr(packed, "BLOCK", 800)
        raw = Raw(MemoryStore(pixels), **ABOUT)
        source = packing.Packable(raw.store, lambda good: packing.Described(raw, b"before", b"after"), "", "", True)
        packing.pack(source, tmp_path / "x.genae", force=True, **options)
        store = open_packed(tmp_path / "x.genae").store
        assert isinstance(store, PackedStore)
        return store

    return pack


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_any_images_are_read_in_any_order_as_they_were(kind: str, pack_pixels) -> None:
    pixels = pixels_of(kind)
    store = pack_pixels(pixels)
    assert store.layout.kind == kind
    assert (len(store), store.shape, store.dtype, store.levels) == (COUNT, (3, 8, 8), pixels.dtype, 0)
    for numbers in ([0], [49, 3, 4, 5, 5, 5, 6, 0, 1], [], list(range(COUNT)), list(range(COUNT))[::-1]):
        indices = torch.tensor(numbers, dtype=torch.int64)
        assert torch.equal(store.read(indices), pixels[indices])
    assert store.range() == (float(pixels.min()), float(pixels.max()))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_the_digest_is_that_of_the_images_in_memory(kind: str, pack_pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, store = MemoryStore(pixels_of(kind)), pack_pixels(pixels_of(kind))
    memory_digest = memory.digest(b"other", b"frame")
    assert store.digest(b"other", b"frame") == memory_digest
    monkeypatch.setattr(Store, "hashed", lambda *_: pytest.fail("it is known without reading"))
    assert store.digest(b"other", b"frame") == memory_digest, "remembered"
    sha = hashlib.sha256(b"before" + pixels_of(kind).numpy().tobytes() + b"after")
    assert store.digest(b"before", b"after") == sha.hexdigest()[:16]


def test_everything_known_about_the_images_comes_back(pack_pixels, tmp_path: Path) -> None:
    pack_pixels(pixels_of())
    raw = open_packed(tmp_path / "x.genae")
    for name, value in ABOUT.items():
        if isinstance(value, dict):
            assert value.keys() == getattr(raw, name).keys()
            assert all(torch.equal(value[key], getattr(raw, name)[key]) for key in value)
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(raw, name))
        else:
            assert getattr(raw, name) == value, name


def test_the_sources_own_splits_take_room_only_where_they_differ(tmp_path: Path) -> None:
    kept = {"train": torch.arange(36), "test": torch.arange(40, COUNT), "validation": torch.arange(36, 40)}
    own = {"train": torch.arange(40), "test": torch.arange(40, COUNT)}
    for name, splits in {"held": own, "none": {}, "all": kept}.items():
        raw = Raw(MemoryStore(pixels_of()), splits=kept, own_splits=splits)
        source = packing.Packable(raw.store, lambda good, raw=raw: packing.Described(raw, b"", b""), "", "")
        packing.pack(source, tmp_path / f"{name}.genae")
        again = open_packed(tmp_path / f"{name}.genae")
        assert list(again.splits) == list(kept)
        assert list(again.official) == list(splits), name
        assert all(torch.equal(again.official[split], members) for split, members in splits.items())
        held = [tensor for tensor in load_file(tmp_path / f"{name}.genae") if tensor.startswith("own/")]
        assert held == (["own/train"] if name == "held" else [])
    assert open_packed(tmp_path / "all.genae").own_splits is None
    assert b"own" not in (tmp_path / "all.genae").read_bytes()[:4096]


def test_other_programs_read_it_as_safetensors(pack_pixels, tmp_path: Path) -> None:
    pixels = pixels_of()
    pack_pixels(pixels, levels=True)
    arrays = load_file(tmp_path / "x.genae")
    assert np.array_equal(arrays["images"], pixels.numpy())
    assert arrays["images/4x4"].shape == (COUNT, 3, 4, 4)
    assert np.array_equal(arrays["labels"], ABOUT["labels"].numpy())
    assert json.loads(arrays["texts"].tobytes())["classes"] == ["a", "b", "c"]


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_halved_images_are_means_of_the_full_size_rounded_once(kind: str, pack_pixels) -> None:
    pixels = pixels_of(kind, (2, 32, 16))
    store = pack_pixels(pixels, levels=True)
    assert store.levels == 2, "32 x 16 -> 16 x 8 -> 8 x 4"
    for level in (1, 2):
        means = torch.nn.functional.avg_pool2d(pixels.double(), 2**level)
        expected = means.float() if kind == "float32" else means.round().to(pixels.dtype)
        assert torch.equal(store.read(torch.tensor([7, 8, 3]), level), expected[[7, 8, 3]])


def test_halves_are_rounded_to_even() -> None:
    rows = np.array([[0, 1, 1, 2], [1, 0, 2, 1]], np.uint8).reshape(1, 1, 2, 4)
    assert next(packing.halved(rows, 1)).tolist() == [[[[0, 2]]]], "0.5 -> 0, 1.5 -> 2"


def test_levels_end_at_an_odd_side_and_at_four_pixels() -> None:
    assert [packed.levels_of((3, *sides)) for sides in ((64, 64), (1024, 1024), (12, 12), (28, 28), (7, 8))] == [
        4, 8, 1, 2, 0,
    ]  # fmt: skip


@pytest.mark.parametrize("lacking", ["", "posix_fadvise", "preadv"])
def test_each_way_of_reading_gives_the_same(lacking: str, pack_pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = pixels_of()
    store = pack_pixels(pixels)
    monkeypatch.setattr(packed, "PIECE", 100)  # a row is hashed in two
    if lacking:
        monkeypatch.delattr(os, lacking)
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(store.read, order.split(7)))
    assert torch.equal(torch.cat(read), pixels[order])


def change(path: Path, place: int, value: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(place, os.SEEK_SET if place >= 0 else os.SEEK_END)
        file.write(value)


def test_a_changed_block_is_named_before_the_images_were_read_once(pack_pixels, tmp_path: Path) -> None:
    store = pack_pixels(pixels_of())
    change(tmp_path / "x.genae", store._start + 21 * 192 + 5, b"x")  # image 21
    called = r"block 5 \(images 20 to 23\) of .*x.genae is not what was packed; pack it again"
    store = open_packed(tmp_path / "x.genae").store
    for image in range(19):
        store.read(torch.tensor([image % 3]))
    with pytest.raises(GenaeError, match=called):
        store.read(torch.arange(4))
    with pytest.raises(GenaeError, match=called):
        store.read(torch.arange(1))
    with pytest.raises(GenaeError, match=called):
        open_packed(tmp_path / "x.genae").store.check()


def test_each_block_is_checked_once(pack_pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    store, checked = pack_pixels(pixels_of(), levels=True), []
    monkeypatch.setattr(PackedStore, "_error_of", lambda self, *block: checked.append(block))
    for image in range(2 * COUNT):
        store.read(torch.tensor([image % COUNT]))
    assert checked == [(0, block) for block in range(13)]
    store.read(torch.arange(20), 1)
    assert checked[13:] == [(1, 0), (1, 1)], "blocks of 16 images at 4 x 4"


def test_a_changed_block_of_halved_images_is_named_with_its_size(pack_pixels, tmp_path: Path) -> None:
    store = pack_pixels(pixels_of(), levels=True)
    change(tmp_path / "x.genae", store._start + store.layout.start(1) + 48 * 20, b"xx")
    with pytest.raises(GenaeError, match=r"block 1 \(images 16 to 31 at 4x4\) of .* is not what was packed"):
        open_packed(tmp_path / "x.genae").store.check()


def test_an_intact_file_passes_its_check(pack_pixels) -> None:
    reports = []
    assert pack_pixels(pixels_of(), levels=True).check(lambda *report: reports.append(report[1:])) == 13 + 4
    assert reports[-1] == (17, 17)


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def rewrite(path: Path, old: str, new: str) -> None:
    assert len(old) == len(new)
    content = path.read_bytes()
    assert content.count(old.encode()) == 1
    path.write_bytes(content.replace(old.encode(), new.encode()))


BAD = {
    "empty": (cut(0), "is cut: it has 0 bytes"),
    "in its header": (cut(1000), "is cut: it has 1,000 bytes, which is less than its header"),
    "in its images": (cut(4096 + 192 * 17), r"is cut: .* block 4 \(images 16 to 19\) is the first that is missing"),
    "before its images": (cut(4096), r"block 0 \(images 0 to 3\) is the first that is missing"),
    "at its end": (cut(4096 + 12288 + 100), "what lies behind the images is the first that is missing"),
    "longer": (lambda path: path.open("ab").write(b"more"), "has 4 bytes more than were packed"),
    "a text": (lambda path: path.write_bytes(b"just a text, long enough"), "is no packed file of genae"),
    "foreign": (lambda path: save_file({"images": np.zeros(3)}, path), "is a safetensors file without packed images"),
    "newer": (lambda path: rewrite(path, '"version":"1"', '"version":"2"'), "has version 2 .* reads version 1: update"),
    "other shapes": (lambda path: rewrite(path, '"shape":[50,3,8,8]', '"shape":[50,3,8,9]'), "header .* is damaged"),
    "other counts": (lambda path: rewrite(path, r'{\"count\": 50', r'{\"count\": 60'), "header .* is damaged"),
    "other texts": (lambda path: rewrite(path, '"jpeg-q75"', '"jpeg-q95"'), "labels, names or splits .* not what was"),
    "other range": (lambda path: rewrite(path, '"range":"[0.0,', '"range":"[1.0,'), "labels, names or splits"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_file_is_refused_in_one_sentence(name: str, pack_pixels, tmp_path: Path) -> None:
    damage, message = BAD[name]
    assert pack_pixels(pixels_of())._start == 4096
    damage(tmp_path / "x.genae")
    with pytest.raises(GenaeError, match=rf"x\.genae.*{message}|{message}") as error:
        open_packed(tmp_path / "x.genae")
    assert "\n" not in str(error.value)
    assert str(error.value).count(". ") == 0


def test_a_folder_is_no_packed_file(tmp_path: Path) -> None:
    (tmp_path / "x.genae").mkdir()
    with pytest.raises(GenaeError, match="cannot be read"):
        open_packed(tmp_path / "x.genae")


def test_a_file_that_is_cut_while_it_is_open_is_named(pack_pixels, tmp_path: Path) -> None:
    store = pack_pixels(pixels_of())
    os.truncate(tmp_path / "x.genae", 4096 + 192 * 30)
    with pytest.raises(GenaeError, match=r"x.genae is cut at block 8 \(images 32 to 35\); pack it again"):
        store.read(torch.tensor([33]))
