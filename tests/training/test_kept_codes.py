"""Codes in a run's ``codes/``: whole or not there, and gone on with."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from torch import Tensor

from genae.errors import GenaeError
from genae.rows import header_of
from genae.storage import FileRows
from genae.training import kept_codes as module
from genae.training.kept_codes import kept_codes

ROWS = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))


class Stopped(Exception):  # noqa: N818
    pass


def encoder(starts: list[int], stop_at: int = 1000):
    def make(start: int) -> Iterator[Tensor]:
        starts.append(start)
        for first in range(start, 100, 10):
            if first >= stop_at:
                raise Stopped
            yield ROWS[first : first + 10]

    return make


def kept(path: Path, starts: list[int], stop_at: int = 1000) -> FileRows:
    return kept_codes(path, (100, 3), encoder(starts, stop_at))


def test_codes_are_written_once(tmp_path: Path) -> None:
    path, starts = tmp_path / "codes" / "a.npy", list[int]()
    assert torch.equal(kept(path, starts)[:], ROWS)
    assert torch.equal(kept(path, starts)[:], ROWS)
    assert starts == [0]
    assert [file.name for file in path.parent.iterdir()] == ["a.npy"]


@pytest.mark.parametrize("flush_every", [0.0, 1000.0])
def test_an_interrupted_encoding_goes_on_after_what_is_on_the_disk_for_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flush_every: float
) -> None:
    monkeypatch.setattr(module, "FLUSH_EVERY", flush_every)
    path, starts = tmp_path / "a.npy", list[int]()
    with pytest.raises(Stopped):
        kept(path, starts, stop_at=40)
    assert not path.exists()
    assert len(list(tmp_path.glob("*.part"))) == 1
    assert torch.equal(kept(path, starts)[:], ROWS)
    assert starts == [0, 0 if flush_every else 40]
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]


def test_what_is_behind_the_flushed_rows_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_EVERY", 0.0)
    path, starts = tmp_path / "a.npy", list[int]()
    with pytest.raises(Stopped):
        kept(path, starts, stop_at=40)
    with open(tmp_path / "a.npy.40.part", "ab") as file:  # as after a loss of power
        file.write(b"\0" * 500)
    (tmp_path / "a.npy.20.part").write_bytes(b"older")
    assert torch.equal(kept(path, starts)[:], ROWS)
    assert starts == [0, 40]
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]
    for damaged in (header_of((100, 3)) + bytes(12), header_of((100, 4)) + bytes(1000)):
        path.unlink()
        (tmp_path / "a.npy.50.part").write_bytes(damaged)
        assert torch.equal(kept(path, starts)[:], ROWS)
        assert starts.pop() == 0, "what is too short for its name, or of another shape, is begun anew"


def test_what_was_whole_and_had_not_its_name_yet_is_not_encoded_again(tmp_path: Path) -> None:
    path, starts = tmp_path / "a.npy", list[int]()
    kept(path, starts).path.rename(tmp_path / "a.npy.100.part")
    assert torch.equal(kept(path, starts)[:], ROWS)
    assert starts == [0]
    assert [file.name for file in tmp_path.iterdir()] == ["a.npy"]


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    path, starts, said = tmp_path / "a.npy", list[int](), list[str]()
    lock = FileLock(tmp_path / "a.npy.lock")
    lock.acquire()
    waiting = threading.Event()

    def progress(text: str, *_: int) -> None:
        said.append(text)
        waiting.set()

    results: list[FileRows] = []
    thread = threading.Thread(target=lambda: results.append(kept_codes(path, (100, 3), encoder(starts), progress)))
    thread.start()
    assert waiting.wait(20)
    kept(tmp_path / "b" / "a.npy", []).path.rename(path)  # what the first process does
    lock.release()
    thread.join(20)
    assert torch.equal(results[0][:], ROWS)
    assert starts == []
    assert said == ["waiting for another process that encodes the same images"]


def test_a_disk_without_room_is_refused_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(GenaeError, match=r"a\.npy will take 0\.0 MB, and its disk has 0\.0 MB left; make room"):
        kept_codes(tmp_path / "a.npy", (100, 3), lambda _: pytest.fail("encoded"))
