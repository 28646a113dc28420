"""Images from NumPy arrays."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genae.data.raw import Raw
from genae.errors import GenaeError
from genae.storage import load_numpy

LAYOUTS = ("NCHW", "NHWC")


def read_array(path: Path, layout: str | None) -> Raw:
    """``.npy`` of images [N, H, W], [N, H, W, C] or [N, C, H, W]; ``.npz`` of ``images`` and perhaps ``labels`` [N]."""
    arrays = load_numpy(path)
    pictures = [key for key, array in arrays.items() if array.ndim in (3, 4)]
    key = "images" if "images" in arrays else pictures[0] if len(pictures) == 1 else None
    if key is None or arrays[key].ndim not in (3, 4):
        contents = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "no arrays"
        raise GenaeError(f"{path} holds {contents}; expected an array 'images' of shape [N, H, W] or [N, H, W, C]")
    return raw_of_array(arrays[key], layout, f"{path}: '{key}'" if key != "images" else str(path), arrays.get("labels"))


def raw_of_array(array: np.ndarray, layout: str | None, where: str, labels: np.ndarray | None = None) -> Raw:
    """Images [N, H, W], [N, H, W, C] or [N, C, H, W] of integers or finite floats, and perhaps labels [N].

    ``where`` is what the array is called in messages. Raises `GenaeError`.
    """
    if layout is not None and layout not in LAYOUTS:
        raise GenaeError(f"layout is {layout!r}; expected NCHW or NHWC")
    if array.ndim not in (3, 4):
        raise GenaeError(f"{where} has shape {list(array.shape)}; expected [N, H, W], [N, H, W, C] or [N, C, H, W]")
    if array.dtype.kind not in "iuf":
        raise GenaeError(f"{where} is of type {array.dtype}; expected integers or floats")
    if array.size == 0:
        raise GenaeError(f"{where} holds no images (shape {list(array.shape)})")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))
        raise GenaeError(f"{where}: {len(bad)} images hold NaN or infinite values (the first is number {bad[0]})")
    if array.ndim == 3:
        array = array[:, None]
    elif (layout or _layout(where, array.shape)) == "NHWC":
        array = array.transpose(0, 3, 1, 2)
    pixels, depth = _stored(array)
    numbers, classes = _labels(where, labels, len(array))
    return Raw(pixels, numbers, classes, depth=depth, notes=(f"array of {len(array)} images, {array.dtype}",))


def _stored(array: np.ndarray) -> tuple[Tensor, int | None]:
    """As uint8 where the values fit, else float32; and the largest value of the type that they fit."""
    depth = None
    if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 65535:
        depth = 255 if array.dtype == np.uint8 or (array.dtype != np.uint16 and array.max() <= 255) else 65535
    return torch.from_numpy(np.ascontiguousarray(array, np.uint8 if depth == 255 else np.float32)), depth


def _labels(where: str, labels: np.ndarray | None, count: int) -> tuple[Tensor | None, tuple[str, ...]]:
    if labels is None:
        return None, ()
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise GenaeError(
            f"the labels of {where} are {labels.dtype} of shape {list(labels.shape)}; "
            f"expected {count} integers or names"
        )
    values, numbers = np.unique(labels, return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64)), tuple(map(str, values))


def _layout(where: str, shape: tuple[int, ...]) -> str:
    """The axis that can only be channels: at most 4 long, or beside two equal sides."""
    for likely in (
        [name for name, channels in (("NCHW", shape[1]), ("NHWC", shape[3])) if channels <= 4],
        [name for name, sides in (("NCHW", shape[2:]), ("NHWC", shape[1:3])) if sides[0] == sides[1]],
    ):
        if len(likely) == 1:
            return likely[0]
    raise GenaeError(f"{where}: shape {list(shape)} can be read in two ways; say --layout NCHW or --layout NHWC")
