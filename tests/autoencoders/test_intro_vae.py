"""IntroVAE and Soft-IntroVAE against their papers' sums over images."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

VALUES = 64  # of an image


def kl(outputs: Tensor) -> Tensor:
    """Of each row of an encoder's outputs, from PyTorch's own formula."""
    mean, log_variance = outputs.chunk(2, 1)
    return kl_divergence(Normal(mean, log_variance.exp().sqrt()), Normal(0.0, 1.0)).sum(1)


def drawn(outputs: Tensor, noise: Tensor) -> Tensor:
    mean, log_variance = outputs.chunk(2, 1)
    return mean + log_variance.exp().sqrt() * noise


@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_intro_vae(margin: float, assert_same, updates) -> None:
    beta, alpha = 3.0, 0.4
    model, x, (first, second) = updates("intro-vae", beta=beta, adversarial_weight=alpha, margin=margin)
    torch.manual_seed(1)
    outputs = model.encoder(x)
    z, z_p = drawn(outputs, torch.randn(8, 6)), torch.randn(8, 6)
    x_r, x_p = model.decoder(z), model.decoder(z_p)
    squares = (x - x_r).square().sum() / 8
    hinges = [(margin - kl(model.encoder(made.detach()))).clamp_min(0) for made in (x_r, x_p)]
    expected = squares + beta * (kl(outputs).mean() + alpha * torch.cat(hinges).sum() / 8)
    assert first.trains == [model.encoder]
    assert_same(first.loss * VALUES, expected, model.encoder)

    x_r = model.decoder(z.detach())
    made = torch.cat([kl(model.encoder(x_r)), kl(model.encoder(x_p))]).sum() / 8
    assert second.trains == [model.decoder]
    assert_same(second.loss * VALUES, (x - x_r).square().sum() / 8 + beta * alpha * made, model.decoder)


def test_an_image_beyond_the_margin_is_left_alone(updates) -> None:
    _, _, (first, _) = updates("intro-vae", margin=0.0)
    assert float(first.terms["rejection"].detach()) == 0
    _, _, (first, _) = updates("intro-vae", margin=1e6, beta=1.0, adversarial_weight=0.25)
    assert float(first.terms["rejection"].detach()) == pytest.approx(2 * 0.25 * 1e6 / VALUES, rel=1e-3)


def test_soft_intro_vae(assert_same, updates) -> None:
    beta, beta_rec, beta_neg = 0.7, 2.0, 5.0
    model, x, (first, second) = updates("soft-intro-vae", beta=beta, beta_rec=beta_rec, beta_neg=beta_neg)
    torch.manual_seed(1)
    outputs = model.encoder(x)
    z, z_p = drawn(outputs, torch.randn(8, 6)), torch.randn(8, 6)

    def error(x_hat: Tensor, of: Tensor) -> Tensor:
        """The sum of squares of each image with values from 0 to 1."""
        return ((x_hat + 1) / 2 - (of + 1) / 2).square().flatten(1).sum(1)

    rejections = []
    for made in (model.decoder(z).detach(), model.decoder(z_p).detach()):
        judged = model.encoder(made)
        again = model.decoder(drawn(judged, torch.randn(8, 6)))
        rejections.append(torch.exp(-2 / VALUES * (beta_rec * error(again, made) + beta_neg * kl(judged))).mean())
    bound = (beta_rec * error(model.decoder(z), x) + beta * kl(outputs)).mean() / VALUES
    assert_same(first.loss, bound + (rejections[0] + rejections[1]) / 4, model.encoder)

    x_r, x_p = model.decoder(z.detach()), model.decoder(z_p)
    made = (kl(model.encoder(x_r)) + kl(model.encoder(x_p))) / 2
    assert_same(second.loss, (beta_rec * error(x_r, x) + beta * made).mean() / VALUES, model.decoder)
