"""Images as a person has them -> images as a model takes them."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genae.data.sources import ImageData
from genae.data.transforms import to_unit_range
from genae.errors import GenaeError

Images = Tensor | np.ndarray | Image.Image | str | Path | Sequence[Image.Image | str | Path]
"""Floats [N, C, H, W] in [-1, 1]; uint8 [N, C, H, W] or [N, H, W, C]; Pillow's pictures; any source of images."""


def as_images(
    given: object, shape: tuple[int, int, int], open_source: Callable[[str | list[Image.Image | str | Path]], ImageData]
) -> Tensor:
    """float32 images [N, C, H, W] in [-1, 1] of ``shape`` (C, H, W), from `Images`.

    Arrays must have the model's size; pictures and files are brought to it by ``open_source``. Where uint8 arrays could
    be read as either layout, they are refused, as are NaN and values outside of [-1, 1]. Raises `GenaeError`.
    """
    if isinstance(given, Image.Image | str | Path):
        given = [given] if isinstance(given, Image.Image) else str(given)
    if isinstance(given, str) or (
        isinstance(given, list | tuple) and given and all(isinstance(one, Image.Image | str | Path) for one in given)
    ):
        source = open_source(given if isinstance(given, str) else list(given))
        return source.images(source.split("all"))
    if isinstance(given, np.ndarray) and given.dtype.kind in "uif":
        given = torch.from_numpy(np.ascontiguousarray(given))
    if not isinstance(given, Tensor):
        raise GenaeError(
            f"images are {_kind_of(given)}; expected a tensor, a NumPy array, or pictures or paths, one or a list"
        )
    given = given.detach().cpu()
    if given.dtype == torch.uint8:
        return to_unit_range(_channels_first(given, shape), 0, 255)
    if tuple(given.shape[1:]) != shape or given.ndim != 4:
        raise GenaeError(f"images have shape {list(given.shape)}; expected [N, {', '.join(map(str, shape))}]")
    if not given.is_floating_point():
        raise GenaeError(f"images are {given.dtype}; expected floats in [-1, 1] or uint8")
    if given.numel():
        _check_range(given)
    return given.float()


def _check_range(images: Tensor) -> None:
    low, high = images.min().item(), images.max().item()
    if not (low >= -1.001 and high <= 1.001):  # also NaN
        raise GenaeError(
            f"images hold values from {low:g} to {high:g}; expected finite floats in [-1, 1], or uint8 from 0 to 255"
        )
    if low >= 0 and high > low:
        warnings.warn(
            f"images hold values from {low:g} to {high:g}, none below 0; black is -1 here: if yours is 0, pass 2 x - 1",
            stacklevel=4,
        )


def _channels_first(pixels: Tensor, shape: tuple[int, int, int]) -> Tensor:
    channels, height, width = shape
    last = (height, width, channels)
    if pixels.ndim == 3 and channels == 1 and tuple(pixels.shape[1:]) == (height, width):
        return pixels[:, None]
    fits = pixels.ndim == 4 and tuple(pixels.shape[1:])
    if fits == shape == last:
        raise GenaeError(
            f"uint8 images of shape {list(pixels.shape)} could be in either layout; pass floats in [-1, 1]"
        )
    if fits == shape:
        return pixels
    if fits == last:
        return pixels.permute(0, 3, 1, 2).contiguous()
    wanted = f"[N, {channels}, {height}, {width}] or [N, {height}, {width}, {channels}]"
    raise GenaeError(f"images have shape {list(pixels.shape)}; expected {wanted}")


def _kind_of(given: object) -> str:
    if isinstance(given, list | tuple):
        inside = {type(one).__name__ for one in given}
        return f"a {type(given).__name__} of {', '.join(sorted(inside)) or 'nothing'}"
    return f"{given!r:.60}" if isinstance(given, int | float | bool | None) else type(given).__name__
