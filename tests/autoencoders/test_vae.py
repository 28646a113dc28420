"""The VAE against its bound."""

import pytest
import torch

from genae.losses import gaussian_kl
from genae.networks.variational import posterior


def test_the_vae_minimises_its_bound(updates) -> None:
    model, x, (update,) = updates("vae", beta=3.0, variance=0.2, learn_variance=False)
    mean, log_variance = posterior(model.encoder(x))
    torch.manual_seed(1)
    z = mean + (log_variance / 2).exp() * torch.randn(8, 6)
    x_hat = model.decoder(z)
    likelihood = torch.distributions.Normal(x_hat, 0.2**0.5).log_prob(x) + 0.5 * torch.log(torch.tensor(2 * torch.pi))
    bound = -likelihood.flatten(1).sum(1).mean() + 3.0 * gaussian_kl(mean, log_variance)
    assert float(update.loss) == pytest.approx(float(bound) / 64, rel=1e-5)


def test_the_learned_variance_becomes_the_error(updates) -> None:
    model, _, _ = updates("vae")
    error = torch.tensor(0.037)
    optimiser = torch.optim.Adam(model.likelihood.parameters(), 1e-3)
    for _ in range(1000):
        optimiser.zero_grad()
        model.likelihood(error).backward()
        optimiser.step()
    assert float(model.likelihood.log_variance.exp()) == pytest.approx(0.037, rel=1e-3)
