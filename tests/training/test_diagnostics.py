"""Warnings in plain words when a training goes wrong."""

from typing import Any

import pytest
import torch

from genae.protocol import Part
from genae.training.diagnostics import diagnose, warnings


@pytest.mark.parametrize(
    ("break_it", "warning"),
    [
        (lambda m: [p.data.zero_() for p in m.encoder.linear.parameters()], "the codes have collapsed"),
        (lambda m: m.encoder.linear.weight.data[1:].zero_(), "the codes fill about one dimension"),
        (
            lambda m: [p.data.zero_() for p in m.priors["normal"].decoder.layers[-1].parameters()],
            "samples of the normal prior are nearly all alike",
        ),
        (
            lambda m: m.priors["normal"].decoder.layers[-1].bias.data.fill_(50.0),
            "the normal prior does not reach the codes",
        ),
    ],
)
def test_silent_failures_are_said_in_plain_words(break_it: Any, warning: str, tiny_model, random_batches) -> None:
    model = tiny_model("stacked-wae").eval()
    x = next(random_batches(0, Part(), whole=64))
    with torch.no_grad():
        break_it(model)
        said = warnings(diagnose(model, x), {})
    assert any(sentence.startswith(warning) for sentence in said), said


def test_a_critic_that_wins_is_named() -> None:
    losses = {"critic": {"loss": 0.004}, "encoder+decoder": {"loss": 0.001}, "priors.normal.critic": {"loss": 1.38}}
    assert [sentence.split(" ")[0] for sentence in warnings({}, losses)] == ["critic"]
    assert not warnings({}, {"critic": {"loss": -3.0, "penalty": 0.1}}), "a Wasserstein critic's loss has no floor"
