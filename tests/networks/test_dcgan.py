"""The convolutional networks: the paper's layer sizes, any shape in."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genae.networks.dcgan import ConvDecoder, ConvEncoder, PatchCritic, padded_size, stages_for
from genae.networks.dense import Dense


def outputs(network: nn.Module) -> list[int]:
    return [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


def test_layers_are_those_of_table_iii() -> None:
    shape = (3, 32, 32)
    encoder, decoder, critic = ConvEncoder(shape, 128), ConvDecoder(shape, 128), PatchCritic(shape)
    assert outputs(encoder) == [64, 128, 256, 512, 1024]
    assert encoder.linear.in_features == 1024 * 2 * 2
    assert outputs(decoder) == [512, 256, 128, 64, 3]
    assert outputs(critic) == [64, 128, 256, 512, 1]
    assert critic(torch.zeros(1, *shape)).shape == (1, 1, 2, 2)
    dense = Dense(64, 128)
    widths = [m.out_features for m in dense.modules() if isinstance(m, nn.Linear)]
    assert widths == [512, 512, 512, 128]


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 70), st.integers(4, 70), st.integers(1, 13))
def test_any_size_aspect_and_channel_count(height: int, width: int, channels: int) -> None:
    shape = (channels, height, width)
    x = torch.zeros(2, *shape)
    with torch.no_grad():
        code = ConvEncoder(shape, 5, width=2)(x)
        assert code.shape == (2, 5)
        assert ConvDecoder(shape, 5, width=2)(code).shape == x.shape
        assert PatchCritic(shape, width=2)(x).shape[:2] == (2, 1)


@given(st.integers(4, 2000), st.integers(4, 2000))
def test_padding_is_divisible_and_small(height: int, width: int) -> None:
    multiple = 2 ** stages_for(height, width)
    for side, padded in zip((height, width), padded_size(height, width), strict=True):
        assert padded % multiple == 0
        assert side <= padded < side + multiple


def test_known_sizes() -> None:
    assert [stages_for(s, s) for s in (8, 28, 32, 64, 128)] == [2, 4, 4, 5, 6]
    assert padded_size(28, 28) == (32, 32)
    with pytest.raises(ValueError, match="3x9 pixels are too small"):
        stages_for(3, 9)


def test_maps_halve_exactly() -> None:
    encoder = ConvEncoder((1, 32, 32), 4, width=2)
    sizes = []
    for layer in encoder.convolutions:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda m, i, o: sizes.append(o.shape[-1]))
    encoder(torch.zeros(2, 1, 32, 32))
    assert sizes[0] == 32
    assert all(a == 2 * b for a, b in pairwise(sizes))
