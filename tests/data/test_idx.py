"""MNIST's files, wherever they are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from genae.data.sources import open_data
from genae.errors import GenaeError
from tests.reading import pixels_of


def test_local_copy_of_mnist_without_unpacking(tmp_path: Path, mnist_copy: Callable[..., Path]) -> None:
    mnist_copy(tmp_path)
    data = open_data("mnist", data_root=str(tmp_path), size=32, fit="pad")
    assert data.image_shape == (1, 32, 32)
    assert data.split("test").tolist() == list(range(20, 25))
    assert not pixels_of(data)[:, :, :2].any()
    assert pixels_of(data)[0, 0, 2, 2:30].tolist() == list(range(28))


def test_a_damaged_copy_is_named(tmp_path: Path, mnist_copy: Callable[..., Path]) -> None:
    mnist_copy(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(GenaeError, match="train-images-idx3-ubyte.gz is not a complete IDX file"):
        open_data("mnist", data_root=str(tmp_path))


@pytest.mark.parametrize("layout", ["MNIST/raw", "mnist", "a/b/deep/mnist-copy", "fashion project/MNIST", "files"])
@pytest.mark.parametrize(("dot", "ending"), [("-", ".gz"), ("-", ""), (".", ""), (".", ".gz")])
def test_files_are_found_in_any_layout(
    layout: str, dot: str, ending: str, tmp_path: Path, mnist_copy: Callable[..., Path]
) -> None:
    mnist_copy(tmp_path, layout, dot, ending)
    assert len(open_data("mnist", data_root=str(tmp_path))) == 25


def test_a_folder_that_names_the_data_set_is_preferred(tmp_path: Path, mnist_copy: Callable[..., Path]) -> None:
    mnist_copy(tmp_path, "a", first=1)
    mnist_copy(tmp_path, "z/dataset-fashion-mnist", first=2)
    assert pixels_of(open_data("fashion-mnist", data_root=tmp_path))[0, 0, 0, 0] == 2
    assert pixels_of(open_data("mnist", data_root=tmp_path))[0, 0, 0, 0] == 1, "of no name, but not of another"
    mnist_copy(tmp_path, "z/mnist", first=3)
    assert pixels_of(open_data("mnist", data_root=tmp_path))[0, 0, 0, 0] == 3
    assert pixels_of(open_data("fashion-mnist", data_root=tmp_path / "z" / "dataset-fashion-mnist"))[0, 0, 0, 0] == 2
    with pytest.raises(GenaeError, match="mnist is not below .*none is there"):
        open_data("mnist", data_root=tmp_path / "z" / "dataset-fashion-mnist")


def test_links_are_followed_once(tmp_path: Path, mnist_copy: Callable[..., Path]) -> None:
    mnist_copy(tmp_path / "elsewhere", "files")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    assert len(open_data("mnist", data_root=tmp_path / "root")) == 25


@pytest.mark.parametrize("name", ["mnist", "mnist-dw", "fashion-mnist", "cifar10"])
def test_a_data_root_is_never_written_to(name: str, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(GenaeError, match=r"is not below .*: looked for .*; correct --data-root, or leave it out"):
        open_data(name, data_root=tmp_path / "root")
    assert [path.name for path in tmp_path.rglob("*")] == ["root", "train-images-idx3-ubyte"]
    with pytest.raises(GenaeError, match="there is no folder .*nowhere"):
        open_data(name, data_root=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_images_and_labels_must_fit(tmp_path: Path, mnist_copy: Callable[..., Path]) -> None:
    folder = mnist_copy(tmp_path, ending="")
    (folder / "t10k-labels-idx1-ubyte").write_bytes((folder / "train-labels-idx1-ubyte").read_bytes())
    with pytest.raises(GenaeError, match=r"t10k-images-idx3-ubyte holds \[5, 28, 28\] values beside \[20\] labels"):
        open_data("mnist", data_root=tmp_path)
    (folder / "train-images-idx3-ubyte").unlink()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b\x08\x00" + bytes(40))
    with pytest.raises(GenaeError, match="train-images-idx3-ubyte.gz is not a complete IDX file"):
        open_data("mnist", data_root=tmp_path)
