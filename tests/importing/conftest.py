"""Weights of other people's autoencoders, written here: the layout is theirs, the numbers are random."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

TAESD_WIDTH = 4


def taesd_sides(channels: int, pooled: bool, colours: int = 3) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Encoder and decoder of a TAESD of width 4, by the names of its files."""
    generator = torch.Generator().manual_seed(channels)
    width = TAESD_WIDTH

    def convolution(name: str, out: int, into: int, bias: bool = True, side: int = 3) -> dict[str, Tensor]:
        weight = torch.randn(out, into, side, side, generator=generator) / math.sqrt(side * side * into)
        return {f"{name}.weight": weight} | (
            {f"{name}.bias": torch.randn(out, generator=generator) / 4} if bias else {}
        )

    def block(name: str, branch: bool) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = {}
        for layer in (0, 2, 4):
            weights |= convolution(f"{name}.conv.{layer}", width, width)
        if branch:
            weights |= convolution(f"{name}.pool.0", 4 * width, width, bias=False, side=1)
            weights |= {f"{name}.pool.1.weight": torch.rand(4 * width, generator=generator)}
            weights |= {f"{name}.pool.1.bias": torch.rand(4 * width, generator=generator)}
            weights |= convolution(f"{name}.pool.3", width, 4 * width, bias=False, side=1)
        return weights

    encoder = convolution("0", width, colours) | convolution("14", channels, width)
    for place in (2, 6, 10):
        encoder |= convolution(str(place), width, width, bias=False)
    for place in (1, 3, 4, 5, 7, 8, 9, 11, 12, 13):
        encoder |= block(str(place), pooled and place > 10)
    decoder = convolution("1", width, channels) | convolution("19", colours, width)
    for place in (7, 12, 17):
        decoder |= convolution(str(place), width, width, bias=False)
    for place in (3, 4, 5, 8, 9, 10, 13, 14, 15, 18):
        decoder |= block(str(place), pooled and place < 6)
    return encoder, decoder


@pytest.fixture(scope="session")
def taesd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one pooled TAESD of 8 channels in half precision, and its licence."""
    folder = tmp_path_factory.mktemp("weights") / "small"
    folder.mkdir()
    for side, tensors in zip(("encoder", "decoder"), taesd_sides(8, pooled=True), strict=True):
        torch.save({name: tensor.half() for name, tensor in tensors.items()}, folder / f"taesmall_{side}.pth")
    (folder / "LICENSE").write_text("MIT License\n\nCopyright\n")
    return folder


@pytest.fixture(scope="session", name="taesd_sides")
def _taesd_sides():
    """``taesd_sides(channels, pooled)`` -> the weights of both sides."""
    return taesd_sides
