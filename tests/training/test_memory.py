"""The memory of a training, counted on shapes alone."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import accumulate

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from genae.autoencoders import AUTOENCODERS
from genae.data.sources import open_data
from genae.metrics.reconstruction import reconstruction_mse
from genae.protocol import Autoencoder, Part, Update, evaluating
from genae.settings.presets import PRESETS
from genae.training.config import Config, resolve
from genae.training.memory import footprints
from genae.training.start import build_model
from genae.training.trainer import Trainer


def test_what_is_alive_at_the_same_time_is_counted_once() -> None:
    class Squares(Autoencoder):
        """A batch of 4 images of 64 numbers, and two multiples of it that are kept for two products."""

        def __init__(self) -> None:
            super().__init__((1, 8, 8), 4, 1e-3)
            self.first, self.second = (nn.Linear(64, 1, bias=False) for _ in range(2))

        def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
            x = next(batches).flatten(1)
            yield Update((self.first(2 * x) + self.second(3 * x)).sum(), [self.first, self.second])

    (footprint,) = footprints(Squares())
    assert footprint.weights == 3 * 2 * 64 * 4
    batches, gradient = 3 * 4 * 64 * 4, 64 * 4
    assert batches + gradient < footprint.iteration < 1.02 * (batches + gradient), "the rest are sums"
    (two,) = footprints(Squares(), accumulate=2)
    (alone,) = footprints(Squares(), processes=2)
    assert two.iteration > alone.iteration, "parts of a batch go side by side, and share gradients"


def test_what_is_predicted_is_what_the_allocator_gives_out(tiny_model) -> None:
    model = tiny_model("alae", width=64, batch_size=64)  # dense: convolutions take work space besides
    (predicted,) = footprints(deepcopy(model))
    data = open_data(torch.zeros(100, 1, 8, 8, dtype=torch.uint8))
    run = Trainer(Config("alae", "array", precision="float32"), None, data, model, lambda event: None)

    @torch.no_grad()
    def validation() -> None:
        with evaluating(model):
            reconstruction_mse(model, run.feed.full_size(torch.arange(100).repeat(2)))

    def iteration() -> None:
        run.loop.iteration(0, 1e-3)

    for work, expected in ((iteration, predicted.iteration), (validation, predicted.validation)):
        work()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            work()
        changes = [e.nbytes() for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
        assert expected == pytest.approx(max(accumulate(changes)), rel=0.15)


def test_a_validation_needs_less_than_the_training_of_its_last_stage() -> None:
    config = resolve("style-alae/ffhq1024", {"data": "x"}, PRESETS, AUTOENCODERS)
    first = next(footprints(build_model(config, (3, 1024, 1024))))
    assert (first.stage.resolution, first.stage.batch_size) == (4, 512)
    full_size = 16 * 3 * 1024**2 * 4  # bytes of the last stage's batch
    assert first.iteration < 4 * full_size, "not 512 images of 1,024 pixels as floats"
    assert full_size < first.validation < 12 * full_size


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
    assert (first.begins, first.weights) == (0, 12 * weights)
    draws = model.flow if name == "glow" else model.decoder
    assert first.iteration > 4 * sum(p.numel() for p in draws.parameters())
    assert first.validation > 0
