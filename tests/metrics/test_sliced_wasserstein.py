"""Sliced Wasserstein distance: closed forms, sets of unlike size, an independent reference."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from genae.metrics.sliced_wasserstein import sliced_wasserstein_distance
from tests.metrics.vectors import normal


def test_a_shift_costs_its_length_over_the_root_of_the_dimension() -> None:
    x, shift = normal(50, 6), normal(6, seed=1)
    # On the direction t a shift s costs (s t)^2, whose mean over the sphere is |s|^2 / D.
    expected = float(shift.norm()) / 6**0.5
    assert sliced_wasserstein_distance(x, x + shift, 20_000) == pytest.approx(expected, rel=0.01)


def test_on_a_line_it_is_the_wasserstein_distance_of_sorted_values() -> None:
    x, y = normal(40, 1), 2 * normal(40, 1, seed=1) + 1
    expected = (x.sort(0).values - y.sort(0).values).square().mean().sqrt()
    assert sliced_wasserstein_distance(x, y, 3) == pytest.approx(float(expected), rel=1e-12)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.integers(0, 99))
def test_sets_of_unlike_size_are_those_with_every_row_repeated(n: int, m: int, d: int, seed: int) -> None:
    x, y = normal(n, d, seed=seed), normal(m, d, seed=seed + 100)
    whole = sliced_wasserstein_distance(x.repeat(m, 1), y.repeat(n, 1), 16)
    assert sliced_wasserstein_distance(x, y, 16) == pytest.approx(whole, abs=1e-9)
    assert sliced_wasserstein_distance(y, x, 16) == pytest.approx(whole, abs=1e-9)


def test_it_is_below_the_wasserstein_distance_and_zero_for_equal_sets() -> None:
    x, y = normal(30, 3), normal(30, 3, seed=1) + 0.5
    costs = torch.cdist(x, y).square().numpy()
    squared = costs[linear_sum_assignment(costs)].mean()  # W_2^2, by the best pairing
    # Under that pairing a direction costs (t (x - y))^2, on average |x - y|^2 / D; its own pairing costs no more.
    assert 0 < sliced_wasserstein_distance(x, y, 20_000) < 1.01 * (squared / 3) ** 0.5
    assert sliced_wasserstein_distance(x, x[torch.randperm(30)]) == pytest.approx(0, abs=1e-12)
    assert sliced_wasserstein_distance(x, y, seed=1) != sliced_wasserstein_distance(x, y, seed=2)


@pytest.mark.parametrize(("x", "y"), [((0, 3), (4, 3)), ((4, 3), (4, 2)), ((4,), (4,))])
def test_wrong_shapes_are_refused(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[N, D\], \[M, D\]"):
        sliced_wasserstein_distance(torch.zeros(x), torch.zeros(y))
