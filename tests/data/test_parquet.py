"""Parquet files with a column of pictures."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from genae.data import parquet
from genae.data.sources import Wanted, open_data
from genae.data.stream import look_at
from genae.errors import GenaeError
from tests.data.archives import picture

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["zebra", "ant", "cow"], "_type": "ClassLabel"}}


def write(path: Path, columns: dict[str, Any], features: object = None, group: int = 4) -> Path:
    """A file as `datasets` writes it, with ``group`` rows in a row group."""
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    return path


def images(values: Sequence[int]) -> Any:
    """A column of pictures of one colour each."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": picture(value), "path": f"{value}.png"} for value in values], kind)


def test_files_of_datasets(tmp_path: Path) -> None:
    """Class labels keep their numbers, which sorted names would not; splits are in the names of the files."""
    for number, name in enumerate(("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")):
        values = range(10 * number, 10 * number + 10)
        columns = {"image": images(values), "label": [value % 3 for value in values]}
        write(tmp_path / "data" / f"{name}.parquet", columns, FEATURES)
    data = open_data(str(tmp_path))
    assert data.image_shape == (3, 6, 5)
    assert data.classes == ("zebra", "ant", "cow")
    stored = data.stored(torch.arange(30))[:, 0, 0, 0].tolist()
    assert stored == [*range(20, 30), *range(20)]  # files by their names, rows in their order
    assert data.labels is not None
    assert data.labels.tolist() == [value % 3 for value in stored]
    assert sorted(data.stored(data.split("test"))[:, 0, 0, 0].tolist()) == list(range(20, 30))
    assert data.names[11] == "train-00000-of-00002.parquet/0000001"
    alone = open_data(str(tmp_path / "data" / "train-{00000..00001}-of-00002.parquet"))
    assert [len(alone.split(name)) for name in ("train", "validation", "test")] == [17, 1, 2]
    unlabelled = write(tmp_path / "test.parquet", {"image": images(range(3)), "label": [-1] * 3}, FEATURES)
    assert open_data(str(unlabelled)).labels is None


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, 9, 10, 2], ("2", "9", "10")),
        (["b", "a", "b", "a"], ("a", "b")),
        ([0, 1, None, 0], ()),
        ([0, -1, 1, 0], ()),
    ],
)
def test_columns_of_bytes_and_plain_labels(labels: list[Any], classes: tuple[str, ...], tmp_path: Path) -> None:
    columns = {"picture": [picture(value) for value in range(4)], "cls": labels, "text": list("abcd")}
    data = open_data(str(write(tmp_path / "a.parquet", columns)))
    assert data.stored(torch.arange(4))[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert data.classes == classes
    if not classes:
        assert data.labels is None
        assert "without labels, because 1 images have none" in data.notes[0]


def test_which_of_several_columns(tmp_path: Path) -> None:
    both = {"mask": images([9] * 4), "image": images(range(4)), "fine": [0, 1, 0, 1], "coarse": [0, 0, 1, 1]}
    kinds = {
        "fine": {"_type": "ClassLabel", "names": ["a", "b"]},
        "coarse": {"_type": "ClassLabel", "names": ["c", "d"]},
    }
    data = open_data(str(write(tmp_path / "a.parquet", both, kinds)))
    assert data.stored(torch.arange(4))[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert "column image of mask, image, without labels, because fine and coarse hold classes" in data.notes[0]
    several = write(tmp_path / "b.parquet", {"left": images([1]), "right": images([2])})
    with pytest.raises(GenaeError, match=r"has 2 columns of pictures \(left, right\); call the one to read 'image'"):
        open_data(str(several))
    lists = open_data(str(write(tmp_path / "c.parquet", {"image": images(range(3)), "label": [[0], [1], [0]]})))
    assert "without labels, because label holds list<" in lists.notes[0]


def test_rows_in_any_order_and_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups that are kept no longer are read again; in order, each is read once."""
    for number in range(3):
        write(tmp_path / f"{number}.parquet", {"image": images(range(80 * number, 80 * number + 80))}, group=10)
    stream = look_at(str(tmp_path), Wanted())
    read: list[tuple[int, int]] = []
    group = parquet._Groups._group
    monkeypatch.setattr(parquet._Groups, "_group", lambda self, *which: read.append(which) or group(self, *which))
    monkeypatch.setattr(parquet, "CACHE", 5000)
    assert stream.read(torch.arange(240))[:, 0, 0, 0].tolist() == list(range(240))
    assert len(read) <= 2 * 24
    order = torch.randperm(240, generator=torch.Generator().manual_seed(0))
    assert stream.read(order)[:, 0, 0, 0].tolist() == order.tolist()
    assert len(read) > 2 * 24


@pytest.mark.parametrize(
    ("columns", "features", "message"),
    [
        ({"a": [1], "b": ["x"]}, None, r"has no column of pictures among a \(int64\), b \(string\); expected one"),
        ({"image": [[b"x"]]}, None, r"has no column of pictures among image \(list<element: binary>\)"),
        ({"image": pa.array([], pa.binary())}, None, "has no rows; expected one for every image"),
        ({"image": [picture(1), b"x"]}, None, r"1 of 2 files in .* a.parquet/0000001 \(not a picture\)"),
        ({"image": [picture(1), None]}, None, r"a.parquet/0000001 \(its row holds no bytes\)"),
        (
            {"image": images([1]), "label": [3]}, FEATURES, "holds the class 3; its column label names 3",
        ),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_used(columns: dict[str, Any], features: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match=message) as caught:
        open_data(str(write(tmp_path / "a.parquet", columns, features)))
    assert "\n" not in str(caught.value)


def test_damaged_and_unlike_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "CACHE", 1)
    file = write(tmp_path / "a.parquet", {"image": images(range(4))}, group=2)
    whole = file.read_bytes()
    for content in (b"", b"no parquet file", whole[:-50]):
        file.write_bytes(content)
        with pytest.raises(GenaeError, match=r"a.parquet is not a readable parquet file: .*; copy it again") as caught:
            open_data(str(file))
        assert "\n" not in str(caught.value)
    file.write_bytes(whole)
    write(tmp_path / "b.parquet", {"photo": images(range(4))})
    with pytest.raises(GenaeError, match=r"a.parquet and b.parquet in .* have other columns"):
        open_data(str(tmp_path))
    stream = look_at(str(file), Wanted())
    file.write_bytes(b"")
    with pytest.raises(GenaeError, match=r"a.parquet/000000. in .* is unreadable"):
        stream.read(torch.arange(4))


def test_without_pyarrow_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.parquet", {"image": images(range(4))})
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(GenaeError, match=r"a.parquet can be read with .* pyarrow: pip install 'genae\[parquet\]'"):
        open_data(str(file))
