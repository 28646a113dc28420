"""Files of tensors and lines: whole or refused, and errors that name them."""

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genae import storage
from genae.errors import GenaeError
from genae.model import load
from genae.rows import Stream
from genae.storage import (
    append_line,
    is_file_name,
    is_ours,
    load_codes,
    load_tensors,
    locked,
    read_lines,
    save_arrays,
    save_tensors,
    write_atomically,
)
from genae.training.start import train


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "not a readable safetensors file"),
        (lambda p: p.write_bytes(b"\x80\x04\x95pickle"), "not a readable safetensors file"),
        (lambda p: save_tensors(p, {"x": torch.zeros(1)}, {}), "does not hold a genae model"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(damage: Any, message: str, tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    damage(tmp_path / "run" / "best.safetensors")
    with pytest.raises(GenaeError, match=message):
        load(tmp_path / "run")


def test_weights_of_another_architecture_are_refused(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    path = tmp_path / "run" / "best.safetensors"
    tensors, metadata = load_tensors(path)
    tensors["encoder.linear.weight"] = torch.zeros(2, 2)
    del metadata["format"]
    save_tensors(path, tensors, metadata)
    with pytest.raises(GenaeError, match=r"does not fit the model .* 'encoder.linear.weight' differs"):
        load(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_weights_have_the_mode_of_any_new_file(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        save_tensors(tmp_path / "best.safetensors", {"x": torch.zeros(1)}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "best.safetensors").stat().st_mode) == 0o666 & ~umask


def test_a_full_disk_is_an_error_that_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")  # write and fsync name no file

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device: .*picture.png") as stop:
        write_atomically(tmp_path / "picture.png", b"pixels")
    assert stop.value.errno == errno.ENOSPC
    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
            append_line(Path("/dev/full"), {"images": 1})


def test_lines_that_a_kill_cut_short_are_left_out(tmp_path: Path) -> None:
    for record in ({"images": 1}, {"began_at": 2}):
        append_line(tmp_path / "log.jsonl", record)
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('[1]\n{"images": ')
    assert read_lines(tmp_path / "log.jsonl", "images") == [{"images": 1}]
    assert read_lines(tmp_path / "none.jsonl", "images") == []


HOLDS = """
import sys, time
from pathlib import Path
from genae.storage import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_names_who_holds_it_and_ends_with_the_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        held = pytest.raises(GenaeError, match=f"is being written by process {holder.pid}; choose another --run")
        with held, locked(tmp_path):
            pass
        holder.kill()  # it cannot clean up
    with locked(tmp_path):
        assert (tmp_path / storage.OWNER).read_text() == str(os.getpid())
        with pytest.raises(GenaeError, match=f"process {os.getpid()}"), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


def test_on_windows_a_file_that_somebody_reads_is_replaced_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    real = os.replace

    def busy(*paths: Path) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        real(*paths)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(storage, "WINDOWS", True)
    write_atomically(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"
    monkeypatch.setattr(storage, "PATIENCE", 0.0)
    tries.clear()
    with pytest.raises(PermissionError, match=r"a\.json"):
        write_atomically(tmp_path / "a.json", "newer")
    assert (tmp_path / "a.json").read_text() == "new"


def test_only_writable_handles_are_flushed_and_no_folder_is_opened_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_config
) -> None:
    real_open = os.open

    def open_file(path: Any, *rest: Any, **more: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, *rest, **more)

    monkeypatch.setattr(storage, "WINDOWS", True)
    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "fsync", lambda handle: os.write(handle, b""))  # an error where it may only be read
    train(short_config(), tmp_path / "run")
    assert load(tmp_path / "run").sample(1).shape == (1, 1, 8, 8)


def test_names_that_windows_forbids() -> None:
    assert not any(map(is_file_name, ("con", "NUL", "aux.safetensors", "COM1", "lpt9.x", "ends.", "ends ")))
    assert all(map(is_file_name, ("cons", "console", "my.aux", "com", "com10", "smile", ".hidden", "a.b")))


def parts_of(rows: torch.Tensor, broken: bool = False) -> Iterator[torch.Tensor]:
    yield from rows.split(30)
    if broken:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("kind", ["npz", "safetensors", "npy"])
def test_arrays_are_written_as_they_come(tmp_path: Path, kind: str) -> None:
    codes = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    numbers, places = torch.arange(100), torch.rand(100, 2, dtype=torch.float64)
    path = tmp_path / f"a.{kind}"
    others = {"indices": numbers, "places": places}
    save_arrays(path, {"codes": Stream((100, 4), parts_of(codes)), **others}, space="code", names=["a", "b"])
    if kind == "safetensors":
        read: Any = load_file(path)
        assert load_tensors(path)[1] == {"format": "genae-1", "space": "code", "names": '["a", "b"]'}
    else:
        arrays = {"codes": np.load(path)} | dict(np.load(tmp_path / "a.rows.npz")) if kind == "npy" else np.load(path)
        assert (str(arrays["space"]), arrays["names"].tolist()) == ("code", ["a", "b"])
        read = {name: torch.from_numpy(arrays[name]) for name in ("codes", "indices", "places")}
    for name, expected in {"codes": codes, **others}.items():
        assert torch.equal(read[name], expected)
        assert read[name].dtype == expected.dtype
    rows, space = load_codes(path)
    assert (space, torch.equal(rows[:], codes)) == ("code", True)
    assert is_ours(path)
    assert not list(tmp_path.glob("*.tmp"))
    np.save(tmp_path / "b.npy", codes.numpy())
    assert not is_ours(tmp_path / "b.npy")


@pytest.mark.parametrize("kind", ["npz", "safetensors", "npy"])
def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a.{kind}"
    codes = torch.zeros(100, 4)
    save_arrays(path, {"codes": codes})
    before = path.read_bytes()
    with pytest.raises(OSError, match=rf"No space left on device: '.*a\.{kind}'"):
        save_arrays(path, {"codes": Stream((100, 4), parts_of(codes + 1, broken=True))})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_500_000))
    with pytest.raises(
        GenaeError, match=r"will take 4\.0 GB, and its disk has 1\.5 MB left; make room, or choose anoth"
    ):
        save_arrays(path, {"codes": Stream((1_000_000, 1000), iter(lambda: pytest.fail("encoded"), 0))})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
