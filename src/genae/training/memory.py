"""The memory that a training will need: weights, optimisers, and what the backward passes keep."""

from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from genae.networks.layers import batch_norm_explained
from genae.protocol import Autoencoder, Stage


class Footprint(NamedTuple):
    """Bytes in float32, for one process; convolutions' work space and the data are not counted."""

    begins: int
    """Number of images from which this holds."""
    stage: Stage
    weights: int
    """Parameters, their gradients, Adam's two moments, and their moving average where one is kept."""
    activations: int
    """The most that is kept for backward passes in one iteration."""


class _Ledger:
    """How much is kept for backward passes: of tensors that share memory, one is counted."""

    def __init__(self) -> None:
        self.holders: Counter[int] = Counter()
        self.now = self.peak = 0

    def add(self, key: int, size: int) -> None:
        if self.holders[key] == 0:
            self.now += size
            self.peak = max(self.peak, self.now)
        self.holders[key] += 1

    def remove(self, key: int, size: int) -> None:
        self.holders[key] -= 1
        if self.holders[key] == 0:
            self.now -= size


class _Kept:
    """A tensor that a graph keeps; forgotten with it."""

    def __init__(self, tensor: Tensor, ledger: _Ledger) -> None:
        storage = tensor.untyped_storage()
        self.tensor, self.ledger, self.entry = tensor, ledger, (storage._cdata, storage.nbytes())
        ledger.add(*self.entry)

    def __del__(self) -> None:
        self.ledger.remove(*self.entry)


def _given_back(kept: Tensor | _Kept) -> Tensor:
    return kept.tensor if isinstance(kept, _Kept) else kept


def footprints(model: Autoencoder, parts: int = 1, averaged: bool = False) -> Iterator[Footprint]:
    """One for every resolution and batch size of the model's schedule, where a batch is divided into ``parts``.

    Every iteration is run on shapes alone (PyTorch's device ``meta``): nothing is computed, and nothing is taken up.
    """
    weights = (5 if averaged else 4) * sum(p.element_size() * p.numel() for p in model.parameters())
    ghost = model.on_shapes()
    own = {p.untyped_storage()._cdata for p in ghost.parameters()}
    for begins in model.changes():
        stage = model.stage(begins)
        channels, *sides = model.image_shape
        reduced = [side * stage.resolution // max(sides) for side in sides]
        batch = torch.empty(-(-stage.batch_size // parts), channels, *reduced, device="meta")
        ledger = _Ledger()

        def keep(tensor: Tensor, ledger: _Ledger = ledger) -> Tensor | _Kept:
            return tensor if tensor.untyped_storage()._cdata in own else _Kept(tensor, ledger)

        hooks = torch.autograd.graph.saved_tensors_hooks(keep, _given_back)
        with batch_norm_explained(), hooks:
            for update in ghost.step((batch.clone() for batch in repeat(batch)), begins):
                parameters = [p for network in update.trains for p in network.parameters()]
                update.loss.backward(inputs=parameters, retain_graph=update.keep_graph)
                for p in parameters:
                    p.grad = None
        yield Footprint(begins, stage, weights, ledger.peak)
