"""Paths between codes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genae.latent.paths import grid, lerp, path, slerp


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("a", "b", "at", "expected"),
    [
        (t(1, 0), t(0, 1), 0.5, t(math.sqrt(0.5), math.sqrt(0.5))),
        (t(1, 0), t(0, 1), 1 / 3, t(math.cos(math.pi / 6), 0.5)),
        (t(1, 0), t(0.5, math.sqrt(0.75)), 0.25, t(math.cos(math.pi / 12), math.sin(math.pi / 12))),
        (t(2, 0, 0), t(0, 3, 0), 0.5, t(math.sqrt(2), 1.5 * math.sqrt(2), 0)),
        (t(1, 0), t(0, 1), 1.2, t(-math.sin(math.pi / 10), math.cos(math.pi / 10))),
        (t(1, 1), t(2, 2), 0.25, t(1.25, 1.25)),  # parallel: linear
        (t(1, 0), t(-1, 0), 0.25, t(0.5, 0)),  # opposite: linear
        (t(0, 0), t(1, 0), 0.5, t(0.5, 0)),  # no angle: linear
    ],
)
def test_slerp(a: torch.Tensor, b: torch.Tensor, at: float, expected: torch.Tensor) -> None:
    assert torch.allclose(slerp(a, b, at), expected, atol=1e-12)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.floats(0, 1))
def test_spherical_paths_keep_unit_length(values: list[float], at: float) -> None:
    a, b = t(*values[:2], 1.0), t(*values[2:], 1.0)
    a, b = a / a.norm(), b / b.norm()
    if float(a @ b) < 0.999:
        assert float(slerp(a, b, at).norm()) == pytest.approx(1)


def test_paths_have_equal_steps_and_both_ends() -> None:
    a, b = torch.zeros(2, 3), torch.ones(2, 3)
    steps = path(a, b, 5)
    assert steps.shape == (5, 2, 3)
    assert torch.equal(steps[0], a)
    assert torch.equal(steps[-1], b)
    assert torch.allclose(steps.diff(dim=0), torch.full((4, 2, 3), 0.25))


def test_grid_has_the_images_in_its_corners() -> None:
    corners = torch.eye(4)
    codes = grid(corners, 3, 5)
    assert codes.shape == (3, 5, 4)
    found = torch.stack([codes[0, 0], codes[0, -1], codes[-1, 0], codes[-1, -1]])
    assert torch.equal(found, corners)
    assert torch.allclose(codes[1, 2], torch.full((4,), 0.25))


def test_lerp() -> None:
    assert torch.allclose(lerp(t(1, 2, -1, 0.5), t(0.3, -1, 2, 1), 0.3), t(0.79, 1.1, -0.1, 0.65))
