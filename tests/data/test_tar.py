"""Tar files: shards of samples, and folders that were packed."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from genae.data.sources import Wanted, open_data
from genae.data.stream import look_at, open_stream
from genae.errors import GenaeError
from tests.data.archives import picture, tar


def samples(first: int, count: int, of: int = 3) -> dict[str, bytes]:
    """``0004.png`` of colour 4 and its class, 4 modulo ``of``."""
    pairs = [(f"{i:04d}.png", picture(i), f"{i:04d}.cls", b"%d\n" % (i % of)) for i in range(first, first + count)]
    return {name: content for a, b, c, d in pairs for name, content in ((a, b), (c, d))}


def colours(source: object, split: str = "all") -> list[int]:
    data = open_data(str(source))
    return data.images(data.split(split))[:, 0, 0, 0].add(1).mul(127.5).round().int().tolist()


def test_shards_are_one_data_set_in_their_order(tmp_path: Path) -> None:
    for number in range(3):
        tar(tmp_path / f"shard-{number:03d}.tar", samples(5 * number, 5))
    for source in (tmp_path, tmp_path / "shard-{000..002}.tar", tmp_path / "shard-00{0,1,2}.tar"):
        data = open_data(str(source))
        assert data.names[5] == "shard-001.tar/0005.png"
        assert colours(source) == list(range(15))
        assert data.labels is not None
        assert data.labels.tolist() == [i % 3 for i in range(15)]
        assert data.classes == ("0", "1", "2")
        assert {name: len(data.split(name)) for name in ("train", "validation", "test")} == {
            "train": 13, "validation": 1, "test": 1,
        }  # fmt: skip
    assert colours(tmp_path / "shard-{002..001}.tar") == [*range(10, 15), *range(5, 10)]
    assert len(open_data(str(tmp_path / "shard-001.tar"))) == 5
    assert open_data(str(tmp_path / "shard-001.tar")).names[0] == "0005.png"


def test_names_of_shards_are_splits(tmp_path: Path) -> None:
    for name, first in (("train-0", 0), ("train-1", 10), ("valid-0", 20), ("imagenet-test-0", 30)):
        tar(tmp_path / f"{name}.tar", samples(first, 10))
    assert {name: colours(tmp_path, name) for name in ("train", "validation", "test")} == {
        "train": list(range(20)), "validation": list(range(20, 30)), "test": list(range(30, 40)),
    }  # fmt: skip
    assert len(open_stream(str(tmp_path), split="validation")) == 10
    assert len(open_data(str(tmp_path / "imagenet-test-0.tar")).split("train")) == 8  # alone, it is a data set
    with pytest.raises(GenaeError, match="has folders or files for test and validation but none for train; add one"):
        open_data(str(tmp_path / "{valid,imagenet-test}-0.tar"))
    tar(tmp_path / "more.tar", samples(40, 10))
    with pytest.raises(GenaeError, match=r"imagenet-test-0.tar is named after a split and more.tar is not; begin"):
        open_data(str(tmp_path))


def test_folders_of_shards_are_splits(tmp_path: Path) -> None:
    tar(tmp_path / "train" / "0.tar", samples(0, 10))
    tar(tmp_path / "val" / "0.tar", samples(10, 4))
    assert colours(tmp_path, "validation") == [10, 11, 12, 13]


def test_numbers_are_sorted_as_numbers_and_texts_as_texts(tmp_path: Path) -> None:
    assert open_data(str(tar(tmp_path / "a.tar", samples(0, 12, of=12)))).classes == tuple(map(str, range(12)))
    said = {f"{i}.json": json.dumps({"class": ["cat", "a dog"][i % 2], "caption": "x"}).encode() for i in range(4)}
    data = open_data(str(tar(tmp_path / "b.tar", {**{f"{i}.png": picture(i) for i in range(4)}, **said})))
    assert data.classes == ("a dog", "cat")
    assert data.labels is not None
    assert data.labels.tolist() == [1, 0, 1, 0]


def test_captions_are_no_labels(tmp_path: Path) -> None:
    files = {
        name: content for i in range(4) for name, content in ((f"{i}.png", picture(i)), (f"{i}.json", b'{"a": 1}'))
    }
    data = open_data(str(tar(tmp_path / "a.tar", files)))
    assert data.labels is None
    assert "in one tar file, whose .json files have no label, cls or class" in data.notes[0]
    files["0.json"] = b'{"label": 3}'
    data = open_data(str(tar(tmp_path / "a.tar", files)))
    assert data.labels is None
    assert "without labels, because 3 images have none" in data.notes[0]


def test_a_tar_of_a_folder_is_the_folder(folder_of_images: Path, tmp_path: Path) -> None:
    files = {f"./top/{file.relative_to(folder_of_images).as_posix()}": file.read_bytes()
             for file in sorted(folder_of_images.rglob("*.png"), reverse=True)}  # fmt: skip
    files |= {"./top/.hidden.png": b"no picture", "./top/cat/._0.png": b"no picture", "./top/notes.md": b"text"}
    files |= {"./top/info.json": b"no label of any picture", "./other/cat.json": b"nor this"}
    packed, folder = open_data(str(tar(tmp_path / "a.tar", files))), open_data(str(folder_of_images))
    assert packed.names == folder.names
    assert packed.classes == ("cat", "dog")
    assert packed.digest == folder.digest
    halves = [dict(list(files.items())[i::2]) for i in range(2)]
    for number, half in enumerate(halves):
        tar(tmp_path / "b" / f"{number}.tar", {name.removeprefix("./top/"): half[name] for name in half})
    assert open_data(str(tmp_path / "b")).classes == ("cat", "dog")
    assert len(open_data(str(tmp_path / "b"))) == 24


def test_long_names_and_headers_with_more_than_one_block(tmp_path: Path) -> None:
    files = {f"{'long' * 40}/{i}é.png": picture(i) for i in range(3)}
    assert colours(tar(tmp_path / "a.tar", files)) == [0, 1, 2]


def test_rows_are_read_in_any_order(tmp_path: Path) -> None:
    for number in range(2):
        tar(tmp_path / f"{number}.tar", samples(50 * number, 50))
    stream = look_at(str(tmp_path), Wanted())
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(stream.read(order)[:, 0, 0, 0].long(), order)


GOOD = {**samples(0, 4), "notes.txt": b"text"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": b"text"}, "holds no images; expected files such as 000.jpg, and 000.cls"),
        ({**GOOD, "0001.cls": b""}, "0001.cls holds ''; expected one class, a number or a text"),
        ({**GOOD, "0001.cls": b"a\nb"}, r"0001.cls holds 'a\\nb'; expected one class"),
        ({**GOOD, "0001.json": b"{"}, "0001.json is not JSON; expected an object with a key such as 'label'"),
        ({**GOOD, "0001.json": b'{"label": [1]}'}, r"0001.json says the class '\[1\]'; expected a whole number"),
        ({**GOOD, "0001.jpg": picture(0, "jpeg")}, "0001.png and 0001.jpg in .* are one sample; expected one picture"),
        ({**GOOD, "0001.png": b"x"}, r"1 of 4 files in .* are unreadable: 0001.png \(not a picture\)"),
    ],
)
def test_tar_files_that_cannot_be_used(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match=message) as caught:
        open_data(str(tar(tmp_path / "a.tar", files)))
    assert "\n" not in str(caught.value)


def test_cut_damaged_and_compressed_tar_files(tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tar", GOOD).read_bytes()
    file = tmp_path / "b.tar"
    for content, message in (
        (b"", "b.tar is not a readable tar file: empty file"),
        (whole[:1300], r"b.tar is not a readable tar file: it is cut or damaged after 1,024 bytes"),
        (whole[:1600], r"b.tar is not a readable tar file: unexpected end of data; copy it again"),
        (whole[:2048], r"b.tar is not a readable tar file: it is cut or damaged after 2,048 bytes"),
        (whole[:2048] + b"x" * 512 + whole[2560:], "it is cut or damaged after 2,048 bytes; copy it again"),
        (b"no tar" * 300, "b.tar is not a readable tar file"),
        (gzip.compress(whole), "b.tar is compressed with gzip, which cannot be read in any order; decompress it"),
    ):
        file.write_bytes(content)
        with pytest.raises(GenaeError, match=message) as caught:
            open_data(str(file))
        assert "\n" not in str(caught.value)
    (tmp_path / "c.tar.gz").write_bytes(b"")
    with pytest.raises(GenaeError, match=r"c.tar.gz is compressed, and so .* decompress it to a .tar"):
        open_data(str(tmp_path / "c.tar.gz"))


def test_patterns_that_stand_for_nothing(tmp_path: Path) -> None:
    tar(tmp_path / "a-0.tar", GOOD)
    for pattern, message in (
        ("a-{0..2}.tar", r"stands for 3 files, and 2 of them are not there, such as a-1.tar; correct the pattern"),
        ("a-{0}.tar", r"has the braces \{0\}; expected a range such as \{000..099\}, or \{a,b\}"),
        ("a-{0..999}-{0..999}.tar", "stands for more than 100,000 files"),
        ("a-{0..2}.png", "no data at"),
    ):
        with pytest.raises(GenaeError, match=message):
            open_data(str(tmp_path / pattern))
    assert len(open_data(str(tmp_path / "a-{0..0}.tar"))) == 4


def test_a_shard_that_is_cut_later_is_named(tmp_path: Path) -> None:
    file = tar(tmp_path / "a.tar", GOOD)
    stream = look_at(str(file), Wanted())
    file.write_bytes(file.read_bytes()[:600])
    with pytest.raises(GenaeError, match=r"0003.png in .* is unreadable \(a.tar is cut\)"):
        stream.read(torch.tensor([3]))
