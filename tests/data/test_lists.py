"""Official splits, as lists and as folders."""

import pickle
import zipfile
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import torchvision
from PIL import Image

from genae.data.sources import open_data
from genae.errors import GenaeError


def _listed(root: Path, above: str, train: str, test: str, lines: dict[str, list[str]]) -> Path:
    """Indoor67's and Places205's layouts: pictures in folders of classes, and lists beside them."""
    for name in (f"{place}/{i}.png" for place in ("a/abbey", "a/alley", "bar") for i in range(4)):
        path = root / above / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), int(path.stem), np.uint8)).save(path)
    (root / train).parent.mkdir(parents=True, exist_ok=True)
    for list_name, wanted in lines.items():
        (root / {"train": train, "test": test}[list_name]).write_text("\n".join(wanted) + "\n")
    return root


@pytest.mark.parametrize(
    ("above", "train", "test", "end"),
    [("Images", "TrainImages.txt", "TestImages.txt", ""), ("data/x", "lists/train_p.csv", "lists/test_p.csv", ",7")],
)
def test_official_splits_come_from_lists(above: str, train: str, test: str, end: str, tmp_path: Path) -> None:
    lines = {
        "train": [f"{c}/{i}.png{end}" for c in ("a/abbey", "a/alley", "bar") for i in (0, 1, 2)],
        "test": [f"bar/3.png{end}", f"a/abbey/3.png{end}"],
    }
    root = _listed(tmp_path / "set", above, train, test, lines)
    data = open_data(str(root))
    assert data.classes == ("a/abbey", "a/alley", "bar")
    assert data.labels is not None
    held = data.split("test").tolist()
    assert [data.names[i] for i in held] == [f"{above}/bar/3.png", f"{above}/a/abbey/3.png"]
    assert data.labels[held].tolist() == [2, 0]
    assert sum(len(data.split(name)) for name in ("train", "validation")) == 9, "a/alley/3.png is in no list"
    assert "11 of 12" in data.notes[0]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in root.rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path))
    assert open_data(str(tmp_path / "set.zip")).digest == data.digest

    (root / train).unlink()
    more = open_data(str(root))
    assert sum(len(more.split(name)) for name in ("train", "validation")) == 10, "all that is not for testing"
    (root / test).write_text("bar/3.png\nbar/30.png\n")
    with pytest.raises(GenaeError, match="1 of the 2 pictures in the test list are not there, such as .*bar/30.png"):
        open_data(str(root))
    (root / test).write_text("# no picture\n")
    with pytest.raises(GenaeError, match="the line '# no picture'"):
        open_data(str(root))
    (root / test).write_text("\ufeffbar/3.png\nbar/3.png\n", encoding="utf-8")
    assert len(open_data(str(root)).split("test")) == 1, "named once, behind a byte order mark"
    (root / train).write_text("bar/2.png\nbar/3.png\n")
    with pytest.raises(GenaeError, match="1 pictures are in the .* list and in the .* list, such as .*bar/3.png"):
        open_data(str(root))
    (root / train).write_text("\n")
    with pytest.raises(GenaeError, match="is empty; expected a picture's path in every line"):
        open_data(str(root))


def test_the_papers_other_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageNet: folders of splits and classes. CIFAR-100: torchvision's copy."""
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for wordnet in ("n01440764", "n01443537"):
            folder = tmp_path / "imagenet" / split / wordnet
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (40 + i, 30)).save(folder / f"{wordnet}_{i}.JPEG")
    data = open_data(str(tmp_path / "imagenet"), size=24, fit="crop")
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [12, 4, 4]
    assert data.classes == ("n01440764", "n01443537")
    assert data.image_shape == (3, 24, 24)

    folder = tmp_path / "cifar" / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, count in (("train", 20), ("test", 5)):
        content = {"data": np.zeros((count, 3072), np.uint8), "fine_labels": [i % 3 for i in range(count)]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "bear", "can"]}))
    # torchvision checks the sums of the real files
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setitem(torchvision.datasets.CIFAR100.meta, "md5", None)
    data = open_data("cifar100", data_root=str(tmp_path / "cifar"))
    assert data.image_shape == (3, 32, 32)
    assert data.classes == ("apple", "bear", "can")
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == [18, 2, 5]


def test_lists_made_on_windows(tmp_path: Path) -> None:
    lines = {
        name: [str(PureWindowsPath("bar", f"{i}.png")) for i in ns] for name, ns in (("train", (0, 1)), ("test", (3,)))
    }
    assert lines["test"] == ["bar\\3.png"]
    root = _listed(tmp_path / "set", "Images", "TrainImages.txt", "TestImages.txt", lines)
    data = open_data(str(root))
    assert data.names == ("Images/bar/0.png", "Images/bar/1.png", "Images/bar/3.png")
