"""Files of tensors and lines: whole or refused, and errors that name them."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from genae.errors import GenaeError
from genae.model import load
from genae.storage import append_line, load_tensors, read_lines, save_tensors, write_atomically
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
