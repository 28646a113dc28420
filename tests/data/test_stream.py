"""Streams of images: every kind of source, depths, splits."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genae.data.stream import open_stream
from genae.errors import GenaeError


def test_every_kind_of_source_gives_the_same_stream(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    folder = pictures(tmp_path / "a", 12)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"inside/{file.name}")
    array = np.stack([np.array(Image.open(file)) for file in sorted(folder.iterdir())])
    np.save(tmp_path / "a.npy", array)
    streams = [open_stream(str(tmp_path / name)) for name in ("a", "a.zip", "a.npy")]
    part = torch.tensor([3, 0, 11])
    for stream in streams:
        assert stream.image_shape == (3, 12, 16)
        assert torch.equal(stream.read(part), torch.from_numpy(array)[part].permute(0, 3, 1, 2))
        assert (stream.format, stream.resize) == ("lossless", "none")
    assert streams[0].digest == streams[1].digest
    (folder / "000.png").write_bytes((folder / "001.png").read_bytes())
    assert open_stream(str(folder)).digest != streams[0].digest


def test_streams_of_deep_turned_and_indexed_pictures(tmp_path: Path) -> None:
    deep = np.arange(6, dtype=np.uint16).reshape(2, 3) * 10000
    (tmp_path / "deep").mkdir()
    Image.fromarray(deep).save(tmp_path / "deep" / "a.png")
    values = open_stream(str(tmp_path / "deep")).read(torch.tensor([0]))
    assert values.flatten().tolist() == [round(v / 257) for v in deep.flatten().tolist()]
    (tmp_path / "turned").mkdir()
    picture = Image.fromarray(np.zeros((4, 8, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.save(tmp_path / "turned" / "a.jpg", exif=exif)
    assert open_stream(str(tmp_path / "turned")).image_shape == (3, 8, 4)
    (tmp_path / "indexed").mkdir()
    picture.convert("P").save(tmp_path / "indexed" / "a.png")
    assert open_stream(str(tmp_path / "indexed")).image_shape == (3, 4, 8)


def test_splits_sizes_and_channels_of_a_stream(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    pictures(tmp_path / "data" / "train", 5)
    pictures(tmp_path / "data" / "val", 3, seed=1)
    source = str(tmp_path / "data")
    assert len(open_stream(source)) == 8
    assert len(open_stream(source, split="validation")) == 3
    with pytest.raises(GenaeError, match="has no split 'test'; expected one of all, train, validation"):
        open_stream(source, split="test")
    small = open_stream(source, size="6x8", fit="stretch", channels=1)
    assert small.image_shape == (1, 6, 8)
    assert small.read(torch.tensor([0, 7])).shape == (2, 1, 6, 8)
    assert small.resize == "bicubic-antialias stretch 6x8"


def test_a_deep_grey_picture_becomes_colour_where_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.full((4, 6), 257 * 9, np.uint16)).save(tmp_path / "deep" / "a.png")
    assert open_stream(str(tmp_path / "deep"), channels=3).read(torch.tensor([0])).unique().tolist() == [9]
