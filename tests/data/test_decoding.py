"""Single pictures: depths, channels, orientation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genae.data.sources import open_data
from tests.reading import pixels_of


def test_sixteen_bit_and_rgba_files(tmp_path: Path) -> None:
    for folder, picture in {
        "deep": Image.fromarray(np.full((6, 5), 40_000, np.uint16)),
        "alpha": Image.fromarray(np.full((6, 5, 4), 200, np.uint8)),
        "grey": Image.fromarray(np.full((6, 5), 200, np.uint8)),
    }.items():
        (tmp_path / folder).mkdir()
        for i in range(4):
            picture.save(tmp_path / folder / f"{i}.png")
    deep = open_data(str(tmp_path / "deep"))
    assert float(deep.images(torch.tensor([0])).mean()) == pytest.approx(40_000 / 65_535 * 2 - 1, abs=1e-6)
    assert open_data(str(tmp_path / "alpha")).image_shape == (4, 6, 5)
    assert open_data(str(tmp_path / "alpha"), channels=3).image_shape == (3, 6, 5)
    assert open_data(str(tmp_path / "grey")).image_shape == (1, 6, 5)
    narrow = open_data(str(tmp_path / "deep"), value_range=(0, 50_000))
    assert float(narrow.images(torch.tensor([0])).mean()) == pytest.approx(0.6)


def test_sixteen_bit_colour_keeps_its_depth(tmp_path: Path, png16: Callable[[np.ndarray], bytes]) -> None:
    from torchvision.io import decode_image, write_png

    write_png(torch.zeros(3, 4, 5, dtype=torch.uint8), str(tmp_path / "eight.png"))
    assert decode_image(str(tmp_path / "eight.png")).shape == (3, 4, 5)
    (tmp_path / "deep").mkdir()
    for i in range(3):
        (tmp_path / "deep" / f"{i}.png").write_bytes(png16(np.full((4, 5, 3), 4000 + i, np.uint16)))
    data = open_data(str(tmp_path / "deep"))
    assert (data.low, data.high) == (0, 65535)
    assert pixels_of(data)[1].unique().tolist() == [4001]


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(20 * 12, dtype=np.uint8).reshape(20, 12))
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    for i in range(3):
        picture.save(tmp_path / f"{i}.png", exif=exif)
    assert open_data(str(tmp_path)).image_shape == (1, 12, 20)
