"""Learned perceptual image patch similarity (LPIPS) with VGG-16."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchvision.models import vgg16

from genae.errors import GenaeError
from genae.losses import unit_length
from genae.metrics.metric import PairMetric
from genae.metrics.weights import LPIPS_VGG, VGG16, fetch, fill, is_published
from genae.storage import weights_digest

if TYPE_CHECKING:
    from genae.metrics.backbones import Networks

SLICES = (4, 9, 16, 23, 30)  # after relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
CHANNELS = (64, 128, 256, 512, 512)
LPIPS_SIDE = 16  # VGG-16's fifth block still has a pixel
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the three colours


class Lpips(nn.Module):
    """Images [B, 3 or 1, H, W] in [-1, 1], two of them -> distance [B]. Zhang et al. 2018, Eq. 1, version 0.1.

    d = sum over five layers of the mean over places of w_l (y_l - y0_l)^2, y_l the features of VGG-16 divided by their
    length over channels. The sides must be at least 16 pixels. Raises `GenaeError` for other shapes.
    """

    def __init__(self, published: bool = False) -> None:
        super().__init__()
        self.name = "lpips" if published else "lpips-other-weights"
        """What its numbers are called."""
        with torch.device("meta"):  # the dense layers, nine tenths of VGG-16, are never made
            features = vgg16(weights=None, init_weights=False).features[: SLICES[-1]]
        self.features = features.to_empty(device="cpu")
        self.weights = nn.ParameterList([torch.zeros(1, channels, 1, 1) for channels in CHANNELS])
        self.shift: Tensor
        self.scale: Tensor
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The distance of each pair, [B]."""
        if x.shape != y.shape or x.shape[1] not in (1, 3) or min(x.shape[-2:]) < LPIPS_SIDE:
            shapes = f"{list(x.shape)}, {list(y.shape)}"
            raise GenaeError(f"LPIPS takes grey or RGB images of at least {LPIPS_SIDE} pixels; these are {shapes}")
        x, y = ((image.expand(-1, 3, -1, -1) - self.shift) / self.scale for image in (x, y))
        total = x.new_zeros(len(x))
        start = 0
        for stop, weight in zip(SLICES, self.weights, strict=True):
            x, y = (self.features[start:stop](image) for image in (x, y))
            a, b = unit_length(x), unit_length(y)
            total = total + ((a - b).square() * weight).sum(1).mean((1, 2))
            start = stop
        return total

    @property
    def protocol(self) -> dict[str, str]:
        """Its part of a fingerprint."""
        return {"network": "lpips-vgg16-v0.1", "network_digest": weights_digest(self)}


WEIGHTS = ("vgg16", "lpips")
"""What is downloaded, or given as files."""


class LpipsDistance(PairMetric):
    """``lpips``, or ``lpips-other-weights``."""

    least_side = LPIPS_SIDE

    def downloads(self, chosen: Sequence[str]) -> Sequence[str]:
        """VGG-16's weights and LPIPS' own."""
        return WEIGHTS

    def open(self, networks: "Networks", chosen: Sequence[str]) -> None:
        """Read them."""
        self.network = networks.lpips

    @property
    def recorded(self) -> str:
        """With other weights than the published ones, the name says so."""
        return self.network.name

    def error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """`Lpips`."""
        return self.network(x_hat, x)

    def protocol(self) -> Mapping[str, object]:
        """Name and hash of the network."""
        return self.network.protocol


def open_lpips(device: torch.device, weights: Mapping[str, Path] | None = None) -> Lpips:
    """LPIPS with its published weights: VGG-16's (``vgg16`` in ``weights``) and its own (``lpips``). `GenaeError`."""
    given = weights or {}
    files = {"vgg16": fetch("vgg16", VGG16, given), "lpips": fetch("lpips", LPIPS_VGG, given)}
    network = Lpips(is_published(files["vgg16"], VGG16) and is_published(files["lpips"], LPIPS_VGG))
    backbone = nn.ModuleDict({"features": network.features})
    fill(backbone, files["vgg16"], "torchvision's vgg16", ignore=("classifier.",))
    layers = nn.Module()
    for number, channels in enumerate(CHANNELS):  # lin0.model.1.weight ...: the names of the published file
        layer = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))
        layers.add_module(f"lin{number}", nn.ModuleDict({"model": layer}))
    fill(layers, files["lpips"], "LPIPS (VGG-16, version 0.1)")
    network.weights = nn.ParameterList([*layers.parameters()])
    return network.eval().requires_grad_(False).to(device)
