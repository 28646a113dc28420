"""Spread and rank of codes."""

import pytest
import torch

from genae.metrics.code_spread import code_statistics
from tests.metrics.vectors import t


def test_code_statistics() -> None:
    assert code_statistics(t([0.0, 0.0], [2.0, 0.0])).rank == pytest.approx(1)
    spread = code_statistics(t([1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]))
    assert spread.rank == pytest.approx(2)
    assert spread.deviation == pytest.approx((2 / 3) ** 0.5)
    assert code_statistics(torch.ones(5, 3)) == (0, 1)
