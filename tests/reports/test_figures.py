"""Grids of images."""

import pytest
import torch

from genae.reports import figures


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_pictures_of_any_channel_count(channels: int) -> None:
    images = torch.rand(2, 3, channels, 6, 9) * 2 - 1
    sheet = figures.grid(images, ["a", "b"], ["1", "2", "3"], "title")
    assert sheet.mode == "RGB"
    assert sheet.width >= 3 * 9 * 7


def test_a_share_shows_on_black_as_on_white() -> None:
    for value in (-1.0, 1.0):
        image = torch.full((1, 3, 4, 4), value)
        none, half, full = (figures.lit(image, torch.full((1, 1, 4, 4), share)) for share in (0.0, 0.5, 1.0))
        assert (full - none).abs().amax() > 0.5
        assert (full[:, 0] - full[:, 2] > half[:, 0] - half[:, 2] + 0.3).all(), "the more orange, the likelier"
        assert none.min() >= -1
        assert full.max() <= 1
    assert figures.lit(torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4)).shape == (2, 3, 4, 4)


def test_a_grid_of_many_classes_is_not_much_higher_than_wide() -> None:
    classes = [f"class {number}" for number in range(100)]
    drawn = figures.class_grid(torch.zeros(100, 2, 1, 64, 64), classes, "Samples")
    assert drawn.height == 26 + 25 * 66 + 2
    one = figures.class_grid(torch.zeros(25, 2, 1, 64, 64), classes[75:], "Samples")
    assert drawn.width > 4 * (one.width - 12), "four columns of rows"
    few = figures.class_grid(torch.zeros(26, 2, 1, 64, 64), classes[:26], "Samples")
    assert few.height == 26 + 13 * 66 + 2, "columns are equal"
    long = figures.class_grid(torch.zeros(2, 1, 1, 64, 64), ["a" * 1000, "b"], "Samples")
    assert long.width < 400


def test_letters_beyond_ascii_are_drawn() -> None:
    images = torch.zeros(1, 1, 1, 8, 8)
    one, other = (figures.grid(images, rows=[f"K{letter}fer"], title=f"M{letter}we") for letter in "äö")
    assert one.tobytes() != other.tobytes(), "a letter that a font lacks is an empty box, whichever it is"
