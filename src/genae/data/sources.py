"""Images from wherever a user has them: a name, a folder, a zip of it, or arrays."""

import hashlib
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from genae.data import builtin
from genae.data.arrays import read_array
from genae.data.attributes import read_attributes
from genae.data.files import read_pictures
from genae.data.names import NAMES
from genae.data.sampler import mix_seed
from genae.data.transforms import (
    FITS,
    RESIZE,
    convert_channels,
    parse_size,
    resize,
    resize_name,
    size_of,
    to_uint8,
    to_unit_range,
)
from genae.errors import GenaeError, nearest

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ImageData:
    """A data set in memory."""

    name: str
    pixels: Tensor
    """[N, C, H, W]: uint8, or float32 for sources deeper than 8 bits."""
    low: float
    high: float
    """The stored values that become -1 and 1 inside models."""
    splits: dict[str, Tensor]
    """Indices of ``train``, ``validation`` and ``test``; disjoint, but for protocols that train on all (mnist-dw)."""
    labels: Tensor | None = None
    """[N] class numbers."""
    classes: tuple[str, ...] = ()
    attributes: dict[str, Tensor] = field(default_factory=dict)
    """Named booleans [N]."""
    names: tuple[str, ...] = ()
    """File names, where there are files."""
    notes: tuple[str, ...] = ()
    """What was found and what was done to it, one clause each; see `describe`."""
    format: str = "lossless"
    """What the files did to the pixels: ``lossless``, ``jpeg``, ..."""
    resize: str = "none"
    """How they were resized: ``none``, or filter, fit and size."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def images(self, indices: Tensor) -> Tensor:
        """Images [B, C, H, W] float32 in [-1, 1], on the device of the pixels; values outside the range are clamped."""
        return to_unit_range(self.pixels[indices.to(self.pixels.device)], self.low, self.high).clamp_(-1, 1)

    def pixel_rows(self, indices: Tensor) -> Tensor:
        """Images as rows [B, C H W] uint8 on the CPU, rounded to 8 bits."""
        return torch.cat([to_uint8(self.images(part)).flatten(1).cpu() for part in indices.split(1024)])

    def split(self, name: str) -> Tensor:
        """The indices of ``train``, ``validation``, ``test`` or ``all``."""
        if name == "all":
            return torch.arange(len(self.pixels))
        if name not in self.splits:
            raise GenaeError(f"{self.name} has no split {name!r}; {nearest(name, (*self.splits, 'all'))}")
        return self.splits[name]

    def directions(self) -> dict[str, Tensor]:
        """Every named boolean [N] that a direction can be learned from: attributes, then one per class."""
        if self.labels is None:
            return dict(self.attributes)
        return self.attributes | {name: self.labels == number for number, name in enumerate(self.classes)}

    def describe(self) -> list[str]:
        """What was found, what was done to it, and what models will see, one clause each."""
        return [*self.notes, f"values {self.low:g} to {self.high:g} become -1 to 1 inside models"]

    @cached_property
    def digest(self) -> str:
        """Hash of pixels, value range, labels and splits: equal for equal data, whatever file it came from."""
        labels = None if self.labels is None else self.labels.tolist()
        digest = hashlib.sha256(repr((self.pixels.shape, self.low, self.high, self.classes, labels)).encode())
        digest.update(self.pixels.cpu().numpy().tobytes())
        for name in SPLITS:
            digest.update(self.splits[name].numpy().tobytes())
        return digest.hexdigest()[:16]

    def to(self, device: torch.device) -> "ImageData":
        """The same data with its pixels on ``device``, if they take at most half of its free memory; else as it is."""
        if device.type == "cuda" and 2 * self.pixels.nbytes > torch.cuda.mem_get_info(device)[0]:
            return self
        return self if self.pixels.device == device else replace(self, pixels=self.pixels.to(device))


def open_data(
    source: str,
    *,
    data_root: str | None = None,
    size: str | int | tuple[int, int] | None = None,
    fit: str = "crop",
    channels: int | None = None,
    value_range: tuple[float, float] | None = None,
    layout: str | None = None,
    attributes: str | None = None,
    skip_bad: bool = False,
) -> ImageData:
    """Open images by name (`names.NAMES`), folder, ``.zip`` of a folder, or ``.npz`` / ``.npy`` array.

    size: pixels or (height, width); without it images keep theirs, and must all have the same.
    fit: how an image of another aspect is brought to ``size``, see `transforms.FITS`.
    channels: 1, 3 or 4 converts to grey, RGB or RGBA.
    value_range: the stored values that become -1 and 1; by default 0..255, 0..65535 or, for floats, what is found.
    layout: ``NCHW`` or ``NHWC`` for arrays whose shape leaves it open.
    attributes: table of named attributes, CSV or CelebA's format.
    skip_bad: go on without unreadable files.

    Raises `GenaeError`, one sentence, for everything that the user can mend.
    """
    wanted = parse_size(size) if size is not None else None
    if fit not in FITS:
        raise GenaeError(f"fit is {fit!r}; {nearest(fit, FITS)}")
    if source in NAMES:
        raw = builtin.load(source, Path(data_root).expanduser() if data_root else None)
    else:
        raw = _open_path(source, wanted, fit, channels, layout, skip_bad)

    pixels, notes, resized = raw.pixels, list(raw.notes), raw.resize
    low, high = value_range or _value_range(raw)
    if not -math.inf < low < high < math.inf:
        raise GenaeError(f"the value range of {source} is {low:g} to {high:g}; expected low < high (see --value-range)")
    if wanted and tuple(pixels.shape[-2:]) != wanted:
        notes.append(f"resized from {size_of(pixels)} to {wanted[0]}x{wanted[1]} ({RESIZE}): {FITS[fit]}")
        resized = resize_name(wanted, fit)
        pixels = torch.cat([resize(chunk, wanted, fit, fill=low) for chunk in pixels.split(1024)])
    if channels is not None and pixels.shape[1] != channels:
        pixels = convert_channels(pixels, channels, high)
        notes.append(f"converted from {raw.pixels.shape[1]} to {channels} channels")
    splits, note = _splits(raw, len(pixels))
    table = read_attributes(attributes, raw.names, len(pixels)) if attributes else raw.attributes
    return ImageData(
        source,
        pixels,
        low,
        high,
        splits,
        raw.labels,
        raw.classes,
        table,
        raw.names,
        (*notes, note),
        raw.format,
        resized,
    )


def _open_path(
    source: str, size: tuple[int, int] | None, fit: str, channels: int | None, layout: str | None, skip_bad: bool
) -> builtin.Raw:
    path = Path(source).expanduser()
    if not path.exists():
        near = nearest(source, NAMES)
        raise GenaeError(f"no data at {source!r}: neither a path that exists nor a built-in name ({near})")
    if path.is_dir() or path.suffix.lower() == ".zip":
        return read_pictures(path, size, fit, channels, skip_bad)
    if path.suffix.lower() in (".npz", ".npy"):
        return read_array(path, layout)
    raise GenaeError(f"{source} is neither a folder of images, a .zip of one, nor an .npz or .npy array")


def _value_range(raw: builtin.Raw) -> tuple[float, float]:
    if raw.pixels.dtype == torch.uint8:
        return 0.0, 255.0
    if raw.depth is not None:
        return 0.0, float(raw.depth)
    low, high = float(raw.pixels.min()), float(raw.pixels.max())
    if low >= -1 and high <= 1:
        return (0.0 if low >= 0 else -1.0), 1.0
    return low, high


def _splits(raw: builtin.Raw, total: int) -> tuple[dict[str, Tensor], str]:
    """Official splits where the source has them; the rest is held out at random, the same for everybody.

    A tenth, at most 5,000 and at least 1, is validation; likewise test. One or two images are in every split: enough
    to encode them, and refused by training.
    """
    if total < 3:
        return dict.fromkeys(SPLITS, torch.arange(total)), "too few images to split"
    splits = dict(raw.splits) or {"train": torch.arange(total)}
    if "train" not in splits:
        raise GenaeError(f"the source has folders {', '.join(sorted(splits))} but no 'train'")
    made = []
    for name in ("test", "validation"):
        if name in splits:
            continue
        train = splits["train"]
        count = min(5000, max(1, len(train) // 10))
        if len(train) <= count:
            raise GenaeError(f"{len(train)} training images are too few to hold some out; expected at least 3")
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(mix_seed("split", name, len(train))))
        splits[name] = train[order[:count]].sort().values
        splits["train"] = train[order[count:]].sort().values
        made.append(name)
    counts = ", ".join(f"{len(splits[name])} {name}" for name in SPLITS)
    note = f"split into {counts}" + (f" ({' and '.join(made)} held out from train at random)" if made else "")
    return splits, note
