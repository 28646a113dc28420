"""Distributions over codes. `PRIORS` is the whole registry."""

from typing import TYPE_CHECKING

from genae.settings.catalogue import Catalogue, Entry

if TYPE_CHECKING:
    from genae.protocol import Prior

PRIORS: "Catalogue[Prior]" = Catalogue({
    "flow": Entry(
        "genae.priors.flow:FlowPrior",
        "An invertible network between codes and a Gaussian (RealNVP). Choose it when you need likelihoods of "
        "codes.",
    ),
    "flow-matching": Entry(
        "genae.priors.flow_matching:FlowMatchingPrior",
        "A network that carries noise to codes along a learned flow. Choose it for the best samples among the "
        "priors that are trained; it takes minutes.",
    ),
    "flow-transformer": Entry(
        "genae.priors.flow_transformer:FlowTransformerPrior",
        "Flow matching on codes that are maps, by a transformer over their cells. Choose it for autoencoders with "
        "such codes; it takes an hour.",
    ),
    "gaussian": Entry(
        "genae.priors.gaussian:GaussianPrior",
        "One Gaussian with the mean and covariance of the codes, fitted at once. Choose it as a first look.",
    ),
    "mixture": Entry(
        "genae.priors.mixture:MixturePrior",
        "A mixture of Gaussians. Choose it first: with 50 components or more it gives good samples in about a "
        "minute.",
    ),
    "vae": Entry(
        "genae.priors.vae:VaePrior",
        "A second, small variational autoencoder on the codes (two-stage VAE). Choose it to compare with that "
        "paper.",
    ),
    "wae-gan": Entry(
        "genae.priors.wae_gan:WaeGanPrior",
        "The second stage of stacked-wae: a small Wasserstein autoencoder on the codes. Choose it when samples "
        "need an encoder too, for interpolation in the prior's own space.",
    ),
    "wgan-gp": Entry(
        "genae.priors.wgan_gp:WganGpPrior",
        "The second stage of aaae: a small generator of codes against a critic with gradient penalty. Choose it to "
        "reproduce that paper.",
    ),
})  # fmt: skip
