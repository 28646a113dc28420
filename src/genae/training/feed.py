"""The batches of a training: which images come next, and how they become what networks see."""

from collections.abc import Iterator

import torch
from torch import Tensor

from genae.data.sampler import mix_seed, shuffled
from genae.data.sources import ImageData
from genae.data.transfer import sent
from genae.networks.layers import memory_format
from genae.networks.style_layers import halved
from genae.protocol import Autoencoder, Part


class Feed:
    """Batches from the training images of ``data`` for ``model``, on the model's device.

    A batch is a function of the seed, the images seen and the draw. Images travel as they are stored; on the device
    they are mirrored (half of them, with ``flip``), converted to floats, and reduced to the resolution of the stage.
    """

    def __init__(self, data: ImageData, model: Autoencoder, seed: int, flip: bool, parts: int = 1) -> None:
        self.data = data
        self.model = model
        self.seed = seed
        self.flip = flip
        self.device = next(model.parameters()).device
        self.at_once = max(1, model.full_size_batch // parts)
        """How many images of full size are floats at a time: as many as in a part of the last stage's batch, where
        ``parts`` make a batch. So nothing needs more memory for them than training does at its end."""

    def batch(self, images: int, part: Part, draw: int) -> Tensor:
        """This part's rows [B, C, h, w] in [-1, 1] of the iteration at ``images``; each draw has its own random order.

        What is to be reduced becomes floats `at_once` images at a time. This is done on the device: a core of the host
        would take longer to average the images of full size than to send their bytes.
        """
        train, stage = self.data.split("train"), self.model.stage(images)
        rows = part.rows(stage.batch_size)
        indices = train[shuffled(images, stage.batch_size, len(train), self.seed, draw)[rows]]
        halvings = (max(self.model.image_shape[1:]) // stage.resolution).bit_length() - 1
        at_once = self.at_once if halvings else len(indices)
        mirrored = self._mirrored(images, stage.batch_size, draw)[rows]
        pieces = [
            halved(self._converted(*some), halvings)
            for some in zip(indices.split(at_once), mirrored.split(at_once), strict=True)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def full_size(self, indices: Tensor) -> Iterator[Tensor]:
        """Images of any split in batches [B, C, H, W] in [-1, 1], not mirrored, `at_once` at a time."""
        return (self.data.images(some, self.device) for some in indices.split(self.at_once))

    def _mirrored(self, images: int, count: int, draw: int) -> Tensor:
        """Which of the images of a whole batch are mirrored, [count]."""
        if not self.flip:
            return torch.zeros(count, dtype=torch.bool)
        generator = torch.Generator().manual_seed(mix_seed("flip", self.seed, draw, images))
        return torch.rand(count, generator=generator) < 0.5

    def _converted(self, indices: Tensor, mirrored: Tensor) -> Tensor:
        """Images of full size [B, C, H, W], in [-1, 1]."""
        stored = self.data.stored(indices, self.device).contiguous(memory_format=memory_format(self.device))
        if self.flip:
            stored = torch.where(sent(mirrored, self.device).view(-1, 1, 1, 1), stored.flip(-1), stored)
        return self.data.converted(stored)
