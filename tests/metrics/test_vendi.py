"""Vendi score: bounds, duplicates, and its definition by the kernel matrix."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genae.metrics.vendi import vendi_score


def by_definition(features: torch.Tensor) -> float:
    """Friedman and Dieng 2023, Eq. 3: all N eigenvalues of the kernel matrix."""
    rows = features.double().numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(rows @ rows.T / len(rows))
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


@given(st.integers(1, 30), st.integers(2, 12), st.integers(0, 99))
def test_it_is_what_its_definition_says(n: int, d: int, seed: int) -> None:
    features = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    score = vendi_score(features)
    assert score == pytest.approx(by_definition(features), rel=1e-6)
    assert 1 - 1e-9 <= score <= min(n, d) + 1e-9


def test_copies_add_nothing_and_orthogonal_rows_count_one_each() -> None:
    different = torch.eye(7)
    assert vendi_score(different) == pytest.approx(7)
    assert vendi_score(different.repeat(5, 1)) == pytest.approx(7)
    assert vendi_score(3 * different[:1].repeat(9, 1)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("features", "message"), [(torch.zeros(0, 3), r"\[0, 3\]"), (torch.zeros(2, 3), "row of features is zero")]
)
def test_what_has_no_score_is_refused(features: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vendi_score(features)
