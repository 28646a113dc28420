"""The latent regressor."""

import pytest
import torch


@pytest.mark.parametrize("joint", [False, True])
def test_the_latent_regressor_learns_from_generated_images_alone(joint: bool, updates) -> None:
    model, x, (critic, both) = updates("latent-regressor", joint=joint, networks="dense")
    torch.manual_seed(1)
    z = torch.randn(8, 6)
    softplus = torch.nn.functional.softplus
    fake = model.decoder(z)
    assert float(critic.loss) == pytest.approx(
        float(softplus(-model.critic(x)).mean() + softplus(model.critic(fake)).mean()), rel=1e-5
    )
    deceit = softplus(-model.critic(fake)).mean()
    regression = (model.encoder(fake) - z).square().mean()
    assert float(both.loss) == pytest.approx(float(deceit + regression), rel=1e-5)
    found = torch.autograd.grad(both.loss, list(model.decoder.parameters()))
    expected = torch.autograd.grad(deceit + joint * regression, list(model.decoder.parameters()))
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(found, expected, strict=True))
