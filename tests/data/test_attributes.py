"""Tables of attributes."""

from pathlib import Path, PureWindowsPath

import pytest
import torch

from genae.data.attributes import read_attributes
from genae.data.sources import open_data
from genae.errors import GenaeError
from tests.reading import pixels_of


def test_attribute_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,smile,hat\nx/1.png,1,no\n0.png,-1,yes\n")
    table, _ = read_attributes(str(tmp_path / "a.csv"), ["0.png", "x/1.png"], 2)
    assert table["smile"].tolist() == [False, True]
    assert table["hat"].tolist() == [True, False]
    (tmp_path / "celeba.txt").write_text("2\nBald Young\n000001.jpg -1  1\n000002.jpg  1 -1\n")
    table, _ = read_attributes(str(tmp_path / "celeba.txt"), ["img/000002.jpg", "img/000001.jpg"], 2)
    assert table["Bald"].tolist() == [True, False]


def test_tables_made_on_windows(tmp_path: Path) -> None:
    """Of files in folders, and of a list of pictures' paths, which have a drive and backslashes there."""
    inner, whole = PureWindowsPath("cat", "0.png"), PureWindowsPath("C:/my photos/dog/0.png")
    (tmp_path / "a.csv").write_text(f"file,smile\n{inner},1\n{whole},0\n")
    for names in (["cat/0.png", str(whole)], [str(inner), whole.as_posix()]):
        assert read_attributes(str(tmp_path / "a.csv"), names, 2)[0]["smile"].tolist() == [True, False]
    (tmp_path / "b.csv").write_text("file,smile\n0.png,1\n1.png,0\n")
    names = [str(PureWindowsPath("C:/photos", f"{i}.png")) for i in (1, 0)]
    assert read_attributes(str(tmp_path / "b.csv"), names, 2)[0]["smile"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,smile\n0.png,1\n", "no row for 1 of 2 images .*1.png"),
        ("file,smile\n0.png,1\n1.png,maybe\n", "smile holds 'maybe'"),
        ("file,smile\n0.png,1\n1.png\n", "row 2 has 1 fields; the header has 2"),
        ("", "holds no attributes"),
    ],
)
def test_attribute_tables_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(GenaeError, match=message):
        read_attributes(str(tmp_path / "a.csv"), ["0.png", "1.png"], 2)


def test_same_names_in_several_folders_need_their_path(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,smile\n0.png,1\n")
    with pytest.raises(GenaeError, match="no row for 2 of 2 images"):
        read_attributes(str(tmp_path / "a.csv"), ["x/0.png", "y/0.png"], 2)
    (tmp_path / "b.csv").write_text("file,smile\n0.png,1\n0.png,0\n")
    with pytest.raises(GenaeError, match="more than one row '0.png'"):
        read_attributes(str(tmp_path / "b.csv"), ["0.png"], 1)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_are_recognised(separator: str, tmp_path: Path) -> None:
    rows = ["file", "a, b" if separator != "," else "a; b", "c"], ["0.png", "1", "0"], ["1.png", "0", "1"]
    text = "\n".join(separator.join(row) for row in rows)
    (tmp_path / "a.csv").write_text(text)
    table, described = read_attributes(str(tmp_path / "a.csv"), ["0.png", "1.png"], 2)
    assert [list(values) for values in (table, described.tolist())] == [[rows[0][1], "c"], [0, 1]]
    assert table["c"].tolist() == [False, True]
    (tmp_path / "sep.csv").write_text(f"sep={separator}\n{text}")
    assert read_attributes(str(tmp_path / "sep.csv"), ["0.png", "1.png"], 2)[0].keys() == table.keys()


def test_images_without_a_row_can_be_left_out(folder_of_images: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,smile\ncat/1.png,1\ncat/3.png,0\ndog/0.png,1\nnobody.png,1\n")
    with pytest.raises(GenaeError, match=r"no row for 21 of 24 images .*cat/0.png\); .* with --skip-bad"):
        open_data(str(folder_of_images), attributes=str(tmp_path / "a.csv"))
    data = open_data(str(folder_of_images), attributes=str(tmp_path / "a.csv"), skip_bad=True)
    assert data.names == ("cat/1.png", "cat/3.png", "dog/0.png")
    assert data.attributes["smile"].tolist() == [True, False, True]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 1]
    assert sorted(torch.cat(list(data.splits.values())).tolist()) == [0, 1, 2]
    assert any(note.startswith("21 images without a row in ") for note in data.notes)
    whole = open_data(str(folder_of_images))
    assert torch.equal(pixels_of(data), pixels_of(whole)[[whole.names.index(name) for name in data.names]])
    (tmp_path / "b.csv").write_text("file,smile\nnobody.png,1\n")
    with pytest.raises(GenaeError, match=r"no row for 24 of 24 images .*expected file names as in the data"):
        open_data(str(folder_of_images), attributes=str(tmp_path / "b.csv"), skip_bad=True)


def test_rows_of_arrays_stand_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,smile\nx,1\nx,0\n")
    table, described = read_attributes(str(tmp_path / "a.csv"), (), 2)
    assert table["smile"].tolist() == [True, False]
    assert described.tolist() == [0, 1]
    with pytest.raises(GenaeError, match="has 2 rows; the array has 3 images"):
        read_attributes(str(tmp_path / "a.csv"), (), 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,schön\n0.png,1\n".encode("cp1252"), "is not text in UTF-8"),
        (b"file,a,a\n0.png,1,1\n", "more than one column 'a'"),
        (b"file a\n0.png 1\n", "separated by commas, semicolons or tabs"),
        (b"10\n", "holds no attributes"),
        (b"sep=;\n", "holds no attributes"),
        (b"file,a\n0.png," + b"1" * 200_000 + b"\n", "is not a CSV table: field larger"),
        (None, "cannot read the attributes in .*: No such file or directory$"),
    ],
)
def test_files_that_are_no_tables(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(GenaeError, match=message):
        read_attributes(str(tmp_path / "a.csv"), ["0.png"], 1)
