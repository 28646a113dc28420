"""Images from wherever a user has them: a name, a folder, a zip of it, or arrays."""

import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genae.data import builtin
from genae.data.attributes import read_attributes
from genae.data.sampler import mix_seed
from genae.data.transforms import FITS, RESIZE, parse_size, resize, to_unit_range
from genae.errors import GenaeError, nearest

EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
SPLIT_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
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
    """Indices of ``train``, ``validation`` and ``test``; disjoint."""
    labels: Tensor | None = None
    """[N] class numbers."""
    classes: tuple[str, ...] = ()
    attributes: dict[str, Tensor] = field(default_factory=dict)
    """Named booleans [N]."""
    names: tuple[str, ...] = ()
    """File names, where there are files."""
    notes: tuple[str, ...] = ()
    """What was found and what was done to it, one sentence each."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def images(self, indices: Tensor) -> Tensor:
        """Images [B, C, H, W] float32 in [-1, 1], on the device of the pixels; values outside the range are clamped."""
        return to_unit_range(self.pixels[indices.to(self.pixels.device)], self.low, self.high).clamp_(-1, 1)

    def split(self, name: str) -> Tensor:
        """The indices of ``train``, ``validation``, ``test`` or ``all``."""
        if name == "all":
            return torch.arange(len(self.pixels))
        if name not in self.splits:
            raise GenaeError(f"split is {name!r}; {nearest(name, (*self.splits, 'all'))}")
        return self.splits[name]

    def directions(self) -> dict[str, Tensor]:
        """Every named boolean [N] that a direction can be learned from: attributes, then one per class."""
        if self.labels is None:
            return dict(self.attributes)
        return self.attributes | {name: self.labels == number for number, name in enumerate(self.classes)}

    @cached_property
    def digest(self) -> str:
        """Hash of pixels, value range and splits: equal for equal data, whatever file it came from."""
        digest = hashlib.sha256(repr((self.pixels.shape, self.low, self.high)).encode())
        digest.update(self.pixels.cpu().numpy().tobytes())
        for name in SPLITS:
            digest.update(self.splits[name].numpy().tobytes())
        return digest.hexdigest()[:16]

    def to(self, device: torch.device) -> "ImageData":
        """The same data with its pixels on ``device``."""
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
    """Open images by name (`builtin.NAMES`), folder, ``.zip`` of a folder, or ``.npz`` / ``.npy`` array.

    size: pixels or (height, width); without it images keep theirs, and must all have the same.
    fit: how an image of another aspect is brought to ``size``, see `transforms.FITS`.
    channels: 1, 3 or 4 converts files to grey, RGB or RGBA.
    value_range: the stored values that become -1 and 1; by default 0..255, 0..65535 or, for floats, what is found.
    layout: ``NCHW`` or ``NHWC`` for arrays whose shape leaves it open.
    attributes: table of named attributes, CSV or CelebA's format.
    skip_bad: go on without unreadable files.

    Raises `GenaeError`, one sentence, for everything that the user can mend.
    """
    wanted = parse_size(size) if size is not None else None
    if fit not in FITS:
        raise GenaeError(f"fit is {fit!r}; {nearest(fit, FITS)}")
    if source in builtin.NAMES:
        raw = builtin.load(source, Path(data_root).expanduser() if data_root else None)
    else:
        raw = _open_path(source, wanted, fit, channels, layout, skip_bad)

    pixels, notes = raw.pixels, list(raw.notes)
    low, high = value_range or _value_range(raw)
    if not high > low:
        raise GenaeError(f"the value range of {source} is {low:g} to {high:g}; expected low < high (see --value-range)")
    if wanted and tuple(pixels.shape[-2:]) != wanted:
        notes.append(f"resized from {_size(pixels)} to {wanted[0]}x{wanted[1]} ({RESIZE}): {FITS[fit]}")
        pixels = torch.cat([resize(chunk, wanted, fit, fill=low) for chunk in pixels.split(1024)])
    if channels is not None and pixels.shape[1] != channels:
        pixels = _convert_channels(pixels, channels)
        notes.append(f"converted from {raw.pixels.shape[1]} to {channels} channels")
    notes.append(f"values {low:g} to {high:g} become -1 to 1 inside models")
    splits, note = _splits(raw, len(pixels))
    table = read_attributes(attributes, raw.names, len(pixels)) if attributes else raw.attributes
    return ImageData(source, pixels, low, high, splits, raw.labels, raw.classes, table, raw.names, (*notes, note))


def _open_path(
    source: str, size: tuple[int, int] | None, fit: str, channels: int | None, layout: str | None, skip_bad: bool
) -> builtin.Raw:
    path = Path(source).expanduser()
    if not path.exists():
        near = nearest(source, builtin.NAMES)
        raise GenaeError(f"no data at {source!r}: neither a path that exists nor a built-in name ({near})")
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix.lower() in EXTENSIONS and not _hidden(f, path))
        names = [str(f.relative_to(path)) for f in files]
        return _read_files(source, names, lambda name: (path / name).read_bytes(), size, fit, channels, skip_bad)
    if path.suffix.lower() == ".zip":
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise GenaeError(f"{source} is not a readable zip file: {error}") from None
        with archive:
            names = sorted(n for n in archive.namelist() if Path(n).suffix.lower() in EXTENSIONS and not _hidden(n))
            return _read_files(source, names, archive.read, size, fit, channels, skip_bad)
    if path.suffix.lower() in (".npz", ".npy"):
        return _read_array(path, layout)
    raise GenaeError(f"{source} is neither a folder of images, a .zip of one, nor an .npz or .npy array")


def _hidden(path: Path | str, below: Path | None = None) -> bool:
    parts = Path(path).relative_to(below).parts if below else Path(path).parts
    return any(part.startswith((".", "__MACOSX")) for part in parts)


def _read_files(
    source: str,
    names: Sequence[str],
    read: Callable[[str], bytes],
    size: tuple[int, int] | None,
    fit: str,
    channels: int | None,
    skip_bad: bool,
) -> builtin.Raw:
    if not names:
        raise GenaeError(f"{source} holds no images; expected files ending in {', '.join(sorted(EXTENSIONS))}")
    images: list[Tensor] = []
    kept: list[str] = []
    bad: list[str] = []
    sizes: Counter[str] = Counter()
    depths: Counter[int] = Counter()
    for name in names:
        try:
            image = _decode(read(name), channels)
        except Exception as error:
            bad.append(f"{name} ({error})")
            continue
        sizes[_size(image)] += 1
        depths[image.shape[0]] += 1
        images.append(resize(image, size, fit) if size else image)
        kept.append(name)
    if bad and not skip_bad:
        shown = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
        raise GenaeError(f"{len(bad)} of {len(names)} files in {source} are unreadable: {shown} (--skip-bad goes on)")
    if not images:
        raise GenaeError(f"none of the {len(names)} files in {source} is a readable image")
    if len(depths) > 1:
        found = ", ".join(f"{n} with {c}" for c, n in sorted(depths.items()))
        raise GenaeError(f"{source} mixes channel counts ({found}); choose one with --channels 1, 3 or 4")
    if not size and len(sizes) > 1:
        raise GenaeError(
            f"{source} holds images of {len(sizes)} sizes (most often {sizes.most_common(1)[0][0]}); "
            "choose one with --size, for example --size 64"
        )
    if len({image.dtype for image in images}) > 1:
        raise GenaeError(f"{source} mixes 8-bit and deeper images; convert them to one depth")
    labels, classes, splits = _labels_and_splits(kept)
    notes = [f"{len(kept)} image files, {next(iter(sizes)) if len(sizes) == 1 else f'{len(sizes)} sizes'}"]
    if size and (len(sizes) > 1 or next(iter(sizes)) != f"{size[0]}x{size[1]}"):
        notes.append(f"resized to {size[0]}x{size[1]} ({RESIZE}): {FITS[fit]}")
    if bad:
        notes.append(f"{len(bad)} unreadable files skipped: {', '.join(bad[:3])}")
    pixels = torch.stack(images)
    depth = 65535 if pixels.dtype == torch.int32 else None
    if depth:
        pixels = pixels.float()
    return builtin.Raw(pixels, labels, classes, splits, depth=depth, names=tuple(kept), notes=tuple(notes))


def _decode(data: bytes, channels: int | None) -> Tensor:
    """An encoded picture -> [C, H, W]: uint8, int32 for 16-bit files, or float32."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        if channels is not None:
            if channels not in (1, 3, 4):
                raise GenaeError(f"channels is {channels}; files can be converted to 1, 3 or 4")
            if not picture.mode.startswith("I") and picture.mode != "F":
                picture = picture.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])  # type: ignore[assignment]
        elif picture.mode == "P":
            picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")  # type: ignore[assignment]
        elif picture.mode in ("1", "CMYK", "YCbCr", "LAB", "HSV"):
            picture = picture.convert("L" if picture.mode == "1" else "RGB")  # type: ignore[assignment]
        array = np.array(picture)
    if array.dtype != np.uint8:
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
    return torch.from_numpy(array if array.ndim == 3 else array[:, :, None]).permute(2, 0, 1).contiguous()


def _labels_and_splits(names: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...], dict[str, Tensor]]:
    """Class sub-folders become labels; folders named train, val or test above them become splits."""
    folders = [Path(name).parts[:-1] for name in names]
    splits: dict[str, Tensor] = {}
    if all(parts and parts[0].lower() in SPLIT_FOLDERS for parts in folders):
        tops = [SPLIT_FOLDERS[parts[0].lower()] for parts in folders]
        splits = {s: torch.tensor([i for i, top in enumerate(tops) if top == s]) for s in sorted(set(tops))}
        folders = [parts[1:] for parts in folders]
    if not all(folders):
        return None, (), splits
    classes = tuple(sorted({parts[0] for parts in folders}))
    if len(classes) < 2:
        return None, (), splits
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number[parts[0]] for parts in folders]), classes, splits


def _read_array(path: Path, layout: str | None) -> builtin.Raw:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"images": loaded}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise GenaeError(f"{path} is not a readable NumPy file: {error}") from None
    pictures = [key for key, array in arrays.items() if array.ndim in (3, 4)]
    key = "images" if "images" in arrays else pictures[0] if len(pictures) == 1 else None
    if key is None or arrays[key].ndim not in (3, 4):
        found = ", ".join(f"{k} {a.shape}" for k, a in arrays.items())
        raise GenaeError(f"{path} holds {found}; expected an array 'images' of shape [N, H, W] or [N, H, W, C]")
    array = arrays[key]
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        raise GenaeError(f"{path}: '{key}' is of type {array.dtype}; expected integers or floats")
    if len(array) == 0:
        raise GenaeError(f"{path}: '{key}' holds no images")
    if array.ndim == 3:
        array = array[:, None]
    elif (layout or _layout(path, array.shape)) == "NHWC":
        array = array.transpose(0, 3, 1, 2)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))
        raise GenaeError(f"{path}: {len(bad)} images hold NaN or infinite values (the first is number {bad[0]})")
    depth = np.iinfo(array.dtype).max if np.issubdtype(array.dtype, np.integer) else None
    if array.dtype != np.uint8:
        array = array.astype(np.float32)
    labels = _array_labels(path, arrays.get("labels"), len(array))
    classes = tuple(str(c) for c in range(int(labels.max()) + 1)) if labels is not None else ()
    notes = (f"array of {len(array)} images, {arrays[key].dtype}",)
    pixels = torch.from_numpy(np.ascontiguousarray(array))
    return builtin.Raw(pixels, labels, classes, depth=depth, notes=notes)


def _array_labels(path: Path, labels: Any, count: int) -> Tensor | None:
    if labels is None:
        return None
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise GenaeError(
            f"{path}: 'labels' is {labels.dtype} of shape {labels.shape}; expected {count} integers from 0 upwards"
        )
    return torch.from_numpy(labels.astype(np.int64))


def _layout(path: Path, shape: tuple[int, ...]) -> str:
    small = {"NCHW": shape[1], "NHWC": shape[3]}
    likely = [name for name, channels in small.items() if channels <= 4]
    if not likely:
        likely = [name for name, channels in small.items() if channels == min(small.values())]
    if len(likely) == 1:
        return likely[0]
    raise GenaeError(f"{path}: shape {list(shape)} can be read in two ways; say --layout NCHW or --layout NHWC")


def _convert_channels(pixels: Tensor, channels: int) -> Tensor:
    have = pixels.shape[1]
    if have == 1:
        return pixels.expand(-1, channels, -1, -1).contiguous()
    if channels == 1 and have == 3:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        grey = (pixels.float() * weights).sum(1, keepdim=True)
        return grey.round().to(torch.uint8) if pixels.dtype == torch.uint8 else grey
    raise GenaeError(f"--channels {channels}: images have {have} channels and cannot be converted; leave it out")


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


def _size(images: Tensor) -> str:
    return f"{images.shape[-2]}x{images.shape[-1]}"
