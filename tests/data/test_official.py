"""Splits and classes that data sets bring with them."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from genae.data.official import official
from genae.data.sources import ImageData, open_data
from genae.data.stream import open_stream
from genae.errors import GenaeError
from tests.reading import pixels_of


def _pictures(folder: Path, names: list[str], size: tuple[int, int] = (8, 8)) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size, 3), number, np.uint8)).save(path)
    return folder


def _names(data: ImageData, split: str) -> list[str]:
    return [data.names[i] for i in data.split(split).tolist()]


FACES = [f"{number:06d}.png" for number in range(1, 8)]
PARTITION = [0, 0, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("ending", ["txt", "csv"])
def test_celeba_is_split_as_its_table_says(inside: bool, ending: str, tmp_path: Path) -> None:
    root = _pictures(tmp_path / "celeba" / "img_align_celeba", FACES)
    rows = [*FACES, "000099.png"], [*PARTITION, 1]  # a picture that this copy lacks
    separator, header = (" ", "") if ending == "txt" else (",", "image_id,partition\n")
    lines = "".join(f"{face}{separator}{part}\n" for face, part in zip(*rows, strict=True))
    table = (root if inside else root.parent) / f"list_eval_partition.{ending}"
    table.write_text(header + lines)
    data = open_data(root)
    assert _names(data, "train") == [FACES[i] for i in (0, 1, 3, 6)]
    assert _names(data, "validation") == [FACES[4]]
    assert _names(data, "test") == [FACES[2], FACES[5]]
    assert data.labels is None
    assert data.notes[0] == f"7 of 7 image files, 8x8 (as list_eval_partition.{ending} says)"
    assert len(open_stream(root, split="test")) == 2


def test_copies_of_celeba_with_other_endings_and_separators(tmp_path: Path) -> None:
    root = _pictures(tmp_path / "celeba" / "img_align_celeba_png", [*FACES[:3], FACES[3].upper()])
    table = root.parent / "list_eval_partition.txt"
    table.write_bytes(b"000001.jpg  0\r\n000002.jpg\t2\r\n000003.jpg 1\r\n000004.jpg 0\r\n")
    for source in (root, root.parent):
        assert {split: len(open_data(source).split(split)) for split in ("train", "validation", "test")} == {
            "train": 2, "validation": 1, "test": 1,
        }  # fmt: skip
    _pictures(root.parent / "img_align_celeba", FACES[:1])
    with pytest.raises(GenaeError, match=r"names 000001, and there are img_align_celeba/000001.png and img_align_cel"):
        open_data(root.parent)
    table.write_text("000001.jpg 0\n000001.jpg 2\n")
    with pytest.raises(GenaeError, match="names 000001 in two splits"):
        open_data(root)


def test_oxford_102_is_split_as_its_tables_say(tmp_path: Path) -> None:
    names = [f"jpg/image_{number:05d}.jpg" for number in range(1, 7)]
    root = _pictures(tmp_path / "flowers-102", names)
    savemat(root / "setid.mat", {"trnid": [[2, 6, 1]], "valid": [[3]], "tstid": [[5, 4]]})
    savemat(root / "imagelabels.mat", {"labels": [[10, 2, 2, 10, 101, 2]]})
    for source in (root, root / "jpg"):
        data = open_data(source)
        assert {Path(name).stem[-1] for name in _names(data, "train")} == {"1", "2", "6"}
        assert {Path(name).stem[-1] for name in _names(data, "test")} == {"4", "5"}
        assert data.classes == ("002", "010", "101")
        assert data.labels is not None
        assert data.labels.tolist() == [1, 0, 0, 1, 2, 0]
    with zipfile.ZipFile(tmp_path / "flowers.zip", "w") as archive:
        for file in root.rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path))
    assert set(_names(open_data(tmp_path / "flowers.zip"), "test")) == set(names[3:5])
    savemat(root / "imagelabels.mat", {"labels": [[10, 2, 2]]})
    with pytest.raises(GenaeError, match=r"imagelabels.mat has 3 labels and none for .*image_0000[4-6].jpg; restore"):
        open_data(root)
    savemat(root / "setid.mat", {"trnid": [[2, 6, 1]], "valid": [[0]], "tstid": [[5, 4]]})
    with pytest.raises(GenaeError, match=r"setid.mat holds numbers of pictures below 1; restore or remove it"):
        open_data(root)
    (root / "setid.mat").write_bytes(b"MATLAB 5.0, cut short")
    with pytest.raises(GenaeError, match=r"setid.mat holds no arrays trnid, valid, tstid .*; restore or remove it"):
        open_data(root)


def test_oxford_102_in_folders(tmp_path: Path) -> None:
    names = [f"{split}/{kind}/{i}.png" for split in ("train", "valid", "test") for kind in ("1", "10") for i in (0, 1)]
    data = open_data(_pictures(tmp_path / "flowers", names))
    assert {split: len(data.split(split)) for split in data.splits} == {"train": 4, "validation": 4, "test": 4}
    assert data.classes == ("1", "10")


def test_lsun_is_split_as_its_folders_say(tmp_path: Path) -> None:
    names = [
        f"{room}_{split}_lmdb/{i}/x{i}.png"
        for room in ("bedroom", "tower")
        for split in ("train", "val")
        for i in range(9)
    ]
    data = open_data(_pictures(tmp_path / "lsun", names))
    assert data.classes == ("bedroom", "tower")
    assert all("_val_" in name for name in _names(data, "validation"))
    assert len(data.split("validation")) == 18
    assert all("_train_" in name for name in _names(data, "train") + _names(data, "test"))


@pytest.mark.parametrize(("total", "train", "name"), [(70_000, 60_000, "FFHQ"), (30_000, 27_000, "CelebA-HQ")])
def test_numbered_faces_end_with_the_test_images(total: int, train: int, name: str) -> None:
    names = [f"{i // 1000 * 1000:05d}/{i:05d}.png" for i in range(total)]
    layout = official(sorted(names, key=str), [], lambda name: b"")
    assert layout.splits["train"] == names[:train]
    assert layout.splits["test"] == names[train:]
    assert set(layout.splits["validation"]) < set(names[:train])
    assert layout.source.startswith(f"numbered as {name}: the last {total - train:,} are test")
    assert layout.class_of(names[0]) == "", "folders of a thousand pictures are no classes"
    assert not official(names[1:], [], lambda name: b"").splits
    in_classes = [f"{'cat' if i % 2 else 'dog'}/{i:05d}.png" for i in range(total)]
    layout = official(in_classes, [], lambda name: b"")
    assert not layout.splits, "pictures in folders of classes are a user's own"
    assert layout.class_of(in_classes[0]) == "dog"
    in_splits = [f"{'val' if i % 10 == 0 else 'train'}/{i:05d}.png" for i in range(total)]
    assert len(official(in_splits, [], lambda name: b"").splits["validation"]) == total // 10


def test_tables_that_do_not_fit(tmp_path: Path) -> None:
    root = _pictures(tmp_path / "set" / "pictures", ["a.png", "b.png", "c.png"])
    (root.parent / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    assert open_data(root).notes[0].startswith("3 image files"), "a table beside the folder may be of other pictures"
    (root / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    with pytest.raises(GenaeError, match=r"list_eval_partition.txt names no training picture among the 3; remove it"):
        open_data(root)
    (root / "list_eval_partition.txt").write_text("a.png train\n")
    with pytest.raises(GenaeError, match="holds the line 'a.png train'; expected a picture and 0, 1 or 2"):
        open_data(root)


def test_aligned_faces_are_cut_as_by_the_authors(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (218, 178, 3), dtype=np.uint8)
    (tmp_path / "faces").mkdir()
    Image.fromarray(picture).save(tmp_path / "faces" / "1.png")
    pixels = pixels_of(open_data(tmp_path / "faces", size=128, fit="celeba"))[0]
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), picture[60:188, 25:153])
    _pictures(tmp_path / "others", ["1.png"])
    with pytest.raises(GenaeError, match="8x8 pixels; --fit celeba expects CelebA's aligned 218x178"):
        open_data(tmp_path / "others", size=128, fit="celeba")
