"""Data that cannot be read or packed: every command says so in one sentence, with status 2."""

import gzip
import io
import json
import re
import shlex
import shutil
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from genae.data.sources import open_data, pack


def changed(source: Path, target: Path, at: int, value: bytes) -> None:
    """A copy in which bytes are others."""
    content = bytearray(source.read_bytes())
    content[at : at + len(value)] = value
    target.write_bytes(content)


def picture(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def add_packed(folder: Path) -> None:
    """Packed files: a good one, and what can happen to one."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.save(folder / "good.npy", pixels)
    good = folder / "good.genae"
    pack(pixels, good, levels=True)
    content = good.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    (folder / "empty.genae").write_bytes(b"")
    (folder / "cut.genae").write_bytes(content[: start + 1000])
    (folder / "header.genae").write_bytes(content[:200])
    (folder / "longer.genae").write_bytes(content + b"more")
    changed(good, folder / "pixel.genae", start + 777, bytes([content[start + 777] ^ 1]))
    labels = content.rindex(b'"notes"')
    changed(good, folder / "notes.genae", labels, b'"nodes"')
    changed(good, folder / "newer.genae", content.index(b'"version":"1"'), b'"version":"7"')
    changed(good, folder / "shape.genae", content.index(b'"shape":[40,3,8,8]'), b'"shape":[41,3,8,8]')
    (folder / "text.genae").write_text("these are no images")
    save_file({"images": torch.zeros(4, 3, 8, 8)}, folder / "foreign.genae")
    (folder / "folder.genae").mkdir()


def add_archives(folder: Path) -> None:
    """Tar and zip files."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for number in range(4):
            content = picture(number)
            header = tarfile.TarInfo(f"{number:03d}.png")
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    (folder / "shards-000.tar").write_bytes(whole.getvalue())
    (folder / "empty.tar").write_bytes(b"")
    (folder / "blank.tar").write_bytes(bytes(10240))
    (folder / "gzip.tar").write_bytes(gzip.compress(whole.getvalue()))
    (folder / "small.tar.gz").write_bytes(gzip.compress(whole.getvalue()))
    (folder / "cut.tar").write_bytes(whole.getvalue()[:1600])
    with zipfile.ZipFile(folder / "good.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.png", picture(number))
    zipped = (folder / "good.zip").read_bytes()
    (folder / "cut.zip").write_bytes(zipped[: len(zipped) // 2])
    changed(folder / "good.zip", folder / "damaged.zip", zipped.index(b"IDAT") + 6, b"\xff\xff\xff\xff")
    with zipfile.ZipFile(folder / "none.zip", "w") as archive:
        archive.writestr("readme.txt", "no pictures")


def add_arrays(folder: Path) -> None:
    """NumPy's and parquet files."""
    np.save(folder / "pickle.npy", np.array([{"an": "object"}]), allow_pickle=True)
    np.save(folder / "flat.npy", np.zeros((4, 64), np.uint8))
    np.save(folder / "none.npy", np.zeros((0, 8, 8, 3), np.uint8))
    np.save(folder / "nan.npy", np.full((4, 8, 8, 3), np.nan, np.float32))
    (folder / "cut.npy").write_bytes((folder / "good.npy").read_bytes()[:3000])
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    parquet.write_table(pa.table({"caption": ["a", "b"]}), folder / "captions.parquet")
    parquet.write_table(pa.table({"image": [picture(1), b"no picture"]}), folder / "unreadable.parquet")
    content = (folder / "captions.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(content[:-8])


def add_pictures(folder: Path) -> None:
    """Folders of pictures."""
    for name, sizes in (("sizes", [(8, 8), (9, 8), (8, 8)]), ("bad", [(8, 8), None, (8, 8)]), ("single", [(8, 8)])):
        (folder / name).mkdir()
        for number, size in enumerate(sizes):
            (folder / name / f"{number}.png").write_bytes(picture(number, size) if size else b"no picture")
    (folder / "nothing").mkdir()
    (folder / "table.csv").write_text("image,smiling\n0.png,1\n")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data that cannot be used."""
    folder = tmp_path_factory.mktemp("bad")
    for add in (add_packed, add_archives, add_arrays, add_pictures):
        add(folder)
    return folder


TRAIN = "train ae --run run --width 4 --code-dim 4 --images 64 --batch-size 8 --device cpu --precision float32 --data"

CASES = [
    # packed files
    ("data empty.genae", "empty.genae is cut: it has 0 bytes; pack it again"),
    ("data cut.genae", "cut.genae is cut: "),
    ("data cut.genae", "block 0 (images 0 to 39) is the first that is missing; pack it again"),
    ("data header.genae", "header.genae is cut: it has 200 bytes, which is less than its header; pack it again"),
    ("data longer.genae", "longer.genae has 4 bytes more than were packed; pack it again"),
    ("data pixel.genae", "block 0 (images 0 to 39) of pixel.genae is not what was packed; pack it again"),
    (f"{TRAIN} pixel.genae", "block 0 (images 0 to 39) of pixel.genae is not what was packed; pack it again"),
    ("pack pixel.genae --out new.genae", "block 0 (images 0 to 39) of pixel.genae is not what was packed"),
    ("data notes.genae", "the labels, names or splits of notes.genae are not what was packed; pack it again"),
    ("data newer.genae", "newer.genae has version 7 of packed files; this genae reads version 1: update it"),
    ("data shape.genae", "the header of shape.genae is damaged; pack it again"),
    ("data text.genae", "text.genae is no packed file of genae; genae pack SOURCE --out text.genae makes one"),
    ("data foreign.genae", "foreign.genae is a safetensors file without packed images"),
    ("data folder.genae", "folder.genae cannot be read (Is a directory)"),
    ("data missing.genae", "no data at 'missing.genae'"),
    ("data good.genae --sise 4", "there is no flag --sise; did you mean 'size'?"),
    ("data good.genae --size 0", "size is '0'"),
    ("data good.genae --channels 7", "images with 3 channels cannot be converted to 7; expected 1 (grey), 3 (RGB)"),
    ("data good.genae --attributes table.csv", "table.csv has 1 rows; the array has 40 images"),
    (f"{TRAIN} good.genae --batch-size 64", "a batch of 64 is larger than the 33 training images of good.genae"),
    # packing
    ("pack good.npy", "Missing option '--out'"),
    ("pack good.npy --out packed.npz", "--out is 'packed.npz'; expected a name that ends in .genae"),
    ("pack good.npy --out good.genae", "good.genae is already there; choose another --out, or replace it with --force"),
    ("pack good.npy --out folder.genae --force", "folder.genae is already there; choose another --out"),
    ("pack good.npy --out good.npy/x.genae", "good.npy cannot be a folder for x.genae (File exists); choose another"),
    ("pack good.npy --out x.genae --level", "there is no flag --level"),
    ("pack good.npy --out x.genae --size -3", "size is '-3'"),
    ("pack nowhere --out x.genae", "no data at 'nowhere'"),
    ("pack bad --out x.genae", "1 of 3 files in bad are unreadable: 1.png (not a picture); repair them"),
    ("pack sizes --out x.genae", "sizes holds images of 2 sizes (most often 8x8); choose one with --size"),
    ("pack nothing --out x.genae", "nothing holds no images"),
    # archives
    ("data empty.tar", "empty.tar is not a readable tar file"),
    ("data blank.tar", "blank.tar holds no images"),
    ("data gzip.tar", "gzip.tar is compressed with gzip, which cannot be read in any order; decompress it"),
    ("data small.tar.gz", "small.tar.gz is compressed, and so cannot be read in any order; decompress it to a .tar"),
    ("data cut.tar", "cut.tar is not a readable tar file: unexpected end of data; copy it again"),
    ("data shards-{000..003}.tar", "stands for 4 files, and 3 of them are not there, such as shards-001.tar"),
    ("data shards-{0..x}.tar", "has the braces {0..x}; expected a range such as {000..099}, or {a,b}"),
    ("data cut.zip", "cut.zip is not a readable zip file"),
    ("data damaged.zip", "1 of 4 files in damaged.zip are unreadable: 0.png"),
    ("data none.zip", "none.zip holds no images"),
    # arrays and tables
    ("data pickle.npy", "pickle.npy is not a readable NumPy file: it is damaged or of another kind"),
    ("data flat.npy", "flat.npy holds images (4, 64); expected an array"),
    ("data none.npy", "none.npy holds no images"),
    ("data nan.npy", "4 images hold NaN or infinite values (the first is number 0)"),
    ("data cut.npy", "cut.npy is not a readable NumPy file"),
    ("data captions.parquet", "captions.parquet has no column of pictures among caption (string)"),
    ("data unreadable.parquet", "1 of 2 files in unreadable.parquet are unreadable"),
    ("data cut.parquet", "cut.parquet is not a readable parquet file"),
]  # fmt: skip


def said(genae, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that a command ends with."""
    assert genae(*shlex.split(command)) == 2
    error = capsys.readouterr().err
    sentences = [line for line in error.splitlines() if line.startswith("genae: error: ")]
    assert len(sentences) == 1, error
    assert error.endswith(sentences[0] + "\n"), "nothing is said behind it"
    assert "Traceback" not in error
    return sentences[0]


@pytest.mark.parametrize(("command", "message"), CASES)
def test_one_sentence_and_status_2(command, message, places, monkeypatch, capsys, genae) -> None:
    monkeypatch.chdir(places)
    before = sorted(places.iterdir())
    assert message in said(genae, command, capsys)
    left = [path for path in places.iterdir() if path not in before and path.name != "run"]
    assert not [path.name for path in left if path.suffix == ".genae"], "no file has a name that says it is whole"
    for path in left:
        path.unlink()
    shutil.rmtree(places / "run", ignore_errors=True)


def test_a_disk_without_room(places, monkeypatch, capsys, genae) -> None:
    monkeypatch.chdir(places)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 5))
    message = said(genae, "pack good.npy --out full.genae", capsys)
    assert re.search(
        r"full\.genae needs 0\.\d\d GB more, and its disk has 0\.00 GB free; make room, choose another", message
    )


def test_a_cache_limit_that_is_no_number(places, monkeypatch, capsys, genae) -> None:
    monkeypatch.chdir(places)
    monkeypatch.setenv("GENAE_CACHE_GB", "plenty")
    assert "GENAE_CACHE_GB is 'plenty' in the environment; expected gigabytes such as 20" in said(
        genae, "data single", capsys
    )


def test_what_was_packed_is_as_good_as_the_images(places) -> None:
    """The cases above differ from this file by what was done to it."""
    packed = open_data(places / "good.genae")
    assert packed.digest == open_data(places / "good.npy").digest
    assert len(json.dumps(packed.describe())) > 0
