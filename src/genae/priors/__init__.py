"""Distributions over codes. `PRIORS` is the whole registry."""

from genae.priors.flow import FlowPrior
from genae.priors.flow_matching import FlowMatchingPrior
from genae.priors.gaussian import GaussianPrior
from genae.priors.mixture import MixturePrior
from genae.priors.vae import VaePrior
from genae.priors.wae_gan import WaeGanPrior
from genae.priors.wgan_gp import WganGpPrior
from genae.protocol import Prior

PRIORS: dict[str, type[Prior]] = {
    "flow": FlowPrior,
    "flow-matching": FlowMatchingPrior,
    "gaussian": GaussianPrior,
    "mixture": MixturePrior,
    "vae": VaePrior,
    "wae-gan": WaeGanPrior,
    "wgan-gp": WganGpPrior,
}
