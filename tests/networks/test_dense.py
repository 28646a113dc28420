"""The dense networks: initial weights."""

import pytest
import torch

from genae.networks.dense import Dense


def test_initial_weights_are_isotropic_with_deviation_001() -> None:
    torch.manual_seed(0)
    weight = Dense(512, 512).layers[0].weight
    assert weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not Dense(4, 4).layers[0].bias.any()
