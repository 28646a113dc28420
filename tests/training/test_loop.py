"""The loop: every misuse of the protocol is named, and only what an update trains gets gradients."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genae.losses import mse
from genae.protocol import Autoencoder, ProtocolError, Update, frozen
from genae.training.loop import Loop


class Toy(Autoencoder):
    """Two linear networks whose ``step`` each test supplies."""

    def __init__(self, script: Any) -> None:
        super().__init__((1, 8, 8), 8, 1e-3)
        self.encoder, self.decoder = nn.Linear(64, 4), nn.Linear(4, 64)
        self.script = script

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        return self.script(self, next(batches).flatten(1))


def run_toy(random_batches, script: Any, fused: bool = True) -> None:
    torch.manual_seed(0)
    Loop(Toy(script), random_batches, fused=fused).iteration(0, 1e-3)


def unreachable(m: Toy, x: Tensor) -> Iterator[Update]:
    yield Update(m.encoder(x).square().mean(), [m.encoder, m.decoder])


def released_graph(m: Toy, x: Tensor) -> Iterator[Update]:
    h = m.encoder(x)
    yield Update(m.decoder(h.detach()).square().mean() + h.square().mean(), [m.encoder])
    yield Update(h.square().mean(), [m.encoder])


def stale_graph(m: Toy, x: Tensor) -> Iterator[Update]:
    y = m.decoder(m.encoder(x))
    yield Update(mse(y, x), [m.decoder], keep_graph=True)
    yield Update(mse(y, x), [m.encoder])


def inside_no_grad(m: Toy, x: Tensor) -> Iterator[Update]:
    loss = mse(m.decoder(m.encoder(x)), x)
    with torch.no_grad():
        yield Update(loss, [m.encoder])


def inside_frozen(m: Toy, x: Tensor) -> Iterator[Update]:
    with frozen(m.decoder):
        yield Update(mse(m.decoder(m.encoder(x)), x), [m.encoder])


def without_gradient(m: Toy, x: Tensor) -> Iterator[Update]:
    with torch.no_grad():
        loss = mse(m.decoder(m.encoder(x)), x)
    yield Update(loss, [m.encoder])


def not_a_network(m: Toy, x: Tensor) -> Iterator[Update]:
    yield Update(m.encoder(x).mean(), [nn.Linear(2, 2)])


def no_network(m: Toy, x: Tensor) -> Iterator[Update]:
    yield Update(m.encoder(x).mean(), [])


def not_a_scalar(m: Toy, x: Tensor) -> Iterator[Update]:
    yield Update(m.encoder(x), [m.encoder])


def not_an_update(m: Toy, x: Tensor) -> Iterator[Any]:
    yield m.encoder(x).mean()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("script", "message"),
    [
        (unreachable, "update 1 .encoder.decoder.: the loss does not reach 'decoder'"),
        (released_graph, r"update 2 \(encoder\) goes again .* keep_graph=True"),
        (stale_graph, r"update 2 \(encoder\) goes through .* stepped since"),
        (inside_no_grad, "no_grad"),
        (inside_frozen, "while 'decoder' is frozen"),
        (without_gradient, "without gradient"),
        (not_a_network, "not one of the model's networks .encoder, decoder."),
        (no_network, "trains no network"),
        (not_a_scalar, r"shape \[8, 4\]; expected a scalar"),
        (not_an_update, "yielded Tensor; expected an Update"),
    ],
)
def test_misuse_is_named(script: Any, message: str, fused: bool, random_batches) -> None:
    with pytest.raises(ProtocolError, match=message):
        run_toy(random_batches, script, fused)


def test_a_kept_graph_serves_two_updates(random_batches) -> None:
    def kept(m: Toy, x: Tensor) -> Iterator[Update]:
        h = m.encoder(x)
        yield Update(m.decoder(h).square().mean(), [m.decoder], keep_graph=True)
        yield Update(h.square().mean(), [m.encoder])

    run_toy(random_batches, kept)


def test_gradients_of_unlisted_networks_are_not_even_computed(random_batches) -> None:
    def through_both(m: Toy, x: Tensor) -> Iterator[Update]:
        yield Update(mse(m.decoder(m.encoder(x)), x), [m.encoder])

    class Watching(Loop):
        def _step(self, update: Update, index: int) -> None:
            assert self.model.decoder.weight.grad is None
            super()._step(update, index)

    model = Toy(through_both)
    before = model.decoder.weight.detach().clone()
    Watching(model, random_batches).iteration(0, 1e-3)
    assert torch.equal(before, model.decoder.weight)
