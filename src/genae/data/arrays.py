"""Images from NumPy arrays, in memory or in a file that is mapped into it."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genae.data.cache import facts_of, key_of
from genae.data.raw import Raw, in_memory
from genae.data.remembered import remembered
from genae.data.store import CHUNK, Store
from genae.errors import GenaeError
from genae.storage import FileRows, load_numpy

LAYOUTS = ("NCHW", "NHWC")
MAPPED = 32_000_000
"""Bytes of a ``.npy`` file from which on it is not read at once."""


def read_array(path: Path, layout: str | None) -> Raw:
    """``.npy`` of images [N, H, W], [N, H, W, C] or [N, C, H, W]; ``.npz`` of ``images`` and perhaps ``labels`` [N].

    A large ``.npy`` stays in its file, and images are read when they are asked for.
    """
    mapped = path.suffix.lower() == ".npy" and path.stat().st_size >= MAPPED
    arrays = load_numpy(path, mapped)
    pictures = [key for key, array in arrays.items() if array.ndim in (3, 4)]
    key = "images" if "images" in arrays else pictures[0] if len(pictures) == 1 else None
    if key is None or arrays[key].ndim not in (3, 4):
        contents = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "no arrays"
        raise GenaeError(f"{path} holds {contents}; expected an array 'images' of shape [N, H, W] or [N, H, W, C]")
    where = f"{path}: '{key}'" if key != "images" else str(path)
    identity = key_of(str(path), facts_of([str(path)]), {"layout": layout}) if mapped else ""
    return raw_of_array(arrays[key], layout, where, arrays.get("labels"), identity)


def raw_of_array(
    array: np.ndarray, layout: str | None, where: str, labels: np.ndarray | None = None, identity: str = ""
) -> Raw:
    """Images [N, H, W], [N, H, W, C] or [N, C, H, W] of integers or finite floats, and perhaps labels [N].

    ``where`` is what the array is called in messages. An array with an ``identity`` stays in its file, whose contents
    that tells. Raises `GenaeError`.
    """
    if layout is not None and layout not in LAYOUTS:
        raise GenaeError(f"layout is {layout!r}; expected NCHW or NHWC")
    if array.ndim not in (3, 4):
        raise GenaeError(f"{where} has shape {list(array.shape)}; expected [N, H, W], [N, H, W, C] or [N, C, H, W]")
    if array.dtype.kind not in "iuf":
        raise GenaeError(f"{where} is of type {array.dtype}; expected integers or floats")
    if array.size == 0:
        raise GenaeError(f"{where} holds no images (shape {list(array.shape)})")
    values = _values_of_file(array, identity) if identity else _values(array)
    if values.bad:
        raise GenaeError(
            f"{where}: {len(values.bad)} images hold NaN or infinite values (the first is number {values.bad[0]})"
        )
    layout = layout if array.ndim == 3 else layout or _layout(where, array.shape)
    file = None
    if identity and isinstance(array, np.memmap) and array.flags.c_contiguous:
        file = FileRows(Path(str(array.filename)))
    store = ArrayStore(array, layout, values, identity, file)
    numbers, classes = _labels(where, labels, len(array))
    return Raw(
        store if identity else in_memory(store, where), numbers, classes, depth=store.depth,
        notes=(f"array of {len(array)} images, {array.dtype}",),
    )  # fmt: skip


class _Values(NamedTuple):
    """What an array's numbers are, found in one pass."""

    low: float
    high: float
    bad: list[int]
    """Numbers of the images with NaN or infinite values."""


def _values(array: np.ndarray) -> _Values:
    """The range of an array [N, ...] and its images that are not finite; bytes need no pass."""
    if array.dtype == np.uint8:
        return _Values(0, 255, [])
    lows, highs, bad = [], [], list[int]()
    step = max(1, CHUNK // max(1, array[0].nbytes))
    for start in range(0, len(array), step):
        part = array[start : start + step].reshape(len(array[start : start + step]), -1)
        finite = np.isfinite(part).all(1)
        bad += (np.flatnonzero(~finite) + start).tolist()
        if finite.any():
            lows.append(part[finite].min().item())
            highs.append(part[finite].max().item())
    return _Values(min(lows, default=0), max(highs, default=0), bad)


def _values_of_file(array: np.ndarray, identity: str) -> _Values:
    """`_values` of an array in a file, remembered."""
    if array.dtype == np.uint8:
        return _values(array)
    return _Values(*json.loads(remembered(f"values of {identity}", lambda: json.dumps(_values(array)))))


class ArrayStore(Store):
    """Images of an array of integers or floats: uint8 where the values fit, else float32."""

    def __init__(
        self, array: np.ndarray, layout: str | None, values: _Values, identity: str = "", file: FileRows | None = None
    ) -> None:
        """``file`` is where a mapped array lies: a system ends a process that looks at a map whose file was cut."""
        self._array, self._layout, self._values, self.identity, self._file = array, layout, values, identity, file
        self.depth: int | None = None
        """The largest value of the integer type that the values fit, if they are integers of up to 16 bits."""
        if array.dtype.kind in "iu" and values.low >= 0 and values.high <= 65535:
            small = array.dtype == np.uint8 or (array.dtype != np.uint16 and values.high <= 255)
            self.depth = 255 if small else 65535
        channels, height, width = self._arranged(array[:0]).shape[1:]
        self.shape = channels, height, width
        self.dtype = torch.uint8 if self.depth == 255 else torch.float32

    def __len__(self) -> int:
        return len(self._array)

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        """Images [B, C, H, W]."""
        dtype = np.uint8 if self.dtype == torch.uint8 else np.float32
        rows = self._file.read(indices) if self._file else self._array[indices.numpy()]
        return torch.from_numpy(np.ascontiguousarray(self._arranged(rows), dtype))

    def _arranged(self, rows: np.ndarray) -> np.ndarray:
        """Images as they lie in the array -> [B, C, H, W]."""
        if rows.ndim == 3:
            return rows[:, None]
        return rows.transpose(0, 3, 1, 2) if self._layout == "NHWC" else rows

    def range(self) -> tuple[float, float]:
        """The lowest and the highest value of all images."""
        return super().range() if self.dtype == torch.uint8 else (float(self._values.low), float(self._values.high))


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
