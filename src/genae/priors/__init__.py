"""Distributions over codes. `PRIORS` is the whole registry."""

from genae.priors.wae_gan import WaeGanPrior
from genae.priors.wgan_gp import WganGpPrior
from genae.protocol import Prior

PRIORS: dict[str, type[Prior]] = {
    "wae-gan": WaeGanPrior,
    "wgan-gp": WganGpPrior,
}
