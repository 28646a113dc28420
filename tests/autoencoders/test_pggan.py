"""PGGAN's objective in closed form, and its growth."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from genae.autoencoders.pggan import ProgressiveGan
from genae.protocol import Update

SMALL = {"code_dim": 6, "width": 4, "most_channels": 8, "batch_size": "4"}


class Plane(nn.Module):
    """D(x) = <a, x> + b."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(values))
        self.b = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor, level: int, blend: object) -> Tensor:
        return (x.flatten(1) @ self.a + self.b)[:, None]


def with_a_plane(x: Tensor) -> tuple[ProgressiveGan, Iterator[Update], Tensor, Tensor]:
    """A model whose critic is one, an iteration, and its images and fakes [4, values]."""
    torch.manual_seed(0)
    model = ProgressiveGan((3, 8, 8), **SMALL)  # type: ignore[arg-type]
    model.critic = Plane(3 * 64)  # type: ignore[assignment]
    torch.manual_seed(1)
    fakes = model.decoder(torch.randn(4, 6), 1)
    torch.manual_seed(1)
    return model, model.step(iter([x]), 0), x.flatten(1), fakes


def test_the_critics_objective_and_its_gradient_in_closed_form() -> None:
    model, step, x, fakes = with_a_plane(torch.rand(4, 3, 8, 8))
    a, b = (p.detach() for p in (model.critic.a, model.critic.b))
    update = next(step)
    fake, real, length = fakes.detach().flatten(1).mean(0), x @ a + b, a.norm()
    expected = fake @ a - x.mean(0) @ a + 10 * (length - 1) ** 2 + 0.001 * real.square().mean()
    torch.testing.assert_close(update.loss, expected)
    by_a, by_b = torch.autograd.grad(update.loss, [model.critic.a, model.critic.b])
    slope = 20 * (length - 1) * a / length
    torch.testing.assert_close(by_a, fake - x.mean(0) + slope + 0.002 * (real[:, None] * x).mean(0))
    torch.testing.assert_close(by_b, 0.002 * real.mean())


def test_the_generators_objective_and_its_gradient_in_closed_form() -> None:
    model, step, _, fakes = with_a_plane(torch.rand(4, 3, 8, 8))
    update = list(step)[1]
    assert update.trains == [model.decoder]
    torch.testing.assert_close(update.loss, -(fakes.flatten(1) @ model.critic.a + model.critic.b).mean())
    parameters = list(model.decoder.blocks[1].parameters())
    ours = torch.autograd.grad(update.loss, parameters)
    upstream = -model.critic.a.detach().view(1, 3, 8, 8).expand_as(fakes) / 4
    for mine, its in zip(ours, torch.autograd.grad(fakes, parameters, upstream), strict=True):
        torch.testing.assert_close(mine, its)


def test_the_penalty_is_taken_between_images_and_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, step, x, fakes = with_a_plane(torch.rand(4, 3, 8, 8))
    seen = []
    value = model._value
    monkeypatch.setattr(model, "_value", lambda at: seen.append(at.detach().flatten(1)) or value(at))
    next(step)
    shares = (seen[0] - fakes.detach().flatten(1)) / (x - fakes.detach().flatten(1))
    assert float(shares.std(1).max()) < 1e-3, "one share for each image"
    assert ((shares.mean(1) > 0) & (shares.mean(1) < 1)).all()
    assert float(shares.mean(1).std()) > 0.05


def test_a_level_is_blended_in_linearly() -> None:
    model = ProgressiveGan((3, 8, 8), growth=100, **SMALL)  # type: ignore[arg-type]
    assert [model.grown(images) for images in (0, 199, 200, 225, 300)] == [
        (0, 1.0), (0, 1.0), (1, 0.0), (1, 0.25), (1, 1.0)
    ]  # fmt: skip
    z = torch.randn(2, 6)
    shown = []
    for images in (199, 225, 10_000):
        model.images_seen = images
        shown.append(model.decode_unclipped(z))
    torch.testing.assert_close(shown[1], shown[0].lerp(shown[2], 0.25))
