"""Stage I of SWAE and AAAE: the balanced weight of its critic."""

import pytest
import torch
from torch import Tensor

from genae import distributed
from genae.losses import balanced, generator_loss, mse, with_gradient


def test_the_balanced_weight_is_that_of_its_equation(updates) -> None:
    model, x, (_, update) = updates("adversarial", balanced_critic=True, critic_weight=0.5)
    x_hat = model.decoder(model.encoder(x))
    deceit = generator_loss(model.critic(x_hat))
    by_error = 2 * (x_hat - x).detach() / x.numel()
    (by_deceit,) = torch.autograd.grad(deceit, x_hat, retain_graph=True)
    weight = 0.5 * by_error.norm() / by_deceit.norm()  # VQGAN Eq. 7
    assert float(update.terms["critic_weight"]) == pytest.approx(float(weight), rel=1e-5)
    torch.testing.assert_close(update.loss, mse(x_hat, x) + weight * deceit)
    parameters = [*model.encoder.parameters(), *model.decoder.parameters()]
    expected = torch.autograd.grad(x_hat, parameters, by_error + weight * by_deceit)
    for ours, theirs in zip(torch.autograd.grad(update.loss, parameters), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-8)


def test_a_critic_that_does_not_care_is_not_amplified_to_nan() -> None:
    at = torch.randn(2, 3, requires_grad=True)
    gradient, weight = balanced(at.square().mean(), 0 * at.sum(), at, 0.5)
    assert weight.isfinite()
    torch.testing.assert_close(gradient, at.detach() / 3)


def test_processes_balance_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    x, target, direction = torch.randn(3, 6, 5)  # 6 images, which two processes share as 4 and 2

    def gradient(rows: slice) -> tuple[Tensor, Tensor]:
        at = x[rows].clone().requires_grad_()
        return balanced(mse(at, target[rows]), (at * direction[rows]).sigmoid().mean(), at, 0.3)

    whole, weight = gradient(slice(6))
    parts = [slice(4), slice(4, 6)]
    squares: list[Tensor] = []
    monkeypatch.setattr(distributed, "summed", lambda x: squares.append(x) or x)
    for rows in parts:
        gradient(rows)
    monkeypatch.setattr(distributed, "summed", lambda x: sum(squares[:2]))
    for rows in parts:
        ours, of_part = gradient(rows)
        assert float(of_part) == pytest.approx(float(weight), rel=1e-6)
        torch.testing.assert_close(ours * len(x[rows]) / 6, whole[rows])


def test_a_value_with_another_gradient() -> None:
    x, gradient = torch.randn(4, requires_grad=True), torch.randn(4)
    loss = with_gradient(torch.tensor(7.0), gradient, x)
    assert float(loss.detach()) == 7
    assert torch.equal(torch.autograd.grad(loss, x)[0], gradient)
