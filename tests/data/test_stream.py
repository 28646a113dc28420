"""Streams of images: every kind of source, depths, splits."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genae.data.packed import open_packed
from genae.data.sources import Source, Wanted, open_data, pack
from genae.data.stream import look_at, open_stream
from genae.errors import GenaeError
from tests.reading import pixels_of


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


def test_streams_give_the_pixels_of_the_data_in_memory(folder_of_images: Path) -> None:
    stream, data = open_stream(str(folder_of_images), size="8"), open_data(str(folder_of_images), size=8)
    indices = torch.tensor([3, 0, 20])
    assert torch.equal(stream.read(indices), pixels_of(data)[indices])
    assert (len(stream), stream.image_shape, stream.resize) == (24, (3, 8, 8), data.resize)
    assert stream.conversions == data.conversions == ()
    assert stream.names == data.names


def test_a_stream_says_what_it_converted(folder_of_images: Path) -> None:
    grey = open_stream(str(folder_of_images), channels=1)
    assert grey.conversions == ("converted from 3 to 1 channels",)
    assert torch.equal(grey.read(torch.arange(3)), pixels_of(open_data(str(folder_of_images), channels=1))[:3])
    Image.fromarray(np.full((12, 16), 257 * 9, np.uint16)).save(folder_of_images / "cat" / "99.tif")
    with pytest.raises(GenaeError, match=r"mixes channel counts .*--channels 1, 3 or 4 \(cat/99.tif differs\)"):
        open_stream(str(folder_of_images))
    mixed = open_stream(str(folder_of_images), channels=3)
    assert mixed.conversions == (
        "1 of 25 images scaled from 16 to 8 bits", "1 of 25 images converted to 3 channels (1 with 1)",
    )  # fmt: skip
    assert mixed.read(torch.tensor([mixed.names.index("cat/99.tif")])).unique().tolist() == [9]


def test_streams_of_arrays_say_what_was_converted() -> None:
    stream = open_stream(np.zeros((9, 8, 8), np.uint8), channels=3)
    assert stream.conversions == ("converted from 1 to 3 channels",)
    assert stream.read(torch.arange(2)).shape == (2, 3, 8, 8)


def test_a_picture_and_a_split_of_a_zip(folder_of_images: Path, tmp_path: Path) -> None:
    assert len(open_stream(str(folder_of_images / "cat" / "0.png"))) == 1
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted(folder_of_images.rglob("*.png")):
            archive.write(file, f"{'train' if file.parent.name == 'cat' else 'val'}/{file.name}")
    assert len(open_stream(str(tmp_path / "a.zip"), split="validation")) == 12
    with pytest.raises(GenaeError, match="has no split 'tain'; did you mean 'train'"):
        open_stream(str(tmp_path / "a.zip"), split="tain")


def test_indices_are_checked(folder_of_images: Path) -> None:
    stream = open_stream(str(folder_of_images))
    for wrong in (-1, 24):
        with pytest.raises(GenaeError, match=f"there is no image {wrong} in .*; expected indices from 0 to 23"):
            stream.read(torch.tensor([0, wrong]))


def test_what_cannot_be_a_stream(tmp_path: Path) -> None:
    for name, array in {"float": np.zeros((4, 4), np.float32), "wide": np.full((4, 4), 100_000, np.int32)}.items():
        (tmp_path / name).mkdir()
        Image.fromarray(array).save(tmp_path / name / "a.tif")
    with pytest.raises(GenaeError, match="a.tif in .* holds floats; expected 8 or 16 bits"):
        open_stream(str(tmp_path / "float"))
    with pytest.raises(GenaeError, match=r"1 of 1 files in .* unreadable: a.tif \(it holds 32-bit integers"):
        open_stream(str(tmp_path / "wide"))
    (tmp_path / "wide" / "a.tif").write_text("no picture")
    with pytest.raises(GenaeError, match=r"unreadable: a.tif \(not a picture\); repair or remove them"):
        open_stream(str(tmp_path / "wide"))


def test_a_file_that_is_damaged_later_is_named(folder_of_images: Path) -> None:
    stream = look_at(str(folder_of_images), Wanted())
    file = folder_of_images / "cat" / "0.png"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(GenaeError, match="cat/0.png in .* is unreadable"):
        stream.read(torch.arange(3))
    file.unlink()
    with pytest.raises(GenaeError, match=r"cat/0.png in .* is unreadable \(No such file"):
        stream.read(torch.arange(3))


def test_taking_some_images_keeps_their_order(folder_of_images: Path) -> None:
    stream = open_stream(str(folder_of_images))
    some = stream.take(7, seed=3)
    assert len(some) == 7
    assert some.indices.tolist() == sorted(set(some.indices.tolist()))
    assert torch.equal(some.indices, stream.take(7, seed=3).indices)
    assert not torch.equal(some.indices, stream.take(7, seed=4).indices)
    assert stream.take(24, seed=3) is stream


def test_floats_of_unknown_range_are_refused() -> None:
    with pytest.raises(GenaeError, match="array holds floats from 0 to 4; say with --value-range LOW,HIGH"):
        open_stream(np.linspace(0, 4, 270, dtype=np.float32).reshape(9, 6, 5))


def refused(source: Source, split: str) -> str:
    with pytest.raises(GenaeError) as error:
        open_stream(source, split=split)
    return str(error.value).removeprefix(str(source))


@pytest.mark.parametrize("splits", [(), ("train", "test"), ("train", "val"), ("train", "val", "test")])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_packed_folder_is_the_stream_of_the_folder(
    splits: tuple[str, ...], zipped: bool, tmp_path: Path, pictures: Callable[..., Path]
) -> None:
    for number, split in enumerate(splits or (".",)):
        pictures(tmp_path / "a" / split, 12, seed=number)
    if zipped:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for file in (tmp_path / "a").rglob("*.png"):
                archive.write(file, file.relative_to(tmp_path))
    source = str(tmp_path / ("a.zip" if zipped else "a"))
    data = pack(source, tmp_path / "x.genae", size=8)
    again = pack(tmp_path / "x.genae", tmp_path / "y.genae")
    assert again.digest == data.digest == open_data(source, size=8).digest
    stream = open_stream(source, size="8")
    for path in (str(tmp_path / "x.genae"), str(tmp_path / "y.genae")):
        packed = open_stream(path)
        assert list(packed.data.splits) == list(stream.data.splits)
        assert all(torch.equal(packed.data.splits[part], stream.data.splits[part]) for part in stream.data.splits)
        assert packed.digest == stream.digest
        for split in {"train", "validation", "test", "tain"} - {*stream.data.splits}:
            assert refused(path, split) == refused(source, split)


@pytest.mark.parametrize("name", ["array", "digits"])
def test_packed_images_without_names_are_the_stream_of_their_source(name: str, tmp_path: Path) -> None:
    source = np.arange(20 * 48, dtype=np.uint32).astype(np.uint8).reshape(20, 4, 4, 3) if name == "array" else name
    data, stream = pack(source, tmp_path / "x.genae"), open_stream(source)
    packed = open_stream(tmp_path / "x.genae")
    assert data.digest == open_data(source).digest
    assert packed.digest == stream.digest
    assert list(packed.data.splits) == list(stream.data.splits)
    assert all(torch.equal(packed.data.splits[part], stream.data.splits[part]) for part in stream.data.splits)


def test_a_subset_of_a_packed_folder_keeps_its_own_splits(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    pictures(tmp_path / "a" / "train", 12)
    pictures(tmp_path / "a" / "test", 3, seed=1)
    pack(tmp_path / "a", tmp_path / "x.genae")
    raw = open_packed(tmp_path / "x.genae")
    some = raw.subset(torch.arange(1, 11))  # folders are sorted: test, train
    assert {name: members.tolist() for name, members in some.official.items()} == {
        "train": [*range(2, 10)], "test": [0, 1],
    }  # fmt: skip
    assert raw.subset(torch.arange(3)).official.keys() == {"test"}
