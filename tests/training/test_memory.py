"""The memory of a training, counted on shapes alone."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
from torch import Tensor, nn

from genae.autoencoders import AUTOENCODERS
from genae.protocol import Autoencoder, Part, Update
from genae.training.memory import footprints


def test_a_graph_that_is_kept_is_counted_once() -> None:
    class Squares(Autoencoder):
        """Keeps its input of 4 x 64 numbers for two products, and nothing else."""

        def __init__(self) -> None:
            super().__init__((1, 8, 8), 4, 1e-3)
            self.first, self.second = (nn.Linear(64, 1, bias=False) for _ in range(2))

        def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
            x = next(batches).flatten(1)
            yield Update((self.first(x) + self.second(x)).sum(), [self.first, self.second])

    assert next(footprints(Squares())).activations == 4 * 64 * 4


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_an_iteration_on_shapes_yields_the_updates_of_a_real_one(name: str, tiny_model, random_batches) -> None:
    model = tiny_model(name)
    ghost = deepcopy(model).on_shapes()
    assert all(p.is_meta for p in ghost.parameters())
    real = [(len(update.trains), update.loss.shape) for update in model.step(random_batches(0, Part()), 0)]
    batches = (x.to("meta") for x in random_batches(0, Part()))
    assert [(len(update.trains), update.loss.shape) for update in ghost.step(batches, 0)] == real
    weights = sum(p.numel() for p in model.parameters())
    (first, *_) = footprints(ghost)
    assert (first.begins, first.weights) == (0, 16 * weights)
    assert first.activations > 0
