"""Features of an encoder's layers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from genae.errors import GenaeError
from genae.metrics.encoder_features import layers
from genae.protocol import Part


@pytest.mark.parametrize("name", ["ae", "vae", "ali", "alae", "stacked-wae"])
def test_long_features_are_what_the_last_layer_receives(
    name: str, random_batches: Callable[..., Any], tiny_model: Callable[..., Any]
) -> None:
    model = tiny_model(name).eval()
    x = next(random_batches(0, Part()))
    short, long, again = layers(model, ["short", "long", "short"])(x)
    assert torch.equal(short, model.encode(x))
    assert torch.equal(short, again)
    if name == "alae":
        assert torch.equal(long, model.encoder.features(x))
    else:
        assert torch.equal(long, model.encoder.convolutions(x).flatten(1))
        (first,) = layers(model, ["encoder.convolutions.1"])(x)
        assert torch.equal(first, model.encoder.convolutions[:2](x).flatten(1))


def test_layers_that_are_not_there_are_explained(
    random_batches: Callable[..., Any], tiny_model: Callable[..., Any]
) -> None:
    model = tiny_model("ae").eval()
    x = next(random_batches(0, Part()))
    with pytest.raises(GenaeError, match="no layer 'lng'; did you mean 'long'"):
        layers(model, ["lng"])
    with pytest.raises(GenaeError, match="encoding does not pass through layer 'decoder'"):
        layers(model, ["decoder"])(x)
    grown = tiny_model("style-alae").eval()
    with pytest.raises(GenaeError, match=r"layer 'encoder.blocks.0' gives tuple, not one tensor; name one in it"):
        layers(grown, ["encoder.blocks.0"])(next(random_batches(0, Part())))
