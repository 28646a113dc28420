"""Directions of attributes in code space."""

from pathlib import Path

import numpy as np
import pytest
import torch

from genae.errors import GenaeError
from genae.latent import directions
from genae.latent.directions import direction, separating_direction
from genae.storage import FileRows


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


def test_directions_of_codes_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    has = torch.arange(500) % 50 == 0
    codes[has] += torch.tensor([2.0, 3.0, 0.0])
    np.save(tmp_path / "codes.npy", codes.numpy())
    whole, plane = direction(codes, has), separating_direction(codes, has)
    monkeypatch.setattr("genae.rows.CHUNK", 12 * 70)
    read = FileRows(tmp_path / "codes.npy")
    assert torch.allclose(direction(read, has), whole, rtol=1e-6)
    assert torch.allclose(whole, codes[has].mean(0) - codes[~has].mean(0), atol=1e-6)
    assert torch.allclose(separating_direction(read, has), plane, rtol=1e-5)
    monkeypatch.setattr(directions, "MOST_FOR_PLANE", 200)
    rows, of_rows = directions._some(read, has)
    assert (len(rows), int(of_rows.sum())) == (200, 10), "all ten that have it"
    assert torch.equal(rows[of_rows], codes[has])
    monkeypatch.setattr(directions, "MOST_FOR_PLANE", 10)
    assert int(directions._some(read, has)[1].sum()) == 5
