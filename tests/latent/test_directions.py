"""Directions of attributes in code space."""

import pytest
import torch

from genae.errors import GenaeError
from genae.latent.directions import direction, separating_direction


def test_direction_is_the_difference_of_means() -> None:
    codes = torch.tensor([[0.0, 1.0], [2.0, 1.0], [5.0, 5.0]])
    assert torch.equal(direction(codes, torch.tensor([True, True, False])), torch.tensor([-4.0, -4.0]))
    with pytest.raises(GenaeError, match="no direction for 'smile': 3 of 3"):
        direction(codes, torch.tensor([True] * 3), "smile")


def test_separating_direction_is_normal_to_the_plane_and_as_long_as_the_way_between_means() -> None:
    """Two stretched clouds: the difference of their means leans along the stretch, the plane's normal does not."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(2000, 2, generator=generator) * torch.tensor([0.1, 5.0])
    has = torch.arange(2000) % 2 == 0
    codes[has] += torch.tensor([2.0, 3.0])
    along = separating_direction(codes, has)
    means = direction(codes, has)
    assert abs(float(along[1] / along[0])) < 0.05
    assert float(means[1] / means[0]) > 1
    assert float(along.norm()) == pytest.approx(float(means @ along / along.norm()), rel=1e-5)
    with pytest.raises(GenaeError, match="no direction for 'smile': 0 of 3"):
        separating_direction(codes[:3], torch.zeros(3, dtype=torch.bool), "smile")
