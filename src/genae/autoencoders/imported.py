"""Autoencoders that others trained: encoder and decoder with their weights, and no `step`."""

import math

from torch import Tensor

from genae.protocol import Autoencoder, at_least


class ImportedAutoencoder(Autoencoder):
    """Images [B, C, H, W] in [-1, 1] <-> codes [B, D], the flattened maps [B, c, h, w] of somebody else's autoencoder.

    ``source`` says where the weights were found, ``revision`` which version of a repository they are, ``sha256`` are
    the hashes of their files, and ``licence`` is what the files say of it. ``batch_size`` is how many images are
    encoded and decoded at once. A subclass has the networks, `encode_map` and `decode_map`.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        source: str,
        revision: str = "",
        sha256: str = "",
        licence: str = "not stated",
        batch_size: int = 16,
    ) -> None:
        super().__init__(image_shape, batch_size, learning_rate=0)
        self.source = source
        self.revision = revision
        self.sha256 = sha256
        self.licence = licence

    @property
    def code_shape(self) -> tuple[int, ...]:
        """(c, h, w)."""
        return self._map

    def set_code_shape(self, colours: int, channels: int, scale: int) -> None:
        """Codes have ``channels`` numbers for each cell of ``scale`` x ``scale`` pixels of ``colours`` channels.

        Raises ValueError for images that cannot be divided so.
        """
        at_least(1, colours=colours, channels=channels, scale=scale)
        mine, height, width = self.image_shape
        if mine != colours:
            raise ValueError(f"this autoencoder takes images of --channels {colours}, and these have {mine}")
        if height % scale or width % scale:
            nearest = "x".join(str(scale * max(1, round(side / scale))) for side in (height, width))
            raise ValueError(
                f"images are {height} x {width}, this autoencoder takes multiples of {scale}: give --size {nearest}"
            )
        self._map = channels, height // scale, width // scale
        self.code_dim = math.prod(self._map)

    @property
    def origin(self) -> str:
        """Whose weights these are."""
        version = f", revision {self.revision}" if self.revision else ""
        return f"{self.source}{version} (licence: {self.licence})"

    def encode(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] -> codes [B, D]: the rows of `encode_map`."""
        return self.encode_map(x).flatten(1)

    def decode(self, code: Tensor) -> Tensor:
        """Codes [B, D] -> images [B, C, H, W], clipped to [-1, 1]."""
        return self.decode_unclipped(code).clamp(-1, 1)

    def decode_unclipped(self, code: Tensor) -> Tensor:
        """As the decoder gives them."""
        return self.decode_map(code.unflatten(1, self._map))

    def encode_map(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] -> maps [B, c, h, w], the same for the same images."""
        raise NotImplementedError

    def decode_map(self, code: Tensor) -> Tensor:
        """Maps [B, c, h, w] -> images [B, C, H, W], not clipped."""
        raise NotImplementedError
