"""Objectives against their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genae.losses import critic_loss, generator_loss, mse

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
