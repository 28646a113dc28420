"""Maps between sets of codes, in closed form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor

from genae.errors import GenaeError
from genae.latent.optimal_maps import Spread, gaussian_map, mean_map, part_of_the_way, spread_of
from genae.storage import FileRows


def spread(seed: int, dimensions: int = 5) -> Spread:
    """Of a random Gaussian."""
    generator = torch.Generator().manual_seed(seed)
    mean, factor = (
        torch.randn(dimensions, generator=generator),
        torch.randn(dimensions, dimensions, generator=generator),
    )
    covariance = (factor @ factor.T).double() + 0.1 * torch.eye(dimensions)
    return Spread(mean.double(), covariance.diagonal(), covariance)


def matrix(carry: object) -> Tensor:
    assert isinstance(carry.matrix, Tensor)  # type: ignore[attr-defined]
    return carry.matrix  # type: ignore[attr-defined]


def test_the_gaussian_map_carries_mean_and_covariance() -> None:
    a, b = spread(0), spread(1)
    carry = gaussian_map(a, b)
    t = matrix(carry)
    assert torch.allclose(t, t.T, atol=1e-12)
    assert torch.linalg.eigvalsh(t)[0] > 0, "the gradient of a convex function (Brenier)"
    assert torch.allclose(t @ a.covariance @ t.T, b.covariance, atol=1e-10)
    assert torch.allclose(carry(a.mean[None]), b.mean[None], atol=1e-12)
    # The cost is the Bures-Wasserstein distance: ||m_A - m_B||^2 + tr(S_A + S_B - 2 (S_A S_B)^1/2).
    identity = torch.eye(5, dtype=torch.float64)
    moved = torch.trace((t - identity) @ a.covariance @ (t - identity).T)
    mixed = torch.linalg.eigvals(a.covariance @ b.covariance).real.clamp_min(0).sqrt().sum()
    assert float(moved) == pytest.approx(float(torch.trace(a.covariance + b.covariance) - 2 * mixed), rel=1e-9)


def test_there_and_back_is_where_one_was() -> None:
    a, b = spread(0), spread(1)
    codes = torch.randn(50, 5, generator=torch.Generator().manual_seed(2)).double() * 3
    for make in (gaussian_map, mean_map):
        assert torch.allclose(make(b, a)(make(a, b)(codes)), codes, atol=1e-9)
    assert torch.allclose(mean_map(a, b)(codes), codes + b.mean - a.mean)


def test_commuting_covariances_are_scaled_axis_by_axis() -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double())[0]
    first, second = (torch.tensor(v, dtype=torch.float64) for v in ([4.0, 1.0, 0.25], [1.0, 9.0, 0.25]))
    a, b = (Spread(torch.zeros(3).double(), v, (turn * v) @ turn.T) for v in (first, second))
    assert torch.allclose(matrix(gaussian_map(a, b)), (turn * (second / first).sqrt()) @ turn.T, atol=1e-12)


def test_a_strength_is_a_share_of_the_way() -> None:
    """McCann: at t the covariance is ((1 - t) I + t T) S_A ((1 - t) I + t T); of equal axes the deviations mix."""
    one = torch.ones(2, dtype=torch.float64)
    a, b = Spread(0 * one, one, torch.eye(2).double()), Spread(2 * one, 9 * one, 9 * torch.eye(2).double())
    codes = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0)).double()
    half = part_of_the_way(codes, gaussian_map(a, b)(codes), 0.5)
    assert torch.allclose(half, 1 + 2 * codes)
    carried = gaussian_map(a, b)(codes).float()
    assert torch.equal(part_of_the_way(codes.float(), carried, 0.0), codes.float())
    assert torch.equal(part_of_the_way(codes.float(), carried, 1.0), carried)


def test_codes_without_variance_are_moved_by_the_mean() -> None:
    flat = torch.diag(torch.tensor([1.0, 0.0])).double()
    a = Spread(torch.zeros(2).double(), flat.diagonal(), flat)
    b = Spread(torch.ones(2).double(), torch.ones(2).double(), 4 * torch.eye(2).double())
    assert torch.allclose(gaussian_map(a, b)(torch.tensor([[1.0, 0.0]])), torch.tensor([[3.0, 1.0]]))


@pytest.mark.parametrize(("count", "width"), [(30, 40), (500, 4)])
def test_the_covariance_is_ledoit_and_wolfs(
    count: int, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = torch.randn(count, width, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.5, 2, width) + 3
    np.save(tmp_path / "codes.npy", codes.numpy())
    monkeypatch.setattr("genae.rows.CHUNK", 4 * width * 7)
    fitted = spread_of(FileRows(tmp_path / "codes.npy"))
    expected = LedoitWolf().fit(codes.double().numpy())
    assert fitted.covariance is not None
    assert np.allclose(fitted.covariance.numpy(), expected.covariance_, rtol=1e-9)
    assert np.allclose(fitted.mean.numpy(), expected.location_)
    assert fitted.deviation == pytest.approx(float(codes.double().var(0, correction=0).mean().sqrt()))
    alone = spread_of(codes, covariance=False)
    assert alone.covariance is None
    assert torch.allclose(alone.variance, fitted.variance)


def test_too_few_codes_and_too_many_numbers() -> None:
    with pytest.raises(GenaeError, match="'cat' has 9 codes to learn from; a map needs at least 10 of each set"):
        spread_of(torch.zeros(9, 3), "cat")
    with pytest.raises(GenaeError, match="codes of 9,000 numbers are too long for the Gaussian map, which takes up to"):
        spread_of(torch.zeros(10, 9000))
    assert spread_of(torch.zeros(10, 9000), covariance=False).deviation == 0
