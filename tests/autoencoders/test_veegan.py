"""VEEGAN: the critic's ratio, and what each network learns from."""

import pytest
import torch
import torch.nn.functional as F

from genae.protocol import draw


def test_the_objective_is_the_papers(updates) -> None:
    model, x, (critic, both) = updates("veegan", networks="dense")
    torch.manual_seed(1)
    z = draw(torch.randn, len(x), model.code_dim)
    x_g = model.decoder(z)
    generated, encoded = model.critic(x_g, z).double(), model.critic(x, model.encoder(x)).double()
    log_loss = -(F.logsigmoid(generated) + F.logsigmoid(-encoded)).mean()
    d = sum(((z[i] - model.encoder(x_g)[i]) ** 2).sum() for i in range(len(x))) / len(x)
    assert float(critic.loss.detach()) == pytest.approx(float(log_loss.detach()), rel=1e-5)
    assert float(both.loss.detach()) == pytest.approx(float((generated.mean() + d).detach()), rel=1e-5)
    assert (critic.trains, both.trains) == ([model.critic], [model.encoder, model.decoder])

    # theta learns from d alone, gamma from d and from D
    of_theta = torch.autograd.grad(both.loss, [*model.encoder.parameters()], retain_graph=True)
    expected = torch.autograd.grad(d, [*model.encoder.parameters()], retain_graph=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(of_theta, expected, strict=True))
    of_gamma = torch.autograd.grad(both.loss, [*model.decoder.parameters()])
    expected = torch.autograd.grad(generated.mean() + d, [*model.decoder.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(of_gamma, expected, strict=True))
