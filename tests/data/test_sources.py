"""Sources of every kind, and their options."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from genae.data.sources import open_data
from genae.data.transforms import parse_size
from genae.errors import GenaeError
from tests.reading import pixels_of


def test_value_range_of_floats_is_that_of_padding_too(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.linspace(-1, 1, 5 * 36, dtype=np.float32).reshape(5, 6, 6))
    data = open_data(str(tmp_path / "a.npy"), size=8, fit="pad")
    assert float(data.images(torch.tensor([4]))[0, 0, 0, 0]) == -1, "padding is black"


def test_missing_paths_suggest_names() -> None:
    with pytest.raises(GenaeError, match="did you mean 'digits'"):
        open_data("digit")


def test_labels_belong_to_the_identity_of_data(tmp_path: Path) -> None:
    images = np.arange(9 * 16, dtype=np.uint8).reshape(9, 4, 4)
    for name, labels in (("a", np.arange(9) % 2), ("b", 1 - np.arange(9) % 2), ("c", np.arange(9) % 3)):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=labels)
    assert len({open_data(str(tmp_path / f"{name}.npz")).digest for name in "abc"}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels is 0"),
        ({"channels": -1}, "channels is -1"),
        ({"value_range": (0, float("inf"))}, "value range .* 0 to inf"),
        ({"fit": "squeeze"}, "fit is 'squeeze'"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, object], message: str) -> None:
    with pytest.raises(GenaeError, match=message):
        open_data("digits", **options)


def test_extreme_aspects_survive_resizing(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((4, 8, 200), np.uint8))
    for size, fit in (("12", "pad"), ("64x4", "crop"), ("4x300", "stretch")):
        data = open_data(str(tmp_path / "wide.npy"), size=size, fit=fit)
        assert data.image_shape[1:] == parse_size(size)


def test_empty_files_are_refused(tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz", "a.zip"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(GenaeError, match="not a readable"):
            open_data(str(tmp_path / name))


def test_arrays_and_tensors_are_sources() -> None:
    images = np.arange(9 * 48, dtype=np.int64).reshape(9, 4, 4, 3).astype(np.uint8)
    data = open_data(images)
    assert torch.equal(pixels_of(data), torch.from_numpy(images).permute(0, 3, 1, 2))
    assert torch.equal(pixels_of(open_data(torch.from_numpy(images))), pixels_of(data))
    half = torch.rand(9, 3, 8, 8, requires_grad=True).bfloat16()
    assert torch.equal(pixels_of(open_data(half)), half.detach().float())
    assert open_data(torch.rand(9, 8, 8).double()).image_shape == (1, 8, 8)
    with pytest.raises(GenaeError, match=r"the array has shape \[4, 4\]; expected \[N, H, W\]"):
        open_data(images[0, :, :, 0])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "is of type NoneType; expected a built-in name, the path"),
        (3, "is of type int"),
        (np.float32(3), "is of type float32"),
        ("", "is empty"),
        ([], "is empty"),
        ([None], "is of type list"),
        ([np.zeros((4, 4))], "is a list of arrays; stack them"),
        ("x" * 300, "cannot be a path: File name too long"),
        ("/dev/null", "is neither a folder of images, a .zip or .tar of one"),
    ],
)
def test_what_cannot_be_a_source(source: object, message: str) -> None:
    with pytest.raises(GenaeError, match=message) as refused:
        open_data(source)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (torch.tensor([-1]), "there is no image -1 in digits; expected indices from 0 to 1796"),
        (torch.tensor([0, 1797]), "there is no image 1797"),
        (torch.tensor([1.0]), "are torch.float32; expected a tensor of integers"),
        (torch.ones(1797, dtype=torch.bool), "are torch.bool"),
        ([1, 2], "are list"),
    ],
)
def test_indices_of_images_are_checked(indices: Tensor, message: str) -> None:
    data = open_data("digits")
    assert data.images(torch.arange(0)).shape == (0, 1, 8, 8)
    with pytest.raises(GenaeError, match=message):
        data.images(indices)


def test_conversions_are_recorded(folder_of_images: Path) -> None:
    assert open_data("digits").conversions == ()
    assert open_data("digits", channels=3).conversions == ("converted from 1 to 3 channels",)
    grey = open_data(str(folder_of_images), channels=1)
    assert grey.conversions == ("converted from 3 to 1 channels",)
    assert "converted from 3 to 1 channels" in grey.describe()
    assert open_data(str(folder_of_images), channels=3).conversions == ()


@pytest.mark.parametrize("source", ["digits", "folder"])
def test_more_than_the_memory_is_refused_at_once(source: str, folder_of_images: Path) -> None:
    with pytest.raises(GenaeError, match=r"at 1000000x1000000 take .* GB; this machine has .* smaller --size"):
        open_data(str(folder_of_images) if source == "folder" else source, size=1_000_000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": "3"}, "channels is '3'; expected 1"),
        ({"channels": 2}, "images with 1 channels cannot be converted to 2"),
        ({"value_range": "0,1"}, "value_range is '0,1'; expected two numbers"),
        ({"data_root": 3}, "data_root is 3; expected the path of a folder"),
        ({"size": (8, 8, 8)}, r"size is \(8, 8, 8\); expected a number of pixels"),
        ({"size": (0, 8)}, r"size is \(0, 8\)"),
    ],
)
def test_options_of_the_wrong_kind(options: dict[str, object], message: str) -> None:
    with pytest.raises(GenaeError, match=message):
        open_data("digits", **options)  # type: ignore[arg-type]


def test_splits_are_named() -> None:
    data = open_data("digits")
    assert len(data.split("all")) == 1797
    with pytest.raises(GenaeError, match="has no split 'tset'; did you mean 'test'"):
        data.split("tset")
