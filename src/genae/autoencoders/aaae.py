"""Adversarially Approximated Autoencoder.

Xu, Keshmiri, Wang: Adversarially Approximated Autoencoder for Image Generation and Manipulation (2019). `step` is its
Algorithm 1; the equation-to-line map and the deviations are in docs/models/aaae.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from genae.autoencoders.adversarial import AdversarialAutoencoder
from genae.priors.wgan_gp import WganGpPrior
from genae.protocol import Criteria, Prior, Update, at_least


class AdversariallyApproximatedAutoencoder(AdversarialAutoencoder):
    """Stage I (E, G, D_omega) on images, and a latent WGAN-GP (G_phi, D_gamma) that learns its codes' distribution.

    ``inner_steps`` is the paper's k; ``penalty`` (lambda_2) and ``penalty_at`` are those of `WganGpPrior`, whose
    networks have ``prior_dim`` inputs, ``prior_width`` hidden units and ``prior_initial`` weights.
    ``stage_one`` are the options of `AdversarialAutoencoder`; its ``critic_weight`` is lambda_1 (Table II).
    """

    criteria = Criteria("similarity", "learned/adversarial", "data")

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        inner_steps: int = 2,
        prior_dim: int = 64,
        prior_width: int = 512,
        prior_initial: str = "normal",
        penalty: float = 10.0,
        penalty_at: str = "interpolates",
        **stage_one: Any,
    ) -> None:
        super().__init__(image_shape, **stage_one)
        at_least(1, inner_steps=inner_steps)
        self.inner_steps = inner_steps
        prior = WganGpPrior(self.code_dim, prior_dim, prior_width, penalty, penalty_at, initial=prior_initial)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"wgan-gp": prior}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """Algorithm 1."""
        yield from super().step(batches, images)  # D_omega; E and G
        for _ in range(self.inner_steps):  # k times D_gamma; G_phi, each on fresh codes
            yield from self.priors["wgan-gp"].step(map(self.encode_frozen, batches), images)
