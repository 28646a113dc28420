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
        said = warnings(diagnose(model, [x]), {})
    assert any(sentence.startswith(warning) for sentence in said), said


def test_the_numbers_are_those_of_all_batches_together(tiny_model, random_batches) -> None:
    model = tiny_model("stacked-wae").eval()
    x = next(random_batches(0, Part(), whole=64)) * 0.01 + 0.9
    with torch.no_grad():
        whole, parts = (diagnose(model, batches) for batches in ([x], x.split(13)))
        codes, drawn = model.encode(x), model.priors["normal"].sample(64, torch.Generator().manual_seed(0))
        spread = model.decode(drawn).std(0).mean() / x.std(0).mean()
    assert parts == pytest.approx(whole, rel=1e-4)
    assert whole["code_std"] == pytest.approx(float(codes.std(0, correction=0).mean()), rel=0.2)
    assert whole["diversity_normal"] == pytest.approx(float(spread), rel=1e-4)


def test_a_critic_that_wins_is_named() -> None:
    losses = {"critic": {"loss": 0.004}, "encoder+decoder": {"loss": 0.001}, "priors.normal.critic": {"loss": 1.38}}
    assert [sentence.split(" ")[0] for sentence in warnings({}, losses)] == ["critic"]
    assert not warnings({}, {"critic": {"loss": -3.0, "penalty": 0.1}}), "a Wasserstein critic's loss has no floor"
