"""Plain autoencoder: reconstruction, and nothing that shapes the codes. And what every baseline has in common with it.

With a Gaussian mixture on its codes it is the baseline that learned priors have to beat (Ghosh et al. 2020, "From
Variational to Deterministic Autoencoders", Table 1).
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from genae.losses import mean_absolute_error, mse
from genae.networks.families import family
from genae.protocol import Autoencoder, Update, at_least

ERRORS = {"l1": mean_absolute_error, "l2": mse}


class EncoderDecoder(Autoencoder):
    """Encoder E: x -> c and decoder G: c -> x, the same two in every baseline.

    ``networks`` is ``dcgan`` (AAAE's appendix, Table III) or ``dense`` (ALAE, Section 7.1), see `family`; ``width`` is
    the channel count of the first layer (Table III: 64), or that of hidden layers; ``norm`` is ``batch`` or ``none``.
    """

    code_outputs = 1
    """How many numbers the encoder gives for each dimension of the code."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        code_dim: int = 128,
        networks: str = "dcgan",
        width: int = 64,
        norm: str = "batch",
        batch_size: int = 64,
        learning_rate: float = 1e-4,
        anneal: int = 0,
    ) -> None:
        super().__init__(image_shape, batch_size, learning_rate, anneal)
        at_least(1, code_dim=code_dim, width=width)
        self.code_dim = code_dim
        self.width = width
        self.family = family(networks, norm)
        self.encoder = self.family.encoder(image_shape, code_dim * self.code_outputs, width)
        self.decoder = self.family.decoder(image_shape, code_dim, width)

    def encode(self, x: Tensor) -> Tensor:
        """c = E(x): images [B, C, H, W] in [-1, 1] -> codes [B, code_dim]."""
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """x_hat = G(c): codes [B, code_dim] -> images [B, C, H, W] in [-1, 1]; dense networks' output is clipped."""
        return self.decode_unclipped(code).clamp(-1, 1)

    def decode_unclipped(self, code: Tensor) -> Tensor:
        """G(c), as it is."""
        return self.decoder(code)


class PlainAutoencoder(EncoderDecoder):
    """E and G trained on the reconstruction error alone: ``error`` is ``l2`` (mean square) or ``l1`` (mean absolute).

    ``plain`` are the options of `EncoderDecoder`.
    """

    def __init__(self, image_shape: tuple[int, int, int], *, error: str = "l2", **plain: Any) -> None:
        super().__init__(image_shape, **plain)
        if error not in ERRORS:
            raise ValueError(f"error is {error!r}; expected {' or '.join(ERRORS)}")
        self.error = ERRORS[error]

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """E, G: the error of G(E(x))."""
        x = next(batches)
        x_hat = self.decoder(self.encoder(x))
        yield Update(self.error(x_hat, x), [self.encoder, self.decoder])
