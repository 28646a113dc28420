"""The cache of decoded pictures: what is decoded again and what is not, and how it stays within its limit."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from PIL import Image

from genae.data import cache, packing, sources
from genae.data.builtin import cache_folder
from genae.data.cache import Fact, cached, key_of
from genae.data.decoded import DecodedStore
from genae.data.packed import PackedStore
from genae.data.raw import Raw
from genae.data.sources import open_data
from genae.data.store import MemoryStore
from genae.data.stream import open_stream
from genae.errors import GenaeError
from genae.progress import Progress, screen

FACTS = [Fact("a.png", 10, 1, 1), Fact("b.png", 20, 2, 2)]
MB = 1_000_000


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said; the cache is empty, and every picture is worth a file in it."""
    said: list[str] = []
    monkeypatch.setattr(screen, "note", said.append)
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "SMALLEST", 1)
    return said


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that are decoded from here on."""
    names: list[str] = []
    picture = DecodedStore.picture

    def listed(store: DecodedStore, name: str) -> torch.Tensor | str:
        names.append(name)
        return picture(store, name)

    monkeypatch.setattr(DecodedStore, "picture", listed)
    return names


def in_cache() -> list[Path]:
    return sorted((cache_folder() / "decoded").glob("*.genae"))


def test_pictures_are_decoded_once(folder_of_images: Path, decoded: list[str], notes: list[str]) -> None:
    first = open_data(folder_of_images)
    assert len(decoded) == 24
    assert isinstance(first.store, PackedStore)
    assert notes == [
        f"{folder_of_images} is decoded once into {in_cache()[0]} (0 MB); --no-cache leaves it out",
    ]
    second = open_data(folder_of_images)
    assert len(decoded) == 24
    assert len(notes) == 1
    assert second.digest == first.digest


def test_what_is_in_the_cache_is_the_data_of_the_folder(
    folder_of_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = open_data(folder_of_images, size=8, channels=1, fit="pad")
    stream = open_stream(folder_of_images, size="8")
    monkeypatch.setattr(MemoryStore, "digest", lambda *_: pytest.fail("known without reading"))
    digests = packed.digest, stream.digest
    monkeypatch.undo()
    memory = open_data(folder_of_images, size=8, channels=1, fit="pad")
    assert isinstance(memory.store, MemoryStore)
    assert digests == (memory.digest, open_stream(folder_of_images, size="8").digest)
    assert packed.describe() == memory.describe()
    assert torch.equal(packed.images(torch.arange(24)), memory.images(torch.arange(24)))


def test_no_cache(folder_of_images: Path, monkeypatch: pytest.MonkeyPatch, notes: list[str]) -> None:
    monkeypatch.setenv("GENAE_CACHE_GB", "0")
    assert isinstance(open_data(folder_of_images).store, MemoryStore)
    monkeypatch.setattr(sources, "physical_memory", lambda: 24 * 12 * 16 * 3 * 2 - 1)
    data = open_data(folder_of_images)
    assert isinstance(data.store, DecodedStore), "more than half of the memory"
    assert data.stored(torch.tensor([23, 0])).shape == (2, 3, 12, 16)
    assert not in_cache()
    assert notes == [f"{folder_of_images} is checked once, and decoded whenever its pictures are needed"]


def test_a_changed_picture_and_other_options_are_decoded_again(folder_of_images: Path, decoded: list[str]) -> None:
    open_data(folder_of_images)
    os.utime(folder_of_images / "cat" / "0.png", ns=(1, 1))
    open_data(folder_of_images)
    assert len(decoded) == 2 * 24
    open_data(folder_of_images, size=8)
    assert len(decoded) == 3 * 24
    assert len(in_cache()) == 3


def test_a_picture_replaced_by_one_of_its_size_and_time_is_decoded_again(folder_of_images: Path) -> None:
    for folder, colour in (("cat", "red"), ("dog", "blue")):
        Image.new("RGB", (16, 12), colour).save(folder_of_images / folder / "0.bmp")
    replaced, other = folder_of_images / "cat" / "0.bmp", folder_of_images / "dog" / "0.bmp"
    old, before = replaced.stat(), open_data(folder_of_images).digest
    replaced.write_bytes(other.read_bytes())
    os.utime(replaced, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert (replaced.stat().st_size, replaced.stat().st_mtime_ns) == (old.st_size, old.st_mtime_ns)
    assert open_data(folder_of_images).digest != before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_picture_that_may_be_read_now_is_not_left_out(folder_of_images: Path, monkeypatch) -> None:
    def read_bytes(path: Path) -> bytes:
        if not path.stat().st_mode & 0o400:  # root may read all
            raise PermissionError(errno.EACCES, "Permission denied")
        with open(path, "rb") as file:
            return file.read()

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    (folder_of_images / "cat" / "0.png").chmod(0)
    assert len(open_data(folder_of_images, skip_bad=True)) == 23
    (folder_of_images / "cat" / "0.png").chmod(0o644)
    assert len(open_data(folder_of_images, skip_bad=True)) == 24


def test_one_folder_by_two_names_is_decoded_once(folder_of_images: Path, decoded: list[str], monkeypatch) -> None:
    open_data(folder_of_images)
    monkeypatch.chdir(folder_of_images)
    open_data(".")
    assert len(decoded) == 24


def test_a_damaged_file_of_the_cache_is_made_again(folder_of_images: Path, decoded: list[str]) -> None:
    digest = open_data(folder_of_images).digest
    os.truncate(in_cache()[0], 5000)
    assert open_data(folder_of_images).digest == digest
    assert len(decoded) == 2 * 24


def test_a_changed_block_of_the_cache_says_what_to_do(folder_of_images: Path) -> None:
    open_data(folder_of_images)
    with open(in_cache()[0], "r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    data = open_data(folder_of_images)
    with pytest.raises(GenaeError, match=r"block 0 \(images 0 to 23\) of .* not what was packed; remove it, and it is"):
        data.stored(torch.arange(2))


def test_unreadable_pictures_are_refused_as_without_a_cache(folder_of_images: Path) -> None:
    content = (folder_of_images / "dog" / "4.png").read_bytes()
    (folder_of_images / "dog" / "4.png").write_bytes(content[:-200])
    with pytest.raises(GenaeError, match=r"1 of 24 files .* dog/4.png .*--skip-bad"):
        open_data(folder_of_images)
    with pytest.raises(GenaeError, match=r"1 of 24 files .* dog/4.png .*repair or remove them"):
        open_stream(folder_of_images)
    assert len(open_data(folder_of_images, skip_bad=True)) == 23


@pytest.mark.parametrize(
    "other",
    [
        ("x", FACTS, {"size": 9}),
        ("x", [FACTS[0], Fact("b.png", 20, 3, 2)], {"size": 8}),
        ("x", [FACTS[0], Fact("b.png", 20, 2, 3)], {"size": 8}),
        ("x", [FACTS[0], Fact("b.png", 21, 2, 2)], {"size": 8}),
        ("x", FACTS[:1], {"size": 8}),
        ("y", FACTS, {"size": 8}),
    ],
)
def test_keys_differ_with_files_and_options(other: tuple) -> None:
    assert key_of("x", FACTS, {"size": 8}) == key_of(os.path.abspath("x"), FACTS, {"size": 8})
    assert key_of(*other) != key_of("x", FACTS, {"size": 8})


def test_keys_differ_with_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of("x", FACTS, {})
    monkeypatch.setattr(cache.version, "VERSION", "100.0")
    assert key_of("x", FACTS, {}) != before


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Raw | None]:
    """``keep("a", 3, at=7)``: a file of 3 MB, used at second 7. The disk has room, the limit is 10 MB."""

    def keep(key: str, size: int, at: int = 0) -> Raw | None:
        raw = Raw(MemoryStore(torch.zeros(size, 1, 1000, 1000, dtype=torch.uint8)))
        source = packing.Packable(raw.store, lambda good: packing.Described(raw, b"", b""), key, key)
        packed = cached(key, key, size * MB, lambda path, _: packing.pack(source, path))
        for file in (cache_folder() / "decoded").glob(f"{key}.*"):
            os.utime(file, (at, at))
        return packed

    monkeypatch.setenv("GENAE_CACHE_GB", "0.01")
    return keep


def test_what_was_not_used_for_longest_makes_room(keep, notes: list[str]) -> None:
    assert all([keep("a", 3, at=30), keep("b", 3, at=10), keep("c", 3, at=20)])
    assert keep("d", 5, at=40)
    assert [file.stem for file in in_cache()] == ["a", "d"], "8 of 10 MB"
    assert keep("e", 11) is None
    assert "e is decoded by every command, because the cache cannot hold it (11.0 MB decoded, and" in notes[-1]
    assert [file.stem for file in in_cache()] == ["a", "d"], "nothing is removed for what has no room"


def test_what_another_process_makes_is_not_removed(keep) -> None:
    assert all([keep("a", 3, at=10), keep("b", 3, at=20), keep("c", 3, at=30)])
    with FileLock(cache_folder() / "decoded" / "a.lock"):
        keep("d", 3, at=40)
    assert [file.stem for file in in_cache()] == ["a", "c", "d"]


def test_half_of_the_free_disk_is_left(keep, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep("a", 3, at=10)
    usage = shutil.disk_usage(".")._replace(free=7 * MB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert keep("b", 5, at=20), "half of 7 MB free and 3 in the cache"
    assert [file.stem for file in in_cache()] == ["b"]
    assert keep("c", 7) is None


def test_a_disk_that_fills_up_meanwhile_is_no_room(notes: list[str]) -> None:
    def make(path: Path, progress: Progress) -> None:
        (path.parent / "a.genae.part").write_bytes(b"half")
        raise packing.NoRoomError("the disk is full")

    assert cached("a", "photos", MB, make) is None
    assert "photos is decoded by every command, because the cache cannot hold it (the disk is full)" in notes[-1]
    assert not list((cache_folder() / "decoded").glob("a.genae*"))


def test_a_file_that_another_process_has_made_meanwhile_is_taken(keep, notes: list[str], monkeypatch) -> None:
    class Waited(FileLock):
        def acquire(self, timeout: float | None = None, **options: object) -> object:
            if timeout == 0:
                monkeypatch.undo()
                monkeypatch.setenv("GENAE_CACHE", str(folder))
                assert keep("a", 1)
                raise cache.Timeout("a.lock")
            return super().acquire(timeout, **options)

    folder = cache_folder()
    monkeypatch.setattr(cache, "FileLock", Waited)
    monkeypatch.setattr(screen, "note", notes.append)
    assert cached("a", "photos", MB, lambda *_: pytest.fail("it is there"))


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_none(text: str, folder_of_images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAE_CACHE_GB", text)
    with pytest.raises(GenaeError, match=f"GENAE_CACHE_GB is '{text}' in the environment; expected gigabytes"):
        open_data(folder_of_images)


def test_a_cache_that_cannot_be_written_is_done_without(folder_of_images: Path, notes: list[str]) -> None:
    cache_folder().write_bytes(b"a file is in the way")
    assert len(open_data(folder_of_images)) == 24
    assert f"the cache cannot hold it (Not a directory: {cache_folder() / 'decoded'}); genae pack" in notes[-1]
