"""Objectives against their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genae.losses import (
    MMD_SCALES,
    batch_divergence,
    critic_loss,
    gaussian_kl,
    generator_loss,
    gradient_penalty,
    mmd,
    mse,
    multiscale_mmd,
    squared_slope,
)

logits = st.lists(st.floats(-20, 20), min_size=1, max_size=8).map(lambda v: torch.tensor(v, dtype=torch.float64))


@given(logits, logits)
def test_critic_loss_is_the_cross_entropy_of_sigmoids(real: torch.Tensor, fake: torch.Tensor) -> None:
    expected = -torch.sigmoid(real).log().mean() - torch.log1p(-torch.sigmoid(fake)).mean()
    assert float(critic_loss(real, fake)) == pytest.approx(float(expected), rel=1e-5, abs=1e-6)


def test_values_of_the_test_vectors() -> None:
    # Group "gan_losses": closed form, softplus in float64.
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])
    softplus = [0.12692801104297263, 0.6931471805599453, 0.31326168751822286, 1.3132616875182228]
    assert float(critic_loss(real, fake)) == pytest.approx((softplus[0] + softplus[1] + softplus[2] + softplus[3]) / 2)
    assert float(generator_loss(fake)) == pytest.approx((softplus[3] + softplus[2]) / 2)
    assert float(generator_loss(torch.tensor([2.0, 4.0]), "ratio")) == -3.0


def test_gradients_point_the_way_of_the_definition() -> None:
    fake = torch.tensor([0.3, -2.0], requires_grad=True)
    generator_loss(fake).backward()
    assert torch.allclose(fake.grad, -torch.sigmoid(-fake.detach()) / 2)  # pushes the critic's logit up
    fake.grad = None
    critic_loss(torch.zeros(1), fake).backward()
    assert torch.allclose(fake.grad, torch.sigmoid(fake.detach()) / 2)  # pushes it down


def test_losses_are_float32_means() -> None:
    x = torch.full((2, 3), 0.5, dtype=torch.bfloat16)
    assert mse(x, torch.zeros(2, 3)).dtype == torch.float32
    assert float(mse(x, torch.zeros(2, 3))) == 0.25
    assert generator_loss(torch.zeros(4, 1, 2, 2, dtype=torch.bfloat16)).dtype == torch.float32


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'hinge'; expected 'non-saturating' or 'ratio'"):
        generator_loss(torch.zeros(1), "hinge")


# The literal numbers below come from test vectors computed in closed form in float64 and re-computed with 50 digits.

Q, B = torch.tensor([[2.0, 1.0], [1.0, 3.0]]), torch.tensor([0.5, -1.0])


def quadratic(x: torch.Tensor) -> torch.Tensor:
    """x^T Q x / 2 + b x, whose gradient is Q x + b."""
    return ((x @ Q) * x).sum(1) / 2 + x @ B


def test_gradient_penalty_of_a_quadratic_critic() -> None:
    at = torch.tensor([[0.25, 0.0], [0.5, 1.0], [1.25, -0.75]])
    assert 10 * float(gradient_penalty(quadratic, at)) == pytest.approx(35.110449662461264, rel=1e-6)
    # Target 0 is the squared norm itself.
    real = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
    assert 10 / 2 * float(gradient_penalty(quadratic, real, target=0)) == pytest.approx(47.91666666666667, rel=1e-6)


def test_gradient_penalty_is_differentiable() -> None:
    theta = torch.tensor(1.5, requires_grad=True)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
    penalty = 10 / 2 * gradient_penalty(lambda v: theta * v.square().sum(1) / 2, x, target=0)
    penalty.backward()
    assert float(penalty) == pytest.approx(26.25)
    assert float(theta.grad) == pytest.approx(35.0)


def test_gaussian_kl_vector() -> None:
    mean, log_variance = torch.tensor([[0.0, 1.0, -0.5]]), torch.tensor([[0.0, -1.0, 0.7]])
    assert float(gaussian_kl(mean, log_variance)) == pytest.approx(0.9658160743209595, rel=1e-6)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0, 1)).sum()
    assert float(gaussian_kl(mean, log_variance)) == pytest.approx(float(expected), rel=1e-6)


def test_batch_divergence_is_that_of_the_batchs_gaussian() -> None:
    codes = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1
    normal = torch.distributions.Normal(codes.mean(0), codes.std(0, correction=0))
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0, 1)).mean()
    assert float(batch_divergence(codes)) == pytest.approx(float(expected), rel=1e-6)
    maps = codes[:, :4].unflatten(1, (1, 2, 2))
    assert torch.equal(batch_divergence(maps), batch_divergence(maps.flatten(1)))


def test_batch_divergence_gradient_is_that_of_the_closed_form() -> None:
    # By c_ij: (c_ij - m_j + m_j - (c_ij - m_j) / s_j^2) / (B D).
    codes = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    batch_divergence(codes).backward()
    c = codes.detach().double()
    away = c - c.mean(0)
    expected = (c - away / away.square().mean(0)) / c.numel()
    assert torch.allclose(codes.grad.double(), expected, atol=1e-6)


MMD_X = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]])
MMD_Y = torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 1.0], [1.0, -2.0]])


def slow_mmd(x: torch.Tensor, y: torch.Tensor, c: float) -> float:
    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return c / (c + float((a - b).square().sum()))

    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_mmd_vector() -> None:
    assert float(mmd(MMD_X, MMD_Y, 4.0)) == pytest.approx(-0.06948514448514476, abs=1e-6)
    assert slow_mmd(MMD_X, MMD_Y, 4.0) == pytest.approx(-0.06948514448514476)


@given(st.integers(2, 6), st.integers(2, 6), st.integers(1, 4), st.integers(0, 99))
def test_multiscale_mmd_is_the_sum_over_its_kernels(n: int, m: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(n, d, generator=generator), torch.randn(m, d, generator=generator)
    expected = sum(slow_mmd(x, y, 2 * d * scale) for scale in MMD_SCALES)
    assert float(multiscale_mmd(x, y)) == pytest.approx(expected, abs=1e-4)


def test_mmd_gradient_is_that_of_finite_differences() -> None:
    x = MMD_X.clone().requires_grad_()
    mmd(x, MMD_Y, 4.0).backward()
    moved = MMD_X.clone().double()
    moved[1, 0] += 1e-4
    slope = (slow_mmd(moved, MMD_Y.double(), 4.0) - slow_mmd(MMD_X.double(), MMD_Y.double(), 4.0)) / 1e-4
    assert float(x.grad[1, 0]) == pytest.approx(slope, abs=1e-4)


def test_r1_of_a_quadratic_critic() -> None:
    # D(x) = x^T A x / 2 with a symmetric A: grad = A x, so R1 is the mean of |A x|^2, and its derivative by A is known.
    torch.manual_seed(0)
    a = torch.randn(6, 6, dtype=torch.float64)
    a = (a + a.T).requires_grad_()
    x = torch.randn(4, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    rows = x.flatten(1)
    slope = squared_slope((rows @ a * rows).sum(1) / 2, x)
    with torch.no_grad():
        expected = (rows @ a).square().sum(1).mean()
    assert float(slope.detach()) == pytest.approx(float(expected), rel=1e-6)
    (gradient,) = torch.autograd.grad(slope, a)
    with torch.no_grad():
        half = torch.einsum("bi,bj->ij", rows, rows @ a) / len(rows)
    assert torch.allclose(gradient, half + half.T, rtol=1e-5)
