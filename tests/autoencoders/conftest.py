"""An iteration's updates, for the tests of single algorithms."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from genae.protocol import Autoencoder, Part, Update


@pytest.fixture
def updates(tiny_model, random_batches) -> Callable[..., tuple[Autoencoder, Tensor, list[Update]]]:
    """``updates(name, **options)`` -> a model, the first batch of an iteration, and its updates, with no steps between.

    Seeded by 1 when the iteration begins.
    """

    def run(name: str, **options: object) -> tuple[Autoencoder, Tensor, list[Update]]:
        torch.manual_seed(0)
        model = tiny_model(name, norm="none", **options)
        x = next(random_batches(0, Part()))
        torch.manual_seed(1)
        return model, x, list(model.step(random_batches(0, Part()), 0))

    return run
