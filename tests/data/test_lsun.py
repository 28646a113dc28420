"""LSUN's databases."""

import sys
from pathlib import Path

import pytest
import torch

from genae.data import lsun
from genae.data.sources import Wanted, open_data
from genae.data.stream import look_at
from genae.errors import GenaeError
from tests.data.archives import picture

lmdb = pytest.importorskip("lmdb")


def write(folder: Path, values: range) -> Path:
    """A database of pictures of one colour each, put in against the order of their keys."""
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 24) as database, database.begin(write=True) as transaction:
        for value in reversed(values):
            transaction.put(f"key{value:03d}".encode(), picture(value, "webp" if value % 2 else "png"))
    return folder


def test_databases_are_read_by_their_keys(tmp_path: Path) -> None:
    for part, values in (("train", range(8)), ("val", range(8, 12))):
        write(tmp_path / f"bedroom_{part}_lmdb", values)
    data = open_data(str(tmp_path))
    assert data.names[0] == "bedroom_train_lmdb/key000"
    assert len(data.split("validation")) == 4
    assert data.classes == ()
    assert "12 image files" in data.notes[0]
    alone = look_at(str(tmp_path / "bedroom_val_lmdb"), Wanted())
    assert [name for name in alone.names] == [f"key{value:03d}" for value in range(8, 12)]
    assert alone.read(torch.tensor([3, 0, 2]))[:, 0, 0, 0].tolist() == pytest.approx([11, 8, 10], abs=2)
    assert len(open_data(str(tmp_path))) == 12  # though a process may open a database only once


def test_damaged_databases_are_named(tmp_path: Path) -> None:
    """A cut one must not be read: the system would end the process."""
    whole = (write(tmp_path / "whole", range(200)) / "data.mdb").read_bytes()
    for name, content, message in (
        ("none", b"", "none is not a readable lmdb database: "),
        ("text", b"text" * 5000, "text is not a readable lmdb database: .*; copy it again"),
        ("cut", whole[: len(whole) // 2], r"data.mdb is cut: it needs [0-9,]+ bytes; copy it again"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.mdb").write_bytes(content)
        for _ in range(2):
            with pytest.raises(GenaeError, match=message) as caught:
                open_data(str(tmp_path / name))
            assert "\n" not in str(caught.value)
    lmdb.open(str(tmp_path / "empty"), map_size=1 << 20).close()
    with pytest.raises(GenaeError, match="empty holds no images; expected one as the value of every key"):
        open_data(str(tmp_path / "empty"))


def test_without_lmdb_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "a", range(3))
    lsun._database.cache_clear()
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(GenaeError, match=r"a can be read with the package lmdb: pip install 'genae\[lmdb\]'"):
        open_data(str(folder))
