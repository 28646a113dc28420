"""Stores: the same images and the same digest, wherever the pixels are."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genae.data import arrays, sources
from genae.data.decoded import DecodedStore
from genae.data.remembered import remembered
from genae.data.sources import open_data
from genae.data.store import MemoryStore, PreparedStore, SubsetStore
from genae.errors import GenaeError
from tests.reading import pixels_of


@pytest.fixture
def read_counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures are decoded, in a machine whose memory and cache have no room for any."""
    counts: list[int] = []
    decode = DecodedStore.picture

    def counted(store: DecodedStore, name: str) -> object:
        counts.append(1)
        return decode(store, name)

    monkeypatch.setattr(DecodedStore, "picture", counted)
    monkeypatch.setattr(sources, "physical_memory", lambda: 1)
    return counts


def test_pictures_without_room_are_decoded_when_asked_for(folder_of_images: Path, read_counts: list[int]) -> None:
    data = open_data(str(folder_of_images), size=8)
    assert isinstance(data.store, DecodedStore)
    assert not read_counts
    digest = data.digest
    assert len(read_counts) == 24
    assert torch.equal(data.stored(torch.tensor([3, 0])), pixels_of(data)[[3, 0]])
    del read_counts[:]
    assert open_data(str(folder_of_images), size=8).digest == digest
    assert not read_counts, "what is known of files is remembered"
    in_memory = sources.replace(data, store=MemoryStore(pixels_of(data)))
    assert in_memory.digest == digest


def test_a_fact_that_is_being_written_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path))
    assert remembered("key", lambda: "a") == remembered("key", lambda: "b") == "a"
    (file,) = (tmp_path / "facts").iterdir()
    file.write_bytes(b"")
    assert remembered("key", lambda: "c") == "c"


def test_a_changed_file_is_read_again(folder_of_images: Path, read_counts: list[int]) -> None:
    digest = open_data(str(folder_of_images)).digest
    Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(folder_of_images / "cat" / "0.png")
    assert open_data(str(folder_of_images)).digest != digest


def test_all_damaged_pictures_are_named_before_they_are_needed(folder_of_images: Path, read_counts: list[int]) -> None:
    for name in ("cat/3.png", "dog/1.png"):
        file = folder_of_images / name
        file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(GenaeError, match=r"2 of 24 files .* cat/3.png .*; dog/1.png .*genae pack --skip-bad"):
        _ = open_data(str(folder_of_images)).digest


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_a_mapped_array_is_that_in_memory(
    dtype: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_counts: list[int]
) -> None:
    values = np.random.default_rng(0).uniform(0, 200, (9, 6, 5, 3)).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    whole = open_data(tmp_path / "a.npy", size=4)
    monkeypatch.setattr(arrays, "MAPPED", 1)
    mapped = open_data(tmp_path / "a.npy", size=4)
    assert whole.store.in_memory
    assert not mapped.store.in_memory
    assert torch.equal(pixels_of(mapped), pixels_of(whole))
    assert (mapped.digest, mapped.low, mapped.high) == (whole.digest, whole.low, whole.high)
    values[2] = 1
    np.save(tmp_path / "a.npy", values)
    assert open_data(tmp_path / "a.npy", size=4).digest != whole.digest


def test_a_mapped_array_that_is_cut_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAPPED", 1)
    np.save(tmp_path / "a.npy", np.zeros((100, 64, 64, 3), np.uint8))
    data = open_data(tmp_path / "a.npy")
    os.truncate(tmp_path / "a.npy", 5000)  # a process that looks at a map of it is ended by the system
    with pytest.raises(GenaeError, match=r"a\.npy was changed while it was read: it is cut"):
        data.images(torch.tensor([99]))


def test_nan_in_a_mapped_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAPPED", 1)
    values = np.zeros((9, 6, 5), np.float32)
    values[4, 0, 0] = np.nan
    np.save(tmp_path / "a.npy", values)
    for _ in range(2):
        with pytest.raises(GenaeError, match=r"1 images hold NaN or infinite values \(the first is number 4\)"):
            open_data(tmp_path / "a.npy")


def test_subsets_and_prepared_images(pictures: Callable[..., Path]) -> None:
    pixels = torch.arange(5 * 3 * 8 * 8, dtype=torch.uint8).reshape(5, 3, 8, 8)
    store = MemoryStore(pixels)
    some = SubsetStore(store, torch.tensor([4, 1, 1]))
    assert torch.equal(some.read(torch.tensor([2, 0])), pixels[[1, 4]])
    grey = PreparedStore(some, (4, 4), "crop", 1, black=0, white=255)
    assert grey.read(torch.arange(3)).shape == (3, 1, 4, 4)
    assert (len(grey), grey.shape, grey.nbytes) == (3, (1, 4, 4), 48)
    assert store.range() == (0, 255)
