"""Plain autoencoder: reconstruction, and nothing that shapes the codes.

The encoder and decoder are those of AAAE's appendix (Table III); every baseline has the same two. With a Gaussian
mixture on its codes it is the baseline that learned priors have to beat (Ghosh et al. 2020, "From Variational to
Deterministic Autoencoders", Table 1).
"""

from collections.abc import Iterator

from torch import Tensor

from genae.losses import mse
from genae.networks.dcgan import ConvDecoder, ConvEncoder
from genae.protocol import Autoencoder, Update, at_least


class PlainAutoencoder(Autoencoder):
    """Encoder E: x -> c, decoder G: c -> x, trained on the squared error alone.

    ``width`` is the channel count of the first layer (paper: 64), ``norm`` is ``batch`` or ``none``.
    """

    code_outputs = 1
    """How many numbers the encoder gives for each dimension of the code."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        code_dim: int = 128,
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
        self.encoder = ConvEncoder(image_shape, code_dim * self.code_outputs, width, norm)
        self.decoder = ConvDecoder(image_shape, code_dim, width, norm)

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """E, G: mse(x, G(E(x)))."""
        x = next(batches)
        reconstruction = mse(self.decoder(self.encoder(x)), x)
        yield Update(reconstruction, [self.encoder, self.decoder], {"mse": reconstruction})

    def encode(self, x: Tensor) -> Tensor:
        """c = E(x): images [B, C, H, W] in [-1, 1] -> codes [B, code_dim]."""
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """x_hat = G(c): codes [B, code_dim] -> images [B, C, H, W] in [-1, 1]."""
        return self.decoder(code)
