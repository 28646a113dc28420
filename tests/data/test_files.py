"""Folders, zips and lists of pictures."""

import errno
import os
import zipfile
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import torch
from PIL import Image

from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.progress import screen
from tests.reading import pixels_of


def test_folder(folder_of_images: Path) -> None:
    data = open_data(str(folder_of_images))
    assert data.image_shape == (3, 12, 16)
    assert data.classes == ("cat", "dog")
    assert data.names[0] == "cat/0.png"
    assert {name: len(data.split(name)) for name in ("train", "validation", "test")} == {
        "train": 20, "validation": 2, "test": 2,
    }  # fmt: skip
    first = torch.from_numpy(np.array(Image.open(folder_of_images / "cat" / "0.png"))).permute(2, 0, 1)
    assert torch.equal(pixels_of(data)[0], first)


def test_zip_of_a_folder_is_the_folder(folder_of_images: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in sorted(folder_of_images.rglob("*.png")):
            archive.write(file, file.relative_to(folder_of_images))
    zipped, folder = open_data(str(tmp_path / "pictures.zip")), open_data(str(folder_of_images))
    assert torch.equal(pixels_of(zipped), pixels_of(folder))
    assert zipped.digest == folder.digest


def test_a_zip_with_backslashes_is_the_folder(folder_of_images: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in sorted(folder_of_images.rglob("*.png")):
            member = zipfile.ZipInfo("x")
            member.filename = str(PureWindowsPath("outer", file.relative_to(folder_of_images)))
            archive.writestr(member, file.read_bytes())
    zipped, folder = open_data(str(tmp_path / "pictures.zip")), open_data(str(folder_of_images))
    assert zipped.names == folder.names
    assert zipped.digest == folder.digest
    assert zipped.classes == ("cat", "dog")


def test_split_folders_are_kept(folder_of_images: Path, tmp_path: Path) -> None:
    (tmp_path / "sets" / "test").mkdir(parents=True)
    (folder_of_images / "cat").rename(tmp_path / "sets" / "train")
    (folder_of_images / "dog" / "0.png").rename(tmp_path / "sets" / "test" / "0.png")
    data = open_data(str(tmp_path / "sets"))
    assert [data.names[i] for i in data.split("test").tolist()] == ["test/0.png"]
    assert len(data.split("train")) == 11
    assert len(data.split("validation")) == 1
    assert data.labels is None


def folder_with(tmp_path: Path, **files: object) -> str:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in files.items():
        path = folder / f"{name}.png"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            Image.fromarray(np.zeros(content, np.uint8)).save(path)
    return str(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no images"),
        ({"a": (4, 4), "b": (4, 4, 3)}, r"mixes channel counts \(1 with 1, 1 with 3\); choose one with --channels"),
        ({"a": (4, 4), "b": (5, 4)}, "2 sizes .* --size"),
        ({"a": (4, 4), "b": b"not a picture", "c": b""}, r"2 of 3 files .* b.png .*--skip-bad"),
        ({"b": b"not a picture"}, "1 of 1 files"),
    ],
)
def test_folders_that_cannot_be_used(files: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match=message) as caught:
        open_data(folder_with(tmp_path, **files))
    assert "\n" not in str(caught.value)


def test_skipping_bad_files_names_and_counts_them(tmp_path: Path) -> None:
    files = {"a": (4, 4), "b": b"not a picture", "c": (4, 4), "d": (4, 4)}
    data = open_data(folder_with(tmp_path, **files), skip_bad=True)
    assert len(data) == 3
    assert any("1 unreadable files skipped: b.png" in note for note in data.notes)


def test_a_truncated_picture_is_bad(folder_of_images: Path) -> None:
    file = folder_of_images / "cat" / "3.png"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(GenaeError, match=r"1 of 24 files .* cat/3.png"):
        open_data(str(folder_of_images))


def test_a_zip_made_around_a_folder_keeps_its_classes(folder_of_images: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        for file in sorted(folder_of_images.rglob("*.png")):
            archive.write(file, Path("outer") / file.relative_to(folder_of_images))
    data = open_data(str(tmp_path / "outer.zip"))
    assert data.classes == ("cat", "dog")
    assert data.names[0] == "cat/0.png"


def test_nan_in_a_float_tiff_is_a_bad_file(tmp_path: Path) -> None:
    for i, value in enumerate((0.0, 1.0, float("nan"))):
        Image.fromarray(np.full((4, 4), value, np.float32)).save(tmp_path / f"{i}.tiff")
    with pytest.raises(GenaeError, match=r"1 of 3 files .*2.tiff \(it holds NaN"):
        open_data(str(tmp_path), value_range=(0, 1))


@pytest.fixture
def odd_one(tmp_path: Path) -> Path:
    """Four colour pictures, and a grey one of 16 bits that comes first."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(np.full((4, 5, 3), 10 * i, np.uint8)).save(folder / f"{i}.png")
    Image.fromarray(np.full((4, 5), 257 * 200, np.uint16)).save(folder / "+deep.tif")
    return folder


def test_mixed_pictures_are_brought_to_the_channels(odd_one: Path) -> None:
    with pytest.raises(GenaeError, match=r"mixes channel counts \(1 with 1, 4 with 3\); .* \(\+deep.tif differs\)"):
        open_data(str(odd_one))
    for channels, kept in ((3, "1 of 5 images converted to 3 channels (1 with 1)"),
                           (1, "4 of 5 images converted to 1 channels (4 with 3)"),
                           (4, "5 of 5 images converted to 4 channels (1 with 1 and 4 with 3)")):  # fmt: skip
        data = open_data(str(odd_one), channels=channels)
        assert pixels_of(data).dtype == torch.uint8
        assert pixels_of(data)[:, 0, 0, 0].tolist() == [200, 0, 10, 20, 30]
        assert data.conversions == ("1 of 5 images scaled from 16 to 8 bits", kept)
        assert set(data.conversions) < set(data.describe())


def test_mixed_depths_name_the_odd_file(odd_one: Path) -> None:
    for i in range(4):
        Image.fromarray(np.full((4, 5), i, np.uint8)).save(odd_one / f"{i}.png")
    message = r"mixes 8-bit and deeper images \(1 of 5 are deeper; \+deep.tif differs from most\); choose --channels"
    with pytest.raises(GenaeError, match=message):
        open_data(str(odd_one))
    data = open_data(str(odd_one), channels=1)
    assert pixels_of(data)[:, 0, 0, 0].tolist() == [200, 0, 1, 2, 3]
    assert data.conversions == ("1 of 5 images scaled from 16 to 8 bits",)
    Image.fromarray(np.full((4, 5), 100_000, np.int32)).save(odd_one / "wide.tif")
    with pytest.raises(GenaeError, match=r"wide.tif in .* cannot be brought to 8 bits: it holds 32-bit integers"):
        open_data(str(odd_one), channels=1)
    Image.fromarray(np.zeros((4, 5), np.float32)).save(odd_one / "wide.tif")
    with pytest.raises(GenaeError, match="mixes integers and floats: wide.tif holds floats"):
        open_data(str(odd_one), channels=1)


def test_pictures_all_deep_keep_their_depth_with_channels(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(np.full((4, 5), 1000 + i, np.uint16)).save(tmp_path / f"{i}.png")
    data = open_data(str(tmp_path), channels=3)
    assert data.image_shape == (3, 4, 5)
    assert (data.high, pixels_of(data).dtype) == (65535, torch.float32)
    assert data.conversions == ("converted from 1 to 3 channels",)
    Image.fromarray(np.full((4, 5), 100_000, np.int32)).save(tmp_path / "wide.tif")
    wide = open_data(str(tmp_path))
    assert (wide.high, float(wide.images(torch.tensor([3])).min())) == (65535, 1)
    assert "1 have values beyond 16 bits, read as white; --value-range LOW,HIGH keeps them" in wide.notes


def test_resizing_may_exceed_the_range_of_16_bits(tmp_path: Path) -> None:
    """Bicubic filters overshoot at edges: the range stays that of the files, and 8 bits are clamped."""
    edge = np.zeros((9, 9), np.uint16)
    edge[:, 5:] = 65535
    for i in range(3):
        Image.fromarray(edge).save(tmp_path / f"{i}.png")
    data = open_data(str(tmp_path), size=20)
    assert pixels_of(data).max() > 65535
    assert (data.low, data.high) == (0, 65535)
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / "8.png")
    mixed = open_data(str(tmp_path), size=20, channels=1)
    assert torch.equal(pixels_of(mixed)[0].float(), (pixels_of(data)[0].clamp(0, 65535) / 257).round())


def test_pictures_and_paths_in_lists(folder_of_images: Path) -> None:
    paths = [folder_of_images / "dog" / "1.png", str(folder_of_images / "cat" / "0.png")]
    data = open_data(paths)
    whole = open_data(str(folder_of_images))
    assert torch.equal(
        pixels_of(data), pixels_of(whole)[[whole.names.index("dog/1.png"), whole.names.index("cat/0.png")]]
    )
    assert data.names == (str(paths[0]), paths[1])
    assert data.labels is None
    with Image.open(paths[1]) as picture:
        assert torch.equal(pixels_of(open_data([picture, paths[0]])), pixels_of(data).flip(0))
        assert torch.equal(pixels_of(open_data(picture, channels=1)), pixels_of(open_data(paths[1], channels=1)))
    with pytest.raises(GenaeError, match="names 1 of them twice"):
        open_data([paths[1], paths[1]])
    with pytest.raises(GenaeError, match=r"nobody.png \(No such file or directory\)"):
        open_data([paths[1], "nobody.png"])


def test_folders_named_like_pictures_and_hidden_files_are_passed_over(folder_of_images: Path) -> None:
    (folder_of_images / "cat" / "x.png").mkdir()
    (folder_of_images / ".trash").mkdir()
    (folder_of_images / ".trash" / "a.png").write_text("no picture")
    (folder_of_images / "cat" / "._0.png").write_text("no picture")
    assert len(open_data(str(folder_of_images))) == 24


def test_splits_that_lose_every_picture_are_held_out_anew(folder_of_images: Path, tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    (folder_of_images / "cat").rename(tmp_path / "sets" / "train")
    (tmp_path / "sets" / "test").mkdir()
    (tmp_path / "sets" / "test" / "a.png").write_text("no picture")
    data = open_data(str(tmp_path / "sets"), skip_bad=True)
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [10, 1, 1]
    (tmp_path / "sets" / "train").rename(tmp_path / "sets" / "val")
    with pytest.raises(GenaeError, match="has folders or files for validation but none for train; add one"):
        open_data(str(tmp_path / "sets"), skip_bad=True)


def test_a_folder_that_may_not_be_looked_into_is_refused(folder_of_images: Path, monkeypatch) -> None:
    def scandir(path: str) -> object:
        if os.path.basename(path) in closed:  # root may look into all
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return really(path)

    really, closed = os.scandir, ["dog"]
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(GenaeError, match="dog cannot be looked into \\(Permission denied\\); repair or remove it"):
        open_data(folder_of_images)
    closed[0] = "lost+found"
    (folder_of_images / "lost+found").mkdir()
    assert len(open_data(folder_of_images)) == 24


def test_a_link_to_a_folder_is_said(folder_of_images: Path, tmp_path: Path, monkeypatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(screen, "note", notes.append)
    link = folder_of_images / "more"
    try:
        link.symlink_to(folder_of_images / "cat")
    except OSError:
        pytest.skip("no links here")
    assert len(open_data(folder_of_images)) == 24
    assert notes == [f"{link} is a link to a folder, which is not followed; move the folder itself there"]
