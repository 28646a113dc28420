"""Sizes and ranges."""

import pytest
import torch

from genae.data.transforms import parse_size, resize, to_uint8, to_unit_range
from genae.errors import GenaeError


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(8, 8), (9, 14), (40, 30)])
def test_resize_gives_the_size_and_keeps_flat_images_flat(fit: str, size: tuple[int, int]) -> None:
    images = torch.full((2, 3, 20, 30), 100, dtype=torch.uint8)
    out = resize(images, size, fit)
    assert out.shape == (2, 3, *size)
    assert out[..., size[0] // 2, size[1] // 2].eq(100).all()
    if fit != "pad":
        assert out.eq(100).all()


def test_sizes_in_words() -> None:
    assert parse_size("64") == (64, 64)
    assert parse_size("48x64") == (48, 64)
    for bad in ("", "big", "4x5x6", "0", "-3"):
        with pytest.raises(GenaeError, match="expected a number of pixels"):
            parse_size(bad)


def test_bytes_survive_the_models_range() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_unit_range(values, 0, 255)), values)
