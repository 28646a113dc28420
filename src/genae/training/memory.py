"""The memory that a training will need: weights, optimisers, and what iterations and validations hold at their peak."""

import weakref
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genae.data.sources import ImageData
from genae.data.store import MemoryStore
from genae.metrics.reconstruction import mse, reconstructions
from genae.networks.layers import batch_norm_explained
from genae.protocol import Autoencoder, Part, Stage, evaluating, working_on
from genae.training.feed import Feed


class Footprint(NamedTuple):
    """Bytes in float32, for one process. The data set and the work space of convolutions are not counted."""

    begins: int
    """Number of images from which this holds."""
    stage: Stage
    weights: int
    """Parameters, Adam's two moments, and their moving average where one is kept."""
    iteration: int
    """The most that an iteration holds beside them: its batches, activations and gradients."""
    validation: int
    """The most that a validation holds beside the weights: images, codes, reconstructions. An evaluation also needs
    its feature networks."""


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive at a time, but for those of ``model``."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.alive = {x.untyped_storage()._cdata for x in (*model.parameters(), *model.buffers())}

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and count what it made."""
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor):
                self._count(x.untyped_storage())
        return result

    def _count(self, storage: UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.alive:
            self.alive.add(key)
            weakref.finalize(storage, self._forget, key, size)
            self.now += size
            self.peak = max(self.peak, self.now)

    def _forget(self, key: int, size: int) -> None:
        self.alive.remove(key)
        self.now -= size


def footprints(
    model: Autoencoder, processes: int = 1, accumulate: int = 1, averaged: bool = False
) -> Iterator[Footprint]:
    """One for every resolution and batch size of the model's schedule, where ``processes`` share a batch and each
    divides its share into ``accumulate`` parts: of the last process, whose parts are as large as any.

    Everything is run on shapes alone (PyTorch's device ``meta``): nothing is computed, and nothing is taken up.
    """
    weights = (4 if averaged else 3) * sum(p.element_size() * p.numel() for p in model.parameters())
    ghost = model.on_shapes()
    parts = processes * accumulate
    pixels = torch.empty(
        max(ghost.stage(begins).batch_size for begins in ghost.changes()),
        *ghost.image_shape,
        dtype=torch.uint8,
        device="meta",
    )
    data = ImageData("shapes alone", MemoryStore(pixels), 0, 255, {"train": torch.arange(len(pixels))})
    feed = Feed(data, ghost, 0, True, parts)
    for begins in ghost.changes():
        stage = ghost.stage(begins)
        last = [Part(parts - number, parts, stage.batch_size) for number in range(accumulate, 0, -1)]
        yield Footprint(begins, stage, weights, _iteration(ghost, feed, begins, last), _validation(ghost, feed))


def _iteration(ghost: Autoencoder, feed: Feed, images: int, parts: Sequence[Part]) -> int:
    """The most that an iteration holds. The parts of a batch go side by side, as in `Loop`."""
    with batch_norm_explained(), _Live(ghost) as live:
        steps = [ghost.step((feed.batch(images, part, draw) for draw in count()), images) for part in parts]
        while True:
            for step, part in zip(steps, parts, strict=True):
                with working_on(part):
                    update = next(step, None)
                if update is None:
                    return live.peak
                parameters = [p for network in update.trains for p in network.parameters()]
                update.loss.backward(inputs=parameters, retain_graph=update.keep_graph)
            for p in parameters:
                p.grad = None


def _validation(ghost: Autoencoder, feed: Feed) -> int:
    """The most that a validation holds: the second batch of images comes before the first one's last are gone."""
    with torch.no_grad(), evaluating(ghost), _Live(ghost) as live:
        if ghost.has_encoder:
            for x in feed.full_size(torch.zeros(2 * feed.at_once, dtype=torch.long)):
                for x_hat in reconstructions(ghost, ghost.encode(x), ghost.priors).values():
                    mse(x_hat, x)
        for prior in ghost.priors.values():
            ghost.decode(prior.sample(feed.at_once, torch.Generator()))
    return live.peak
