"""Variational autoencoder with the VampPrior: a mixture of the posteriors of learned pseudo-inputs.

Tomczak and Welling 2018, Eq. 9; bounds and initial values of pseudo-inputs are those of the authors' code.
"""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from genae.autoencoders.vae import VariationalAutoencoder
from genae.losses import gaussian_log_density
from genae.losses import mean as batch_mean
from genae.priors.vamp import VampPrior
from genae.protocol import Criteria, Prior


class VampVae(VariationalAutoencoder):
    """Encoder, decoder and p(z) = 1/K sum_k q(z|u_k), with K = ``components`` pseudo-inputs u_k learned beside them.

    ``norm`` is ``group`` or ``none``: statistics of a batch would be those of images or of pseudo-inputs.
    ``variational`` are the options of `VariationalAutoencoder`.
    """

    criteria = Criteria("similarity", "learned/divergence", "data")

    def __init__(
        self, image_shape: tuple[int, int, int], *, components: int = 500, norm: str = "none", **variational: Any
    ) -> None:
        if norm == "batch":
            raise ValueError("norm is batch, and pseudo-inputs are no images of the data; expected group or none")
        super().__init__(image_shape, norm=norm, **variational)
        self.priors = cast(
            Mapping[str, Prior], nn.ModuleDict({"vamp": VampPrior(image_shape, components, self.encoder)})
        )

    @property
    def trained(self) -> list[nn.Module]:
        """The pseudo-inputs too."""
        return [*super().trained, self._vamp.pseudo_inputs]

    @property
    def _vamp(self) -> VampPrior:
        return cast(VampPrior, self.priors["vamp"])

    def divergence(self, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """log q(z|x) - log p(z) of the draw z, in nats: KL has no closed form (Eq. 5 with L = 1)."""
        z, mean, log_variance = (part.flatten(1) for part in (z, mean, log_variance))
        return batch_mean(gaussian_log_density(z, mean, log_variance) - self._vamp.log_density(z))
