"""Plain autoencoder: reconstruction, and nothing that shapes the codes. And what every baseline has in common with it.

With a Gaussian mixture on its codes it is the baseline that learned priors have to beat (Ghosh et al. 2020, "From
Variational to Deterministic Autoencoders", Table 1).
"""

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from genae.losses import mean_absolute_error, mse, perceptual_term
from genae.networks.families import family
from genae.networks.gridded import grid_of
from genae.protocol import Autoencoder, Criteria, Update, at_least

ERRORS = {"l1": mean_absolute_error, "l2": mse}


class EncoderDecoder(Autoencoder):
    """Encoder E: x -> c and decoder G: c -> x, the same two in every baseline.

    ``networks`` is ``dcgan`` (AAAE's appendix, Table III), ``dense`` (ALAE, Section 7.1) or ``residual``, see `family`;
    ``width`` is the channel count of the first layer (Table III: 64), or that of hidden layers; ``norm`` is ``batch``,
    ``group`` or ``none``. Codes are vectors of ``code_dim`` numbers, or with ``code_grid`` above 0, for residual
    networks, maps of ``code_channels`` channels, with so many cells along the shorter side of the image (`grid_of`);
    then ``code_dim`` follows.
    """

    code_outputs = 1
    """How many numbers the encoder gives for each dimension of the code."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        code_dim: int = 128,
        code_grid: int = 0,
        code_channels: int = 4,
        networks: str = "dcgan",
        width: int = 64,
        norm: str = "batch",
        batch_size: int = 64,
        learning_rate: float = 1e-4,
        anneal: int = 0,
    ) -> None:
        super().__init__(image_shape, batch_size, learning_rate, anneal)
        at_least(1, code_dim=code_dim, code_channels=code_channels, width=width)
        at_least(0, code_grid=code_grid)
        self.map_shape = (code_channels, *grid_of(image_shape, code_grid)) if code_grid else ()
        self.code_dim = math.prod(self.map_shape) if code_grid else code_dim
        self.width = width
        self.family = family(networks, norm, code_grid)
        channels = self.code_shape[0]
        self.encoder = self.family.encoder(image_shape, channels * self.code_outputs, width)
        self.decoder = self.family.decoder(image_shape, channels, width)

    @property
    def code_shape(self) -> tuple[int, ...]:
        """(code_dim,), or (c, h, w): what the networks give and take."""
        return self.map_shape or (self.code_dim,)

    def encode(self, x: Tensor) -> Tensor:
        """c = E(x): images [B, C, H, W] in [-1, 1] -> codes [B, code_dim]."""
        return self.code_of(self.encoder(x)).flatten(1)

    def code_of(self, outputs: Tensor) -> Tensor:
        """The encoder's outputs -> codes, in the networks' own shape."""
        return outputs

    def decode(self, code: Tensor) -> Tensor:
        """x_hat = G(c): codes [B, code_dim] -> images [B, C, H, W] in [-1, 1]; dense networks' output is clipped."""
        return self.decode_unclipped(code).clamp(-1, 1)

    def decode_unclipped(self, code: Tensor) -> Tensor:
        """G(c), as it is."""
        return self.decoder(code.unflatten(1, self.code_shape))

    def with_perceptual(self, error: Tensor, x_hat: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """``error`` and the model's perceptual term beside it, if it has one; and that term, to log."""
        if self.perceptual is None:
            return error, {}
        distance = self.perceptual(x_hat, x)
        return error + self.perceptual.weight * distance, {"perceptual": distance}


class PlainAutoencoder(EncoderDecoder):
    """E and G trained on the reconstruction error alone: ``error`` is ``l2`` (mean square) or ``l1`` (mean absolute).

    ``perceptual`` adds the distance in the features of a frozen network (`PerceptualTerm`), with ``perceptual_weight``.
    ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("similarity", "free", "data")

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        error: str = "l2",
        perceptual: str | None = None,
        perceptual_weight: float = 0.0,
        **plain: Any,
    ) -> None:
        super().__init__(image_shape, **plain)
        self.perceptual = perceptual_term(perceptual, perceptual_weight)
        if error not in ERRORS:
            raise ValueError(f"error is {error!r}; expected {' or '.join(ERRORS)}")
        self.error = ERRORS[error]

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """E, G: the error of G(E(x))."""
        x = next(batches)
        x_hat = self.decoder(self.encoder(x))
        error, terms = self.with_perceptual(self.error(x_hat, x), x_hat, x)
        yield Update(error, [self.encoder, self.decoder], terms)
