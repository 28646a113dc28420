"""Images from wherever a user has them: a name, a folder, a zip of it, or arrays."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genae.data import builtin
from genae.data.arrays import raw_of_array, read_array
from genae.data.attributes import read_attributes
from genae.data.files import cause, find_pictures, is_picture, listed_pictures, read_pictures
from genae.data.names import NAMES
from genae.data.raw import Raw, allocate
from genae.data.sampler import mix_seed
from genae.data.transfer import has_room, rows_sent
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
    conversions: tuple[str, ...] = ()
    """Changes of channels and depth, one clause each; empty if the source has what was wanted."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def stored(self, indices: Tensor, device: torch.device | None = None) -> Tensor:
        """Images as they are stored [B, C, H, W], uint8 or float32, on ``device``: by default that of the pixels.

        ``indices`` [B] count from 0; others raise `GenaeError`.
        """
        check_indices(indices, len(self.pixels), self.name)
        return rows_sent(self.pixels, indices, device or self.pixels.device)

    def converted(self, stored: Tensor) -> Tensor:
        """Images as they are stored -> float32 in [-1, 1], where they are; values outside the range are clamped."""
        return to_unit_range(stored, self.low, self.high).clamp_(-1, 1)

    def images(self, indices: Tensor, device: torch.device | None = None) -> Tensor:
        """Images [B, C, H, W] float32 in [-1, 1] on ``device``, where they arrive as they are stored; see `stored`."""
        return self.converted(self.stored(indices, device))

    def pixel_rows(self, indices: Tensor) -> Tensor:
        """Images as rows [B, C H W] uint8 on the CPU, rounded to 8 bits."""
        return torch.cat([to_uint8(self.images(part)).flatten(1).cpu() for part in indices.split(1024)])

    def split(self, name: str) -> Tensor:
        """The indices of ``train``, ``validation``, ``test`` or ``all``."""
        if name == "all":
            return torch.arange(len(self.pixels))
        if name not in self.splits:
            raise GenaeError(f"{self.name} has no split {name!r}; {nearest(str(name), (*self.splits, 'all'))}")
        return self.splits[name]

    def directions(self) -> dict[str, Tensor]:
        """Every named boolean [N] that a direction can be learned from: attributes, then one per class."""
        if self.labels is None:
            return dict(self.attributes)
        return self.attributes | {name: self.labels == number for number, name in enumerate(self.classes)}

    def describe(self) -> list[str]:
        """What was found, what was done to it, and what models will see, one clause each."""
        return [*self.notes, *self.conversions, f"values {self.low:g} to {self.high:g} become -1 to 1 inside models"]

    @cached_property
    def digest(self) -> str:
        """Hash of pixels, value range, labels and splits: equal for equal data, whatever file it came from."""
        labels = None if self.labels is None else self.labels.tolist()
        digest = hashlib.sha256(repr((self.pixels.shape, self.low, self.high, self.classes, labels)).encode())
        digest.update(self.pixels.cpu().reshape(-1).numpy().data)
        for name in SPLITS:
            digest.update(self.splits[name].numpy().tobytes())
        return digest.hexdigest()[:16]

    def to(self, device: torch.device) -> "ImageData":
        """The same data with its pixels on ``device``, if they have room there (`transfer.has_room`); else as it is,
        and batches are sent one by one."""
        if self.pixels.device == device or not has_room(device, self.pixels.nbytes):
            return self
        return replace(self, pixels=self.pixels.to(device))


Source = str | Path | np.ndarray | Tensor | Sequence[str | Path | Image.Image]


def check_indices(indices: Tensor, total: int, name: str) -> None:
    """Raise `GenaeError` for indices that are not whole numbers from 0 to ``total`` - 1."""
    if not isinstance(indices, Tensor) or indices.dtype.is_floating_point or indices.dtype == torch.bool:
        kind = indices.dtype if isinstance(indices, Tensor) else type(indices).__name__
        raise GenaeError(f"indices of images are {kind}; expected a tensor of integers, such as torch.arange(8)")
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < total:
        wrong = next(index for index in indices.flatten().tolist() if not 0 <= index < total)
        raise GenaeError(f"there is no image {wrong} in {name}; expected indices from 0 to {total - 1}")


def open_data(
    source: Source | Image.Image,
    *,
    data_root: str | Path | None = None,
    size: str | int | tuple[int, int] | None = None,
    fit: str = "crop",
    channels: int | None = None,
    value_range: tuple[float, float] | None = None,
    layout: str | None = None,
    attributes: str | Path | None = None,
    skip_bad: bool = False,
) -> ImageData:
    """Open images from a built-in name, files, or memory.

    source: a name of `names.NAMES`; a folder of pictures, a ``.zip`` of one, a picture, or an ``.npz`` or ``.npy``
        array; or a NumPy array or tensor (as `arrays.raw_of_array` describes), or one of Pillow's pictures or a list of
        them or of paths.
    data_root: folder below which the files of a built-in data set are looked for; nothing is written there.
    size: pixels or (height, width); without it images keep theirs, and must all have the same.
    fit: how an image of another aspect is brought to ``size``, see `transforms.FITS`.
    channels: 1, 3 or 4 converts to grey, RGB or RGBA; pictures of 8 and of 16 bits are then all brought to 8.
    value_range: the stored values that become -1 and 1; by default 0..255, 0..65535 or, for floats, the range found.
    layout: ``NCHW`` or ``NHWC`` for arrays whose shape leaves it open.
    attributes: table of named attributes, CSV or CelebA's format.
    skip_bad: leave out unreadable files, and images that have no row in the table of attributes.

    Raises `GenaeError`, one sentence, for everything that the user can mend.
    """
    if isinstance(source, Image.Image):
        source = [source]
    target = parse_size(size) if size is not None else None
    _check_options(fit, channels, value_range, data_root)
    name = name_of(source)
    raw = _read(source, name, data_root, target, fit, channels, layout, skip_bad)
    notes = list(raw.notes)
    if attributes is not None:
        table, described = read_attributes(str(attributes), raw.names, len(raw.pixels), skip_bad)
        if len(described) < len(raw.pixels):
            notes.append(f"{len(raw.pixels) - len(described)} images without a row in {attributes} skipped")
            raw = raw.subset(described)
        raw = replace(raw, attributes=table)

    pixels, conversions, resized = raw.pixels, raw.conversions, raw.resize
    low, high = value_range or _value_range(raw)
    if not -math.inf < low < high < math.inf:
        raise GenaeError(f"the value range of {name} is {low:g} to {high:g}; expected low < high (see --value-range)")
    if target and tuple(pixels.shape[-2:]) != target:
        notes.append(f"resized from {size_of(pixels)} to {target[0]}x{target[1]} ({RESIZE}): {FITS[fit]}")
        resized = resize_name(target, fit)
        pixels = _resized(pixels, target, fit, low, name)
    if channels is not None and pixels.shape[1] != channels:
        pixels = convert_channels(pixels, channels, high)
        conversions = (*conversions, f"converted from {raw.pixels.shape[1]} to {channels} channels")
    splits, note = _splits(raw, len(pixels), name)
    return ImageData(
        name, pixels, low, high, splits, raw.labels, raw.classes, raw.attributes, raw.names, (*notes, note),
        raw.format, resized, conversions,
    )  # fmt: skip


def name_of(source: object) -> str:
    """What a source is called in messages and fingerprints; raises `GenaeError` for what cannot be one."""
    if isinstance(source, (str, Path)) and str(source):
        return str(source)
    if isinstance(source, (np.ndarray, Tensor)):
        return "array"
    if isinstance(source, (list, tuple)) and source:
        if all(isinstance(item, (str, Path, Image.Image)) for item in source):
            return f"list of {len(source)} pictures"
        if all(isinstance(item, (np.ndarray, Tensor)) for item in source):
            raise GenaeError("the source is a list of arrays; stack them to one array [N, H, W, C] or [N, C, H, W]")
    empty = isinstance(source, (str, list, tuple)) and not source
    given = "empty" if empty else f"of type {type(source).__name__}"
    raise GenaeError(
        f"the source of images is {given}; expected a built-in name, the path of a folder, zip, picture or array, "
        "a NumPy array or tensor, or a list of paths or pictures"
    )


def _check_options(fit: str, channels: int | None, value_range: object, data_root: object) -> None:
    if fit not in FITS:
        raise GenaeError(f"fit is {fit!r}; {nearest(str(fit), FITS)}")
    if channels is not None and (type(channels) is not int or channels < 1):
        raise GenaeError(f"channels is {channels!r}; expected 1 (grey), 3 (RGB) or 4 (RGBA)")
    if data_root is not None and not isinstance(data_root, (str, Path)):
        raise GenaeError(f"data_root is {data_root!r}; expected the path of a folder")
    pair = isinstance(value_range, (tuple, list)) and [isinstance(v, (int, float)) for v in value_range] == [True, True]
    if value_range is not None and not pair:
        raise GenaeError(f"value_range is {value_range!r}; expected two numbers (low, high), such as (0, 4095)")


def _read(
    source: Source,
    name: str,
    data_root: str | Path | None,
    size: tuple[int, int] | None,
    fit: str,
    channels: int | None,
    layout: str | None,
    skip_bad: bool,
) -> Raw:
    """The images of a source; pictures are brought to ``size`` and ``channels`` one by one."""
    if isinstance(source, (np.ndarray, Tensor)):
        return raw_of_array(_to_numpy(source), layout, "the array")
    if not isinstance(source, (str, Path)):
        return read_pictures(listed_pictures(source), size, fit, channels, skip_bad)
    if name in NAMES:
        return builtin.load(name, Path(data_root).expanduser() if data_root else None)
    path = existing(source)
    if path.suffix.lower() in (".npz", ".npy"):
        return read_array(path, layout)
    return read_pictures(find_pictures(path), size, fit, channels, skip_bad)


def existing(source: str | Path) -> Path:
    """The path of a folder, zip, picture or array; anything else raises `GenaeError`."""
    path = Path(source).expanduser()
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or holds a null
        raise GenaeError(f"{str(source)[:60]!r} cannot be a path: {cause(error)}") from None
    if not there:
        near = nearest(str(source), NAMES)
        raise GenaeError(f"no data at {str(source)!r}: neither a path that exists nor a built-in name ({near})")
    if path.is_dir() or path.suffix.lower() in (".zip", ".npz", ".npy") or is_picture(path.name):
        return path
    raise GenaeError(f"{source} is neither a folder of images, a .zip of one, a picture, nor an .npz or .npy array")


def _to_numpy(array: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    array = array.detach().cpu()
    return (array.float() if array.is_floating_point() else array).numpy()


def _resized(pixels: Tensor, size: tuple[int, int], fit: str, black: float, name: str) -> Tensor:
    """All images [N, C, *size]; a part at a time, so that the old and the new ones are all that is in memory."""
    images = allocate(len(pixels), (pixels.shape[1], *size), pixels.dtype, name)
    for old, new in zip(pixels.split(1024), images.split(1024), strict=True):
        new.copy_(resize(old, size, fit, fill=black))
    return images


def _value_range(raw: Raw) -> tuple[float, float]:
    if raw.pixels.dtype == torch.uint8:
        return 0.0, 255.0
    if raw.depth is not None:
        return 0.0, float(raw.depth)
    low, high = float(raw.pixels.min()), float(raw.pixels.max())
    if low >= -1 and high <= 1:
        return (0.0 if low >= 0 else -1.0), 1.0
    return low, high


def _splits(raw: Raw, total: int, name: str) -> tuple[dict[str, Tensor], str]:
    """Official splits where the source has them; the rest is held out at random, the same for everybody.

    A tenth, at most 5,000 and at least 1, is validation; likewise test. One or two images are in every split: enough
    to encode them, and refused by training.
    """
    if total < 3:
        return dict.fromkeys(SPLITS, torch.arange(total)), "too few images to split"
    splits = dict(raw.splits) or {"train": torch.arange(total)}
    if "train" not in splits:
        raise GenaeError(
            f"{name} has folders for {' and '.join(sorted(splits))} but none for train; add a folder 'train', or open "
            "one of them alone"
        )
    made = []
    for part in ("test", "validation"):
        if part in splits:
            continue
        train = splits["train"]
        count = min(5000, max(1, len(train) // 10))
        if len(train) <= count:
            raise GenaeError(
                f"{name} has {len(train)} training images; expected at least {count + 1}, because the {part} images "
                "are taken from them"
            )
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(mix_seed("split", part, len(train))))
        splits[part] = train[order[:count]].sort().values
        splits["train"] = train[order[count:]].sort().values
        made.append(part)
    counts = ", ".join(f"{len(splits[part])} {part}" for part in SPLITS)
    note = f"split into {counts}" + (f" ({' and '.join(made)} held out from train at random)" if made else "")
    return splits, note
