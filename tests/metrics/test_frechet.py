"""Fréchet distance: closed forms, other packages, streamed moments."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genae.metrics.class_scores import inception_score
from genae.metrics.frechet import Moments, frechet_distance, moments
from genae.metrics.kernel import kernel_distance
from genae.metrics.prdc import neighbour_radii
from genae.metrics.reconstruction import ms_ssim
from tests.metrics.vectors import VECTORS, named, normal, t


@named(VECTORS["frechet_gaussians"])
def test_frechet_distance_of_gaussians(case: dict[str, Any]) -> None:
    given = [torch.tensor(case[key], dtype=torch.float64) for key in ("mu1", "sigma1", "mu2", "sigma2")]
    assert frechet_distance(*given) == pytest.approx(case["expected"], abs=1e-12)


@named(VECTORS["frechet_features"])
def test_frechet_distance_of_features(case: dict[str, Any]) -> None:
    a, b = moments(t(*case["x"])), moments(t(*case["y"]))
    assert a.distance(b) == pytest.approx(case["expected"], abs=1e-12)
    assert frechet_distance(a.mean, a.covariance, b.mean, b.covariance) == pytest.approx(case["expected"], abs=1e-12)


def test_frechet_distance_of_singular_covariances_to_60_digits() -> None:
    # Orthonormal U, V of 3 columns in 8 dimensions with exact diagonals: S1 = U A U^T, S2 = V B V^T, and the trace of
    # the root is the sum of the singular values of sqrt(A) U^T V sqrt(B), here from mpmath with 60 digits.
    import mpmath

    rows = [[(3 * i * i + 5 * j + i * j * j) % 11 - 5 for j in range(8)] for i in range(6)]
    with mpmath.workdps(60):
        x, y = mpmath.matrix(rows[:3]), mpmath.matrix(rows[3:])  # factors F^T, exact integers
        eigenvalues = mpmath.eigsy((x * y.T) * (x * y.T).T, eigvals_only=True)
        root = sum(mpmath.sqrt(abs(value)) for value in eigenvalues)
        traces = sum(value**2 for row in rows for value in map(mpmath.mpf, row))
        expected = float(traces - 2 * root)
    f1, f2 = (torch.tensor(part, dtype=torch.float64) for part in (rows[:3], rows[3:]))
    zero = torch.zeros(8, dtype=torch.float64)
    assert frechet_distance(zero, f1.T @ f1, zero, f2.T @ f2) == pytest.approx(expected, abs=1e-10)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 12), st.integers(0, 1000))
def test_frechet_distance_is_a_distance(n: int, d: int, rank: int, seed: int) -> None:
    # Features of every rank below the dimension, and fewer rows than columns: the covariance is singular.
    mix = normal(min(rank, d), d, seed=seed + 1)
    a, b = (normal(n, min(rank, d), seed=seed + i) @ mix + i for i in (2, 3))
    first, second = moments(a), moments(b)
    assert first.distance(moments(a)) == pytest.approx(0, abs=1e-10)
    assert first.distance(second) == pytest.approx(second.distance(first), abs=1e-10)
    assert first.distance(second) > 0
    from_covariances = frechet_distance(first.mean, first.covariance, second.mean, second.covariance)
    assert first.distance(second) == pytest.approx(from_covariances, abs=1e-7)


def test_frechet_distance_agrees_with_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_fid import fid_statistics_to_metric
    from torchmetrics.image.fid import _compute_fid

    a, b = normal(400, 24) @ normal(24, 24, seed=1), normal(300, 24, seed=2) @ normal(24, 24, seed=3) + 0.3
    first, second = moments(a), moments(b)
    given = (first.mean, first.covariance, second.mean, second.covariance)
    ours = first.distance(second)
    arrays = [tensor.numpy() for tensor in given]
    root = scipy.linalg.sqrtm
    with monkeypatch.context() as patch:  # pytorch-fid 0.3.0 gives it `disp`, which SciPy 1.18 does not take any more
        patch.setattr(scipy.linalg, "sqrtm", lambda x, disp=True: (root(x), 0.0))
        assert calculate_frechet_distance(*arrays) == pytest.approx(ours, rel=1e-11)
    statistics = [{"mu": arrays[i], "sigma": arrays[i + 1]} for i in (0, 2)]
    fidelity = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert fidelity == pytest.approx(ours, rel=1e-11)
    assert float(_compute_fid(*given)) == pytest.approx(ours, rel=1e-11)


def test_the_packages_err_where_rows_are_few_and_ours_does_not() -> None:
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    x = normal(20, 64)
    a, b = moments(x), moments(x + 1)  # equal covariances of rank 19: the distance is that of the means, exactly 64
    assert a.distance(b) == pytest.approx(64, abs=1e-11)
    statistics = [{"mu": m.mean.numpy(), "sigma": m.covariance.numpy()} for m in (a, b)]
    error = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"] - 64
    assert abs(error) > 1e-8


@pytest.mark.parametrize("count", [3, 8, 9, 5000, 9000])
def test_streamed_moments_are_numpys(count: int) -> None:
    rows = normal(count, 8, seed=count) * 1e-3 + 1e3  # a mean far from zero: sums of squares would cancel
    streamed = Moments()
    for part in rows.split(7):
        streamed.add(part)
    streamed.finish()
    np.testing.assert_allclose(streamed.mean, rows.mean(0), rtol=1e-15)
    np.testing.assert_allclose(streamed.covariance, np.cov(rows, rowvar=False), rtol=1e-7, atol=1e-16)
    whole = moments(rows)
    assert torch.equal(whole.mean, streamed.mean), "how rows are cut into batches does not matter"
    assert torch.equal(whole.covariance, streamed.covariance)


def test_batch_order_does_not_matter() -> None:
    a, b = normal(9000, 12).float(), normal(5000, 12, seed=1).float()
    order = torch.randperm(9000, generator=torch.Generator().manual_seed(0))
    assert moments(a[order]).distance(moments(b)) == pytest.approx(moments(a).distance(moments(b)), rel=1e-12)


def test_moments_keep_few_rows() -> None:
    streamed = Moments()
    for _ in range(20):
        streamed.add(torch.zeros(1000, 4))
        assert sum(len(part) for part in streamed._waiting) <= 5096
    assert streamed.finish().count == 20_000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: moments(torch.zeros(1, 3)), "1 rows have no covariance"),
        (lambda: moments(torch.zeros(3)), r"shape \[3\]; expected \[B, D\]"),
        (lambda: frechet_distance(t(0.0), t([1.0]), t(0.0, 0.0), t([1.0])), r"shapes \[1\], \[1, 1\], \[2\]"),
        (lambda: frechet_distance(t(0.0), t([math.nan]), t(0.0), t([1.0])), "holds NaN"),
        (lambda: kernel_distance(torch.zeros(5, 2), torch.zeros(9, 2)), "subsets of 1000 out of 5 and 9 rows"),
        (lambda: neighbour_radii(torch.zeros(3, 2), 3), "3 images have no 3-th nearest neighbour"),
        (lambda: inception_score(torch.eye(3)), "3 images cannot be divided into 10"),
        (lambda: ms_ssim(torch.zeros(1, 1, 175, 200), torch.zeros(1, 1, 175, 200)), "175x200; its five scales need"),
    ],
)
def test_wrong_arguments_are_explained(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
