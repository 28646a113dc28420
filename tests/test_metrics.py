"""Metrics against closed forms and an independent library.

The literal numbers marked "vector" come from test vectors computed in closed form in float64 and re-computed with
50-digit arithmetic.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genae.metrics.frechet import frechet_distance, moments
from genae.metrics.inception import inception_score
from genae.metrics.reconstruction import mse, psnr, ssim


def t(*rows: object) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_frechet_closed_forms() -> None:
    assert frechet_distance(t(0.0), t([1.0]), t(1.0), t([4.0])) == pytest.approx(2.0, abs=1e-12)
    ours = frechet_distance(
        t(0.0, 1.0, 2.0), torch.diag(t(1.0, 4.0, 9.0)), t(1.0, 1.0, 0.0), torch.diag(t(4.0, 4.0, 1.0))
    )
    assert ours == pytest.approx(10.0, abs=1e-12)


def test_frechet_of_singular_covariances() -> None:
    # Rank one against rank one: tr((S1 S2)^(1/2)) = |u.v| for S1 = u u^T, S2 = v v^T.
    u, v = t(1.0, 2.0, 2.0), t(3.0, 0.0, 4.0)
    expected = 9 + 25 - 2 * abs(float(u @ v))
    zero = torch.zeros(3, dtype=torch.float64)
    assert frechet_distance(zero, torch.outer(u, u), zero, torch.outer(v, v)) == pytest.approx(expected, abs=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 1000))
def test_frechet_of_a_population_with_itself_is_zero_and_symmetric(n: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
    assert frechet_distance(*moments(a), *moments(a)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(*moments(a), *moments(b)) == pytest.approx(frechet_distance(*moments(b), *moments(a)))


def test_frechet_agrees_with_a_matrix_square_root() -> None:
    from scipy.linalg import sqrtm

    generator = torch.Generator().manual_seed(0)
    a = torch.randn(200, 16, generator=generator, dtype=torch.float64) @ torch.randn(16, 16, dtype=torch.float64)
    b = torch.randn(300, 16, generator=generator, dtype=torch.float64) + 0.3
    (m1, s1), (m2, s2) = moments(a), moments(b)
    root = np.trace(sqrtm((s1 @ s2).numpy())).real
    expected = float((m1 - m2).square().sum() + s1.trace() + s2.trace()) - 2 * root
    assert frechet_distance(m1, s1, m2, s2) == pytest.approx(expected, rel=1e-9)


def test_moments_are_numpys() -> None:
    rows = np.random.default_rng(0).normal(size=(7, 3))
    mean, covariance = moments(torch.from_numpy(rows))
    np.testing.assert_allclose(mean, rows.mean(0), atol=1e-15)
    np.testing.assert_allclose(covariance, np.cov(rows, rowvar=False), atol=1e-15)


def logits(n: int) -> torch.Tensor:
    return t(*[[((3 * i + 5 * j + i * j) % 7) / 2 for j in range(4)] for i in range(n)])


def test_inception_score_vectors() -> None:
    probabilities = logits(20).softmax(1)
    assert inception_score(probabilities, 1) == pytest.approx((1.224772287376399, 0.0), abs=1e-12)  # vector
    assert inception_score(probabilities, 10) == pytest.approx((1.143360011884849, 0.08143710016032253))  # vector


def test_inception_score_bounds() -> None:
    certain = torch.eye(10).repeat(10, 1)
    assert inception_score(certain, 1)[0] == pytest.approx(10)
    assert inception_score(torch.full((50, 10), 0.1), 5) == pytest.approx((1, 0))
    assert inception_score(certain, 10, seed=3) == inception_score(certain, 10, seed=3)
    with pytest.raises(ValueError, match="3 images cannot be divided into 10"):
        inception_score(certain[:3])


def test_class_sorted_images_are_shuffled_by_a_seed() -> None:
    sorted_by_class = torch.eye(10).repeat_interleave(100, 0)
    assert inception_score(sorted_by_class, 10)[0] == pytest.approx(1)
    assert inception_score(sorted_by_class, 10, seed=0)[0] > 9


def test_psnr_and_mse() -> None:
    x, y = t([[[0.0, 0.5], [1.0, 0.25]]]), t([[[0.5, 0.5], [0.5, 0.25]]])
    assert float(mse(x, y)) == 0.125
    assert float(psnr(x, y, data_range=1)) == pytest.approx(9.030899869919436)  # vector
    assert math.isinf(float(psnr(x, x)))
    # The same images in [-1, 1]: four times the MSE, the same PSNR.
    assert float(mse(2 * x - 1, 2 * y - 1)) == pytest.approx(0.5)
    assert float(psnr(2 * x - 1, 2 * y - 1)) == pytest.approx(9.030899869919436)


def ssim_images() -> tuple[torch.Tensor, torch.Tensor]:
    i, j = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    x = ((7 * i + 13 * j + i * j) % 17).double() / 16
    return x, (0.8 * x + 0.05 * ((3 * i + 5 * j) % 4).double()).clamp(0, 1)


def test_ssim_vector() -> None:
    x, y = (image[None, None] for image in ssim_images())
    assert float(ssim(x, y, data_range=1)) == pytest.approx(0.9634542805339138, abs=1e-12)  # vector
    assert float(ssim(x, x, data_range=1)) == pytest.approx(1.0)
    assert float(ssim(2 * x - 1, 2 * y - 1)) != pytest.approx(1.0)


def test_ssim_agrees_with_scikit_image() -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, 3, 20, 27))
    expected = structural_similarity(
        a, b, channel_axis=0, data_range=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert float(ssim(torch.from_numpy(a)[None], torch.from_numpy(b)[None])) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_images_smaller_than_the_window() -> None:
    x = torch.rand(2, 1, 8, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(ssim(x, x), torch.ones(2, dtype=torch.float64))
    assert (ssim(x, x.flip(-1)) < 0.9).all()
