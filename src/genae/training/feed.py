"""The batches of a training: which images come next, and how they become what networks see."""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from genae.data.sampler import mix_seed, shuffled
from genae.data.sources import ImageData
from genae.data.store import Store
from genae.data.transfer import THREADS, pinned, sent
from genae.distributed.ahead import Ahead
from genae.networks.layers import memory_format
from genae.networks.style_layers import halved
from genae.protocol import Autoencoder, Part

ROOM = 256_000_000
"""Bytes of images that wait to be asked for, at most. Those of 1,024 pixels and more may take twice as many."""


class Request(NamedTuple):
    """Some images of a batch, which are read together."""

    images: int
    """Where the iteration is."""
    part: Part
    draw: int
    piece: int
    """Number of the group of images, where a batch has several."""


@dataclass(frozen=True)
class Pieces:
    """How the rows of a part of a batch are read."""

    rows: slice
    """Of the whole batch."""
    kept: int
    """Halvings that the store keeps."""
    left: int
    """Halvings that are left for the device."""
    at_once: int
    """Images of one piece."""

    @property
    def count(self) -> int:
        """How many pieces there are."""
        return math.ceil((self.rows.stop - self.rows.start) / self.at_once)


def levels_taken(model: Autoencoder, store: Store) -> int:
    """How many of the halvings that a store keeps a training of ``model`` takes: they are rounded, so they are part of
    what it computes from."""
    return min(store.levels, max(_halvings(model, images) for images in model.changes()))


def _halvings(model: Autoencoder, images: int) -> int:
    """How often images of full size are halved for the stage at ``images``."""
    return (max(model.image_shape[1:]) // model.stage(images).resolution).bit_length() - 1


class Feed:
    """Batches from the training images of ``data`` for ``model``, on the model's device, until ``end`` images are seen.

    A batch is a function of the seed, the images seen and the draw. Images travel as they are stored; on the device
    they are mirrored (half of them, with ``flip``), converted to floats, and reduced to the resolution of the stage.

    What is not in memory is read ahead by threads: an iteration is expected to ask for the same draws as the one
    before. No batch depends on whether it was expected. `close` ends the threads.
    """

    def __init__(
        self, data: ImageData, model: Autoencoder, seed: int, flip: bool, parts: int = 1, end: float = math.inf
    ) -> None:
        self.data = data
        self.model = model
        self.seed = seed
        self.flip = flip
        self.end = end
        self.device = next(model.parameters()).device
        self.at_once = max(1, model.full_size_batch // parts)
        """How many images of full size are floats at a time: as many as in a part of the last stage's batch, where
        ``parts`` make a batch. So nothing needs more memory for them than training does at its end."""
        self.ahead: Ahead[Request, Tensor] = Ahead(self._read, THREADS, self._size, ROOM)
        self.at = -1
        self.drawn: list[tuple[Part, int]] = []
        """Parts and draws that the iteration at `at` has asked for."""
        self.usual: list[tuple[Part, int]] = []
        """Those of the iteration before; of the first iteration, its own."""

    def batch(self, images: int, part: Part, draw: int) -> Tensor:
        """This part's rows [B, C, h, w] in [-1, 1] of the iteration at ``images``; each draw has its own random order.

        What is to be reduced becomes floats `at_once` images at a time. This is done on the device: a core of the host
        would take longer to average the images of full size than to send their bytes.
        """
        pieces = self._pieces(images, part)
        mirrored = self._mirrored(images, self.model.stage(images).batch_size, draw)[pieces.rows]
        self._note(images, part, draw)
        reduced = [
            halved(self._converted(Request(images, part, draw, number), some), pieces.left)
            for number, some in enumerate(mirrored.split(pieces.at_once))
        ]
        return reduced[0] if len(reduced) == 1 else torch.cat(reduced)

    def full_size(self, indices: Tensor) -> Generator[Tensor, None, None]:
        """Images of any split in batches [B, C, H, W] in [-1, 1], not mirrored, `at_once` at a time."""
        return self.data.batches(indices.split(self.at_once), self.device)

    def close(self) -> None:
        """End the threads that read ahead; nothing can be asked for after it."""
        self.ahead.close()

    def _pieces(self, images: int, part: Part) -> Pieces:
        """How this part's rows of a batch at ``images`` are read."""
        stage = self.model.stage(images)
        rows = part.rows(stage.batch_size)
        halvings = _halvings(self.model, images)
        kept = min(halvings, self.data.store.levels)
        return Pieces(rows, kept, halvings - kept, self.at_once if halvings > kept else rows.stop - rows.start)

    def _indices(self, request: Request) -> Tensor:
        """Which images are asked for, [B]."""
        images, part, draw, number = request
        train, batch = self.data.split("train"), self.model.stage(images).batch_size
        pieces = self._pieces(images, part)
        return train[shuffled(images, batch, len(train), self.seed, draw)[pieces.rows]].split(pieces.at_once)[number]

    def _mirrored(self, images: int, count: int, draw: int) -> Tensor:
        """Which of the images of a whole batch are mirrored, [count]."""
        if not self.flip:
            return torch.zeros(count, dtype=torch.bool)
        generator = torch.Generator().manual_seed(mix_seed("flip", self.seed, draw, images))
        return torch.rand(count, generator=generator) < 0.5

    def _converted(self, request: Request, mirrored: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1], of full size or as small as the store keeps them."""
        stored = self._stored(request).contiguous(memory_format=memory_format(self.device))
        if self.flip:
            stored = torch.where(sent(mirrored, self.device).view(-1, 1, 1, 1), stored.flip(-1), stored)
        return self.data.converted(stored)

    def _stored(self, request: Request) -> Tensor:
        """Images as they are stored, on the device."""
        if self.data.store.in_memory:
            kept = self._pieces(request.images, request.part).kept
            return self.data.stored(self._indices(request), self.device, kept)
        return sent(self.ahead.get(request, partial(self._following, request)), self.device)

    # --- what threads read ahead

    def _read(self, request: Request) -> Tensor:
        kept = self._pieces(request.images, request.part).kept
        return pinned(self.data.store.read(self._indices(request), kept), self.device)

    def _size(self, request: Request) -> int:
        """Bytes of what is read for a request, at most."""
        pieces = self._pieces(request.images, request.part)
        count = min(pieces.at_once, pieces.rows.stop - pieces.rows.start)
        return count * self.data.store.row_bytes >> 2 * pieces.kept

    def _note(self, images: int, part: Part, draw: int) -> None:
        """What is asked for, from which the next iteration is expected."""
        if images != self.at:
            self.at, self.usual, self.drawn = images, self.drawn, []
        self.drawn.append((part, draw))
        if len(self.drawn) > len(self.usual):
            self.usual = self.drawn

    def _following(self, request: Request) -> Iterator[Request]:
        """What is expected after a request: the rest of its batch and of its iteration, then the next iterations."""
        images, part, draw, piece = request
        for number in range(piece + 1, self._pieces(images, part).count):
            yield Request(images, part, draw, number)
        rest = self.usual[len(self.drawn) :]
        while images < self.end:
            for part, draw in rest:
                for number in range(self._pieces(images, part).count):
                    yield Request(images, part, draw, number)
            rest = self.usual
            images += self.model.stage(images).batch_size
