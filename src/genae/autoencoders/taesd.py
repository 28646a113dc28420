"""The tiny autoencoders for other models' codes: TAESD (of Stable Diffusion's) and its successors up to FLUX.2's."""

from typing import Any

from torch import Tensor

from genae.autoencoders.imported import ImportedAutoencoder
from genae.networks.tiny import SCALE, TinyDecoder, TinyEncoder


class TinyAutoencoder(ImportedAutoencoder):
    """Encoder and decoder of 1.2 million weights each, trained to give the codes of a large autoencoder for diffusion
    models, and to draw images of them (https://github.com/madebyollin/taesd).

    ``channels`` is c of the codes [c, H/8, W/8]: 4 for Stable Diffusion and SDXL, 16 for Stable Diffusion 3 and FLUX.1,
    32 for FLUX.2. ``width`` is the channel count of all other layers, and ``pooled`` says whether the blocks at the
    lowest resolution have a normalised branch. ``given`` are the options of `ImportedAutoencoder`.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        colours: int = 3,
        channels: int = 4,
        width: int = 64,
        pooled: bool = False,
        **given: Any,
    ) -> None:
        super().__init__(image_shape, **given)
        self.set_code_shape(colours, channels, SCALE)
        self.encoder = TinyEncoder(colours, channels, width, pooled)
        self.decoder = TinyDecoder(colours, channels, width, pooled)

    def encode_map(self, x: Tensor) -> Tensor:
        """The encoder takes images in [0, 1]."""
        return self.encoder((x + 1) / 2)

    def decode_map(self, code: Tensor) -> Tensor:
        """The decoder gives images in [0, 1]."""
        return 2 * self.decoder(code) - 1
