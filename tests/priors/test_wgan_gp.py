"""The Wasserstein prior's penalty."""

import pytest
import torch

from genae.priors.wgan_gp import WganGpPrior


@pytest.mark.parametrize("at", ["interpolates", "generated"])
def test_both_places_of_the_penalty(at: str) -> None:
    torch.manual_seed(0)
    prior = WganGpPrior(3, latent_dim=2, width=8, penalty_at=at, initial="kaiming")
    update = next(prior.step(iter([torch.randn(4, 3)] * 2), 0))
    assert {"gap", "penalty"} <= set(update.terms)
    assert float(update.loss) == pytest.approx(10 * float(update.terms["penalty"]) - float(update.terms["gap"]))
    with pytest.raises(ValueError, match="penalty-at is 'codes'; expected one of interpolates, generated"):
        WganGpPrior(3, penalty_at="codes")
