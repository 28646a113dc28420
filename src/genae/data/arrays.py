"""Images from NumPy arrays."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genae.data.builtin import Raw
from genae.errors import GenaeError
from genae.storage import load_numpy

LAYOUTS = ("NCHW", "NHWC")


def read_array(path: Path, layout: str | None) -> Raw:
    """``.npy`` of images [N, H, W], [N, H, W, C] or [N, C, H, W]; ``.npz`` of ``images`` and perhaps ``labels`` [N]."""
    if layout is not None and layout not in LAYOUTS:
        raise GenaeError(f"layout is {layout!r}; expected NCHW or NHWC")
    arrays = load_numpy(path)
    pictures = [key for key, array in arrays.items() if array.ndim in (3, 4)]
    key = "images" if "images" in arrays else pictures[0] if len(pictures) == 1 else None
    if key is None or arrays[key].ndim not in (3, 4):
        found = ", ".join(f"{k} {a.shape}" for k, a in arrays.items())
        raise GenaeError(f"{path} holds {found}; expected an array 'images' of shape [N, H, W] or [N, H, W, C]")
    array = arrays[key]
    if array.dtype.kind not in "iuf":
        raise GenaeError(f"{path}: '{key}' is of type {array.dtype}; expected integers or floats")
    if array.size == 0:
        raise GenaeError(f"{path}: '{key}' holds no images (shape {list(array.shape)})")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))
        raise GenaeError(f"{path}: {len(bad)} images hold NaN or infinite values (the first is number {bad[0]})")
    if array.ndim == 3:
        array = array[:, None]
    elif (layout or _layout(path, array.shape)) == "NHWC":
        array = array.transpose(0, 3, 1, 2)
    pixels, depth = _stored(array)
    labels, classes = _labels(path, arrays.get("labels"), len(array))
    return Raw(pixels, labels, classes, depth=depth, notes=(f"array of {len(array)} images, {array.dtype}",))


def _stored(array: np.ndarray) -> tuple[Tensor, int | None]:
    """As uint8 where the values fit, else float32; and the largest value of the type that they fit."""
    depth = None
    if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 65535:
        depth = 255 if array.dtype == np.uint8 or (array.dtype != np.uint16 and array.max() <= 255) else 65535
    wanted = np.uint8 if depth == 255 else np.float32
    return torch.from_numpy(np.ascontiguousarray(array, wanted)), depth


def _labels(path: Path, labels: np.ndarray | None, count: int) -> tuple[Tensor | None, tuple[str, ...]]:
    if labels is None:
        return None, ()
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise GenaeError(
            f"{path}: 'labels' is {labels.dtype} of shape {labels.shape}; expected {count} integers or names"
        )
    values, numbers = np.unique(labels, return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64)), tuple(map(str, values))


def _layout(path: Path, shape: tuple[int, ...]) -> str:
    """The axis that can only be channels: at most 4 long, or beside two equal sides."""
    for likely in (
        [name for name, channels in (("NCHW", shape[1]), ("NHWC", shape[3])) if channels <= 4],
        [name for name, sides in (("NCHW", shape[2:]), ("NHWC", shape[1:3])) if sides[0] == sides[1]],
    ):
        if len(likely) == 1:
            return likely[0]
    raise GenaeError(f"{path}: shape {list(shape)} can be read in two ways; say --layout NCHW or --layout NHWC")
