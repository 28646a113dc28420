"""VAE/GAN: which network gets which gradient."""

import pytest
import torch

from genae.autoencoders.vae_gan import VaeGan
from genae.losses import gaussian_kl, mse
from genae.networks.variational import posterior
from genae.protocol import Part


def test_the_decoder_of_vae_gan_deceives_the_critic(random_batches, updates) -> None:
    # Its gradient from the adversarial term raises the critic's logits on its images: a library has the sign wrong.
    model, _, found = updates("vae-gan", style_weight=0.0)
    decoder = found[1]
    assert decoder.trains == [model.decoder]
    z = torch.randn(64, 6)
    with torch.no_grad():
        before = model.critic(model.decoder(z)).mean()
    torch.manual_seed(1)
    for update in model.step(random_batches(0, Part()), 0):
        gradients = torch.autograd.grad(
            update.loss, list(update.trains[0].parameters()), retain_graph=True, allow_unused=True
        )
        if update.trains == [model.decoder]:
            with torch.no_grad():
                for p, gradient in zip(model.decoder.parameters(), gradients, strict=True):
                    p -= 1.0 * gradient
    with torch.no_grad():
        assert model.critic(model.decoder(z)).mean() > before


def test_the_encoder_of_vae_gan_gets_no_adversarial_gradient(updates) -> None:
    model, x, found = updates("vae-gan")
    encoder = found[0]
    assert encoder.trains == [model.encoder]
    mean, log_variance = posterior(model.encoder(x))
    torch.manual_seed(1)
    x_hat = model.decoder(mean + (log_variance / 2).exp() * torch.randn(8, 6))
    likeness = mse(model.critic.features(x_hat), model.critic.features(x))
    expected = likeness + gaussian_kl(mean, log_variance) / 64
    assert float(encoder.loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("shape", "beta"), [((1, 32, 32), 1.0), ((3, 32, 32), 3.0), ((3, 64, 64), 6.0)])
def test_which_beta_is_the_papers_is_documented(shape: tuple[int, int, int], beta: float) -> None:
    """The paper's KL + 1/2 sum over F features is F / 2 times the mean + 2 KL / F (docs/models/baselines.md)."""
    model = VaeGan(shape, beta=beta)
    features = model.critic.features(torch.zeros(2, *shape))[0].numel()
    assert model.divergence_weight == pytest.approx(2 / features)
