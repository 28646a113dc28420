"""Copies of training images."""

import pytest
import torch

from genae.metrics.copies import memorisation
from tests.metrics.vectors import normal


def test_memorisation_tells_copies_from_new_images() -> None:
    train, held_out, new = (normal(300, 20, seed=seed) for seed in (0, 1, 2))
    honest = memorisation(new, held_out, train)
    assert honest.copies < 0.06
    assert honest.nearest == pytest.approx(memorisation(held_out, held_out, train).nearest, rel=0.1)
    half = torch.cat([new[:150], train[:150] + 0.01])
    assert memorisation(half, held_out, train).copies == pytest.approx(0.5, abs=0.03)
    assert memorisation(train[:100], held_out, train).nearest == 0
