"""ALAE against its paper: networks and algorithm box."""

import pytest
import torch
from torch import nn


def test_the_networks_of_alae_are_the_papers(tiny_model) -> None:
    model = tiny_model("alae")
    assert model.betas == (0.0, 0.99)
    assert (model.encoder.leak, model.encoder.last_leak, model.decoder.last_leak) == (0.2, 0.2, None)
    assert {layer.multiplier for layer in model.critic.layers} == {0.1}
    assert len(model.critic.layers) == 3
    w = torch.randn(3, 6)

    def bend(critic: nn.Module) -> float:
        between = critic((w[:1] + w[1:2]) / 2) - (critic(w[:1]) + critic(w[1:2])) / 2
        return float(between.detach().abs())

    assert bend(tiny_model("alae", affine_critic=True).critic) < 1e-6
    assert bend(model.critic) > 1e-6


def test_alae_is_its_algorithm_box(updates) -> None:
    model, x, (first, second, third) = updates("alae", slope_weight=7.0)
    mapping = model.priors["mapping"].mapping
    softplus = torch.nn.functional.softplus
    torch.manual_seed(1)
    z, z_again = torch.randn(8, 6), torch.randn(8, 6)

    fakes = model.critic(model.encoder(model.decoder(mapping(z))))
    rows = [x[i : i + 1].clone().requires_grad_() for i in range(8)]
    slopes = [torch.autograd.grad(model.critic(model.encoder(row)).sum(), row)[0].square().sum() for row in rows]
    reals = model.critic(model.encoder(x))
    expected = softplus(fakes).mean() + softplus(-reals).mean() + 7.0 / 2 * torch.stack(slopes).mean()
    assert first.trains == [model.encoder, model.critic]
    assert float(first.loss) == pytest.approx(float(expected), rel=1e-5)

    assert second.trains == [mapping, model.decoder]
    assert float(second.loss) == pytest.approx(float(softplus(-fakes).mean()), rel=1e-5)

    w = mapping(z_again)
    assert third.trains == [model.encoder, model.decoder]
    expected = (model.encoder(model.decoder(w)) - w).square().mean()
    assert float(third.loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("reciprocity", "moves"), [("encoder,decoder", False), ("encoder,decoder,mapping", True)])
def test_the_target_of_alaes_reciprocity_never_moves(reciprocity: str, moves: bool, updates) -> None:
    model, _, (_, _, third) = updates("alae", reciprocity=reciprocity)
    mapping = model.priors["mapping"].mapping
    assert (mapping in third.trains) == moves
    parameter = next(mapping.parameters())
    (gradient,) = torch.autograd.grad(third.loss, parameter, allow_unused=True, retain_graph=True)
    assert (gradient is not None) == moves
    if moves:  # through G(F(z)) alone: the same with a fixed target
        torch.manual_seed(1)
        torch.randn(8, 6)
        w = mapping(torch.randn(8, 6))
        loss = (model.encoder(model.decoder(w)) - w.detach()).square().mean()
        assert torch.allclose(gradient, torch.autograd.grad(loss, parameter)[0], atol=1e-6)
