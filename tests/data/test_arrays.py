"""Arrays, and one clear sentence for each that cannot be used."""

from pathlib import Path

import numpy as np
import pytest
import torch

from genae.data.sources import open_data
from genae.errors import GenaeError


@pytest.mark.parametrize(
    ("array", "shape", "low", "high"),
    [
        (np.zeros((9, 6, 5), np.uint8), (1, 6, 5), 0, 255),
        (np.zeros((9, 6, 5, 3), np.uint8), (3, 6, 5), 0, 255),
        (np.zeros((9, 4, 6, 5), np.uint8), (4, 6, 5), 0, 255),
        (np.zeros((9, 13, 20, 20), np.uint16), (13, 20, 20), 0, 65535),
        (np.zeros((9, 20, 20, 13), np.uint16), (13, 20, 20), 0, 65535),
        (np.arange(9 * 24, dtype=np.int64).reshape(9, 6, 4), (1, 6, 4), 0, 255),
        (np.arange(-90, 90, dtype=np.int16).reshape(9, 5, 4), (1, 5, 4), -90, 89),
        (np.linspace(0, 1, 270, dtype=np.float32).reshape(9, 6, 5), (1, 6, 5), 0, 1),
        (np.linspace(-1, 1, 270, dtype=np.float64).reshape(9, 6, 5), (1, 6, 5), -1, 1),
        (np.linspace(-7, 3, 270, dtype=np.float32).reshape(9, 6, 5), (1, 6, 5), -7, 3),
    ],
)
def test_arrays(array: np.ndarray, shape: tuple[int, ...], low: float, high: float, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", images=array, labels=np.arange(9) % 2)
    for file in ("a.npy", "a.npz"):
        data = open_data(str(tmp_path / file))
        assert data.image_shape == shape
        assert (data.low, data.high) == (low, high)
        x = data.images(torch.arange(9))
        assert float(x.min()) >= -1
        assert float(x.max()) <= 1
    assert data.classes == ("0", "1")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((9, 4, 4), np.nan), "9 images hold NaN"),
        (np.zeros((9, 2, 2, 2), np.uint8), "two ways; say --layout"),
        (np.zeros((0, 4, 4), np.uint8), "holds no images"),
        (np.zeros((9, 4)), r"images \(9, 4\); expected an array"),
        (np.zeros((9, 4, 4), np.complex64), "complex64; expected integers or floats"),
        (np.full((9, 4, 4), 3.0), "value range .* 3 to 3; expected low < high"),
    ],
)
def test_arrays_that_cannot_be_used(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(GenaeError, match=message):
        open_data(str(tmp_path / "a.npy"))


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(GenaeError, match="not a readable NumPy file"):
        open_data(str(tmp_path / "a.npy"))


@pytest.mark.parametrize("layout", ["nhwc", "bananas"])
def test_layouts_are_checked(layout: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((9, 5, 6, 7), np.uint8))
    with pytest.raises(GenaeError, match="expected NCHW or NHWC"):
        open_data(str(tmp_path / "a.npy"), layout=layout)
    with pytest.raises(GenaeError, match="two ways"):
        open_data(str(tmp_path / "a.npy"))
    assert open_data(str(tmp_path / "a.npy"), layout="NHWC").image_shape == (7, 5, 6)
