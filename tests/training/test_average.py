"""The moving average of the weights."""

import torch

from genae.training.average import Average
from genae.training.loop import Loop


def test_an_average_forgets_half_in_its_half_life(tiny_model) -> None:
    model = tiny_model("ae")
    average = Average(model, half_life=40)
    before = [p.clone() for p in average.model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p += 1
    for _ in range(4):
        average.update(model, 10)
    for now, then in zip(average.model.parameters(), before, strict=True):
        assert torch.allclose(now, then + 0.5, atol=1e-5)


def test_buffers_of_an_average_are_the_models_own(tiny_model, random_batches) -> None:
    model = tiny_model("stacked-wae")
    average = Average(model, half_life=1000)
    Loop(model, random_batches).iteration(0, 1e-3)
    average.update(model, 8)
    assert any(True for _ in model.buffers())
    for mine, its in zip(average.model.buffers(), model.buffers(), strict=True):
        assert torch.equal(mine, its)
    assert not any(p.requires_grad for p in average.model.parameters())
