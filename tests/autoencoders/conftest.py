"""An iteration's updates, for the tests of single algorithms."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

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


@pytest.fixture
def assert_same(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Tensor, Tensor, nn.Module], None]]:
    """``assert_same(loss, expected, network)``: in value, and in the gradient by every parameter of the network.

    A test that asks for it computes in float64, as tiny networks give codes that are nearly alike.
    """

    def check(loss: Tensor, expected: Tensor, network: nn.Module) -> None:
        torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
        parameters = list(network.parameters())
        for ours, theirs in zip(*(torch.autograd.grad(v, parameters) for v in (loss, expected)), strict=True):
            assert (ours - theirs).norm() <= 1e-7 * theirs.norm() + 1e-12

    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    yield check
    torch.set_default_dtype(torch.float32)
