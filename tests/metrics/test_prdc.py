"""Precision, recall, density, coverage."""

import math

import pytest

from genae.metrics.prdc import coverage
from tests.metrics.vectors import normal


def test_precision_and_recall_agree_with_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = normal(150, 6), normal(130, 6, seed=1) * 0.8 + 0.4
    precision, recall = calculate_precision_recall_full(fake, real, neighborhood=3)
    ours = coverage(real, fake)
    assert (ours.precision, ours.recall) == pytest.approx((precision, recall), abs=1e-7)
    assert 0 < ours.precision < 1
    assert 0 < ours.recall < 1


def test_density_and_coverage_by_their_definitions() -> None:
    real, fake, k = normal(40, 3), normal(30, 3, seed=1) + 0.5, 5
    radius = [sorted(math.dist(a, b) for b in real.tolist())[k] for a in real.tolist()]  # the 0th is itself
    inside = [[math.dist(a, b) <= r for b in fake.tolist()] for a, r in zip(real.tolist(), radius, strict=True)]
    ours = coverage(real, fake)
    assert ours.density == pytest.approx(sum(map(sum, inside)) / (k * 30))
    assert ours.coverage == pytest.approx(sum(map(any, inside)) / 40)


def test_equal_sets_cover_each_other_and_far_ones_do_not() -> None:
    x = normal(60, 4)
    assert coverage(x, x)[:2] == (1, 1)
    assert coverage(x, x).coverage == 1
    assert coverage(x, x + 100) == (0, 0, 0, 0)
