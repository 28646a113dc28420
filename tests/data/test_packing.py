"""Packing: what an interruption leaves, what bad files do, full disks, and packers that meet."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import genae as package
from genae import storage
from genae.data import packed, packing
from genae.data.decoded import DecodedStore
from genae.data.packed import open_packed
from genae.data.packing import beside, pack
from genae.data.raw import Raw
from genae.data.sources import open_data
from genae.data.store import MemoryStore
from genae.errors import GenaeError
from genae.progress import screen

COUNT = 40
BAD = {3: "cut", 21: "not a picture", 39: "cut"}


class Pictures(MemoryStore):
    """Random pixels [40, 3, 8, 8] that remember where reading began, and may be interrupted or unreadable."""

    in_memory = False

    def __init__(self, stop: int = COUNT, bad: dict[int, str] | None = None) -> None:
        generator = torch.Generator().manual_seed(0)
        super().__init__(torch.randint(256, (COUNT, 3, 8, 8), generator=generator, dtype=torch.uint8))
        self.stop, self.bad = stop, bad or {}
        self.begun: list[int] = []

    def rows(self, start: int = 0) -> Iterator[Tensor | str]:
        self.begun.append(start)
        for number in range(start, COUNT):
            if number == self.stop:
                raise KeyboardInterrupt
            yield self.bad.get(number, self._pixels[0][number])

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        if {*indices.tolist()} & self.bad.keys():
            raise GenaeError("unreadable")
        return super().read(indices, halvings)


def packable(store: MemoryStore, identity: str = "same", integers: bool = False) -> packing.Packable:
    raw = Raw(store, labels=torch.arange(COUNT) % 2, classes=("a", "b"), names=tuple(f"{i}.png" for i in range(COUNT)))

    def describe(good: Tensor) -> packing.Described:
        return packing.Described(raw.subset(good), f"{len(good)}".encode(), b"after")

    return packing.Packable(store, describe, identity, "pictures", integers)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 4 images, each flushed at once."""
    monkeypatch.setattr(packed, "BLOCK", 800)
    monkeypatch.setattr(packing, "COMMIT_BYTES", 1)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(screen, "note", said.append)
    return said


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "x.genae"


@pytest.fixture
def uninterrupted(tmp_path: Path) -> bytes:
    """The bytes of a file that was packed at once, with levels."""
    pack(packable(Pictures()), tmp_path / "whole.genae", levels=True)
    content = (tmp_path / "whole.genae").read_bytes()
    (tmp_path / "whole.genae").unlink()
    return content


def interrupt(out: Path, stop: int = 22, bad: dict[int, str] | None = None) -> None:
    with pytest.raises(KeyboardInterrupt):
        pack(packable(Pictures(stop, bad)), out, levels=True)
    assert sorted(path.name for path in out.parent.iterdir()) == ["x.genae.journal", "x.genae.part"]


def test_what_was_interrupted_goes_on_and_gives_the_same_bytes(out: Path, uninterrupted: bytes) -> None:
    interrupt(out)
    store = Pictures()
    pack(packable(store), out, levels=True)
    assert store.begun == [20], "behind five whole blocks of 4"
    assert out.read_bytes() == uninterrupted
    assert [path.name for path in out.parent.iterdir()] == ["x.genae"], "nothing is left beside it"


def test_what_is_packed_stays_when_its_check_is_interrupted(
    out: Path, uninterrupted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise KeyboardInterrupt

    interrupt(out)
    with monkeypatch.context() as patch:
        patch.setattr(storage.PlacedFile, "fill", fill)
        with pytest.raises(KeyboardInterrupt):
            pack(packable(Pictures()), out, levels=True)
    store = Pictures()
    pack(packable(store), out, levels=True)
    assert store.begun == [20]
    assert out.read_bytes() == uninterrupted


@pytest.mark.parametrize(("place", "begins"), [(0, 0), (5, 4), (19, 16)])
def test_a_block_that_is_not_what_the_journal_says_is_packed_again(
    place: int, begins: int, out: Path, uninterrupted: bytes
) -> None:
    interrupt(out)
    header = json.loads(beside(out, "journal").read_text(encoding="utf-8").splitlines()[0])["header"]
    with open(beside(out, "part"), "r+b") as file:
        file.seek(header + 192 * place)
        file.write(b"changed")
    store = Pictures()
    pack(packable(store), out, levels=True)
    assert store.begun == [begins]
    assert out.read_bytes() == uninterrupted


@pytest.mark.parametrize("lost", [5, 200, 10**6])
def test_a_journal_that_was_cut_short_is_believed_as_far_as_it_goes(lost: int, out: Path, uninterrupted: bytes) -> None:
    interrupt(out)
    content = beside(out, "journal").read_bytes()
    beside(out, "journal").write_bytes(content[: max(0, len(content) - lost)])
    interrupt(out, 31)
    store = Pictures()
    pack(packable(store), out, levels=True)
    assert store.begun == [28], "what the second start has added is read, too"
    assert out.read_bytes() == uninterrupted


def test_a_journal_without_one_of_its_lines_is_believed_up_to_there(out: Path, uninterrupted: bytes) -> None:
    interrupt(out)
    lines = beside(out, "journal").read_bytes().splitlines(keepends=True)
    beside(out, "journal").write_bytes(b"".join(lines[:3] + lines[4:]))
    store = Pictures()
    pack(packable(store), out, levels=True)
    assert store.begun == [8], "behind two blocks"
    assert out.read_bytes() == uninterrupted


def test_ctrl_c_keeps_what_was_not_flushed_yet(out: Path, uninterrupted: bytes, monkeypatch) -> None:
    monkeypatch.setattr(packing, "COMMIT_BYTES", 10**9)
    monkeypatch.setattr(packing, "COMMIT_SECONDS", 10**9)
    interrupt(out)
    store = Pictures()
    pack(packable(store), out, levels=True)
    assert store.begun == [20]
    assert out.read_bytes() == uninterrupted


def test_another_source_is_begun_anew_and_said(out: Path, uninterrupted: bytes, notes: list[str]) -> None:
    interrupt(out)
    store = Pictures()
    pack(packable(store, "changed"), out, levels=True)
    assert store.begun == [0]
    assert out.read_bytes() == uninterrupted
    assert notes == [f"{out}.part was begun from other images or with other settings; it is begun anew"]


def test_as_many_pictures_of_other_names_are_begun_anew(out: Path, notes: list[str]) -> None:
    """As where the header of one was unreadable at first, and that of another is now."""
    interrupt(out)
    store = Pictures()
    other = packable(store)

    def describe(good: Tensor) -> packing.Described:
        described = other.describe(good)
        return described._replace(raw=replace(described.raw, names=("x.png", *described.raw.names[1:])))

    pack(other._replace(describe=describe), out, levels=True)
    assert store.begun == [0]
    assert notes == [f"{out}.part was begun from other images or with other settings; it is begun anew"]


def test_levels_wanted_later_are_made_anew(out: Path, uninterrupted: bytes, notes: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        pack(packable(Pictures(22)), out)
    pack(packable(Pictures()), out, levels=True)
    assert out.read_bytes() == uninterrupted
    assert len(notes) == 1


def test_unreadable_files_are_refused_together_and_left_out_without_packing_again(out: Path) -> None:
    with pytest.raises(GenaeError, match=r"3 of 40 files in pictures are unreadable: 3.png \(cut\); 21.png .*skip-bad"):
        pack(packable(Pictures(bad=BAD)), out)
    store = Pictures(bad=BAD)
    pack(packable(store), out, skip_bad=True)
    assert store.begun == [38], "behind nine whole blocks"
    raw, good = open_packed(out), torch.tensor([i for i in range(COUNT) if i not in BAD])
    assert torch.equal(raw.store.read(torch.arange(37)), Pictures().read(good))
    assert raw.names == tuple(f"{i}.png" for i in good.tolist())
    assert raw.labels is not None
    assert torch.equal(raw.labels, good % 2)
    assert raw.notes == ("3 unreadable files skipped: 3.png (cut), 21.png (not a picture), 39.png (cut)",)
    assert raw.store.digest(b"37", b"after") == MemoryStore(Pictures().read(good)).digest(b"37", b"after")


def test_leaving_files_out_gives_the_same_bytes_after_an_interruption(out: Path, tmp_path: Path) -> None:
    pack(packable(Pictures(bad=BAD)), tmp_path / "whole.genae", skip_bad=True, levels=True)
    content = (tmp_path / "whole.genae").read_bytes()
    (tmp_path / "whole.genae").unlink()
    interrupt(out, bad=BAD)
    pack(packable(Pictures(bad=BAD)), out, skip_bad=True, levels=True)
    assert out.read_bytes() == content
    assert open_packed(out).store.check() == 10 + 3  # type: ignore[attr-defined]


def test_a_repaired_file_is_read_again(out: Path, uninterrupted: bytes) -> None:
    with pytest.raises(GenaeError, match="1 of 40 files"):
        pack(packable(Pictures(bad={21: "no permission"})), out, levels=True)
    store = Pictures()
    pack(packable(store), out, levels=True)
    assert store.begun == [20]
    assert out.read_bytes() == uninterrupted


def test_all_unreadable(out: Path) -> None:
    with pytest.raises(GenaeError, match="none of the 40 files in pictures is a readable image"):
        pack(packable(Pictures(bad=dict.fromkeys(range(COUNT), "cut"))), out, skip_bad=True)


def test_values_of_16_bits_that_are_not_whole_are_kept_as_floats(out: Path) -> None:
    pixels = Pictures().read(torch.arange(COUNT)).float() * 257
    pixels[30, 0, 0, 0] = 0.5
    assert pack(packable(MemoryStore(pixels), integers=True), out).kind == "float32"
    assert torch.equal(open_packed(out).store.read(torch.arange(COUNT)), pixels)


def test_a_disk_without_room_is_refused_before_packing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(out.parent)._replace(free=5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    big = MemoryStore(torch.zeros(COUNT, 3, 300, 300, dtype=torch.uint8))
    with pytest.raises(GenaeError, match=r"x.genae needs 0.01 GB more, and its disk has 0.01 GB free"):
        pack(packable(big), out)
    assert not list(out.parent.iterdir())


def test_a_disk_that_fills_up_keeps_what_was_packed(
    out: Path, uninterrupted: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, offset: int | None, memory: memoryview) -> None:
        if offset is not None and offset > 4096 + 192 * 22:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, offset, memory)  # type: ignore[arg-type]

    write = packing._write
    with monkeypatch.context() as patch:
        patch.setattr(packing, "_write", full)
        with pytest.raises(GenaeError, match=r"is full after 24 of 40 images; make room and give the same command"):
            pack(packable(Pictures()), out)
    store = Pictures()
    pack(packable(store), out)
    assert store.begun == [24]


def test_a_second_packer_is_refused_by_the_number_of_the_first(out: Path) -> None:
    class Meeting(Pictures):
        def rows(self, start: int = 0) -> Iterator[Tensor | str]:
            with pytest.raises(GenaeError, match=rf"x.genae is being packed by process {os.getpid()}; wait for it"):
                pack(packable(Pictures()), out)
            return super().rows(start)

    pack(packable(Meeting()), out)
    assert out.exists()


def test_names_that_are_refused(out: Path, tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match=r"x.zip'; expected a name that ends in .genae"):
        pack(packable(Pictures()), tmp_path / "x.zip")
    pack(packable(Pictures()), out)
    before = out.read_bytes()
    with pytest.raises(GenaeError, match=r"x.genae is already there; choose another --out, or replace it with --force"):
        pack(packable(Pictures()), out)
    pack(packable(Pictures()), out, force=True, levels=True)
    assert out.read_bytes() != before
    (tmp_path / "y.genae").mkdir()
    with pytest.raises(GenaeError, match=r"y.genae is already there; choose another --out$"):
        pack(packable(Pictures()), tmp_path / "y.genae", force=True)


def test_progress_goes_up_to_the_end(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "SHOWN_EVERY", 0)
    interrupt(out)
    reports: list[tuple[str, int, int]] = []
    pack(packable(Pictures()), out, levels=True, progress=lambda *report: reports.append(report))
    assert reports[:5] == [("checking what is packed", read, COUNT) for read in (4, 8, 12, 16, 20)]
    assert [done for message, done, _ in reports if message == "packing"] == [*range(21, 41), 40]


# --- a folder of pictures ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(folder_of_images: Path) -> Path:
    """Two classes of 12 pictures, one of them of another size."""
    Image.fromarray(np.zeros((30, 20, 3), np.uint8)).save(folder_of_images / "cat" / "3.png")
    return folder_of_images


@pytest.mark.parametrize(
    "options", [{"size": 8}, {"size": "8x12", "fit": "pad", "channels": 1}, {"size": 8, "value_range": (0, 200)}]
)
def test_a_packed_folder_is_the_data_of_the_folder(options: dict, folder: Path) -> None:
    data = package.pack(folder, folder / "x.genae", **options)
    source = open_data(folder, **options)
    assert data.digest == source.digest
    assert data.digest == packed.Store.digest(data.store, *data.digest_frame()), "which was not only written down"
    for name in ("low", "high", "classes", "names", "format", "resize", "conversions"):
        assert getattr(data, name) == getattr(source, name)
    assert {*data.describe()} == {*source.describe()}
    assert torch.equal(data.images(torch.arange(24)), source.images(torch.arange(24)))


def test_a_packed_file_is_opened_at_another_size_and_packed_again(folder: Path, tmp_path: Path) -> None:
    package.pack(folder, tmp_path / "x.genae", size=8)
    small = open_data(tmp_path / "x.genae", size=4, channels=1)
    assert small.image_shape == (1, 4, 4)
    again = package.pack(tmp_path / "x.genae", tmp_path / "y.genae", size=4, channels=1)
    assert again.digest == small.digest


def test_attributes_and_missing_rows(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    names = [f"{label}/{i}.png" for label in ("cat", "dog") for i in range(12)]
    table.write_text("name,old\n" + "\n".join(f"{name},{int('1' in name)}" for name in names[2:]), encoding="utf-8")
    data = package.pack(folder, tmp_path / "x.genae", size=8, attributes=table, skip_bad=True)
    source = open_data(folder, size=8, attributes=table, skip_bad=True)
    assert len(data) == len(source) == 22
    assert data.digest == source.digest
    assert torch.equal(data.attributes["old"], source.attributes["old"])


@pytest.mark.parametrize("threads", [1, 5])
def test_bytes_do_not_depend_on_threads(threads: int, folder: Path, tmp_path: Path, monkeypatch) -> None:
    package.pack(folder, tmp_path / "x.genae", size=8)
    monkeypatch.setattr(os, "cpu_count", lambda: threads)
    package.pack(folder, tmp_path / "y.genae", size=8)
    assert (tmp_path / "x.genae").read_bytes() == (tmp_path / "y.genae").read_bytes()


def test_unreadable_pictures_of_a_folder(folder: Path, tmp_path: Path) -> None:
    content = (folder / "dog" / "4.png").read_bytes()
    (folder / "dog" / "4.png").write_bytes(content[:-200])  # its header is there
    with pytest.raises(GenaeError, match="1 of 24 files .* are unreadable: dog/4.png"):
        package.pack(folder, tmp_path / "x.genae", size=8)
    data = package.pack(folder, tmp_path / "x.genae", size=8, skip_bad=True)
    source = open_data(folder, size=8, skip_bad=True)
    assert data.digest == source.digest
    assert {*data.describe()} == {*source.describe()}


def test_a_changed_picture_begins_anew(folder: Path, tmp_path: Path, monkeypatch, notes: list[str]) -> None:
    rows = DecodedStore.rows

    def stopped(store: DecodedStore, start: int = 0) -> Iterator[Tensor | str]:
        for number, row in enumerate(rows(store, start)):
            if number == 15:
                raise KeyboardInterrupt
            yield row

    with monkeypatch.context() as patch:
        patch.setattr(DecodedStore, "rows", stopped)
        with pytest.raises(KeyboardInterrupt):
            package.pack(folder, tmp_path / "x.genae", size=8)
    Image.fromarray(np.zeros((30, 20, 3), np.uint8)).save(folder / "cat" / "0.png")
    data = package.pack(folder, tmp_path / "x.genae", size=8)
    assert data.digest == open_data(folder, size=8).digest
    assert len(notes) == 1


# --- a process that is killed ------------------------------------------------------------------------------------

SLOW = """
import sys, time
from genae.data import packed, packing
from genae.data.decoded import DecodedStore
import genae

packed.BLOCK, packing.COMMIT_BYTES = 800, 1
rows = DecodedStore.rows
def slow(store, start=0):
    for row in rows(store, start):
        time.sleep(0.2)
        yield row
DecodedStore.rows = slow
genae.pack(sys.argv[1], sys.argv[2], size=8, levels=True)
"""


def test_a_killed_packer_goes_on_and_gives_the_same_bytes(folder: Path, tmp_path: Path, monkeypatch) -> None:
    package.pack(folder, tmp_path / "whole.genae", size=8, levels=True)
    out, begun, rows = tmp_path / "x.genae", [], DecodedStore.rows
    killed = subprocess.Popen([sys.executable, "-c", SLOW, str(folder), str(out)])
    while not beside(out, "journal").exists() or beside(out, "journal").read_bytes().count(b"\n") < 3:
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not out.exists()
    monkeypatch.setattr(DecodedStore, "rows", lambda store, start: [begun.append(start), rows(store, start)][1])
    package.pack(folder, out, size=8, levels=True)
    assert begun[0] >= 8, "it has not begun anew"
    assert out.read_bytes() == (tmp_path / "whole.genae").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("x.*")) == ["x.genae"], "the lock of the killed one has gone, too"


def test_a_wrong_source_leaves_no_folder_and_a_wrong_name_is_refused(folder_of_images: Path, tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match="no data at"):
        package.pack("nowhere", tmp_path / "new" / "x.genae")
    assert not (tmp_path / "new").exists()
    with pytest.raises(GenaeError, match="cannot be a path: File name too long"):
        package.pack(folder_of_images, tmp_path / f"{'x' * 300}.genae")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(GenaeError, match="file cannot be a folder for x.genae"):
        package.pack(folder_of_images, tmp_path / "file" / "x.genae", progress=lambda *_: pytest.fail("too late"))
