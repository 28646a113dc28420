"""Layers: padding and its inverse, normalisation by name."""

import pytest
import torch
from torch import nn

from genae.networks.layers import centre_crop, normalisation, pad_to_multiple


def test_cropping_undoes_padding() -> None:
    x = torch.rand(1, 2, 5, 7)
    assert torch.equal(centre_crop(pad_to_multiple(x, 8, 12), 5, 7), x)


def test_normalisation_by_name() -> None:
    assert isinstance(normalisation("batch", 3), nn.BatchNorm2d)
    with pytest.raises(ValueError, match="'layer'; expected 'batch' or 'none'"):
        normalisation("layer", 3)
