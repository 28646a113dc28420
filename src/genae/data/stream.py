"""Images in a fixed order, read in batches when they are needed: memory does not grow with their number."""

import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from genae.data import builtin
from genae.data.files import MODES, SPLIT_FOLDERS, decode, file_format, list_pictures
from genae.data.sources import ImageData, open_data
from genae.data.transforms import parse_size, resize, resize_name, to_uint8
from genae.errors import GenaeError, nearest


@dataclass(frozen=True)
class ImageStream:
    """Images of one size with 8 bits a value."""

    name: str
    image_shape: tuple[int, int, int]
    """(C, H, W)."""
    indices: Tensor
    """Which images of the source, in order."""
    read: Callable[[Tensor], Tensor]
    """Indices [B] -> images [B, C, H, W] uint8 on the CPU."""
    digest: str
    """Hash of the source's images and of what was done to them."""
    format: str
    """``lossless`` or ``jpeg``, ...: what the files did to the pixels."""
    resize: str
    """``none``, or filter, fit and size."""
    names: tuple[str, ...] = ()
    """File names of all of the source's images, where there are files."""

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, count: int, seed: int) -> "ImageStream":
        """``count`` of its images, drawn at random but kept in order; all where it has no more."""
        if count >= len(self):
            return self
        drawn = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:count].sort().values
        return replace(self, indices=self.indices[drawn])


def stream_of(data: ImageData, indices: Tensor) -> ImageStream:
    """Some images of a data set in memory, rounded to 8 bits."""
    return ImageStream(
        data.name, data.image_shape, indices, lambda part: to_uint8(data.images(part)).cpu(), data.digest, data.format,
        data.resize, data.names,
    )  # fmt: skip


def open_stream(
    source: str,
    *,
    split: str = "all",
    size: str | None = None,
    fit: str = "crop",
    channels: int | None = None,
    data_root: str | None = None,
) -> ImageStream:
    """A folder or ``.zip`` of pictures, read as they are needed, or anything else that `open_data` opens.

    ``split`` is ``all``, or one that the source has. Every file is read once to learn its size and hash: mixed sizes
    and unreadable files are found before any work is done. Raises `GenaeError`.
    """
    path = Path(source).expanduser()
    if source in builtin.NAMES or not (path.is_dir() or path.suffix.lower() == ".zip"):
        data = open_data(source, size=size, fit=fit, channels=channels, data_root=data_root)
        return stream_of(data, data.split(split))
    names, read = list_pictures(path)
    names = _of_split(names, split, source)
    wanted = parse_size(size) if size is not None else None
    pool = ThreadPoolExecutor(min(16, os.cpu_count() or 1))

    def header(name: str) -> tuple[tuple[int, int, int], str, bytes]:
        data = read(name)
        try:
            with Image.open(io.BytesIO(data)) as picture:
                shape = (len(picture.getbands()), picture.height, picture.width)
                if picture.mode in ("P", "1") or picture.getexif().get(0x0112, 1) != 1:
                    shape = tuple(decode(data, channels).shape)  # type: ignore[assignment]
                return shape, file_format(picture), hashlib.sha256(data).digest()
        except (UnidentifiedImageError, OSError) as error:
            reason = "not a picture" if isinstance(error, UnidentifiedImageError) else error
            raise GenaeError(f"{name} in {source} is unreadable: {reason}; mend or remove it") from None

    shapes, formats, hashes = zip(*pool.map(header, names), strict=True)
    sizes, depths = sorted({shape[1:] for shape in shapes}), sorted({shape[0] for shape in shapes})
    if channels is not None and channels not in MODES:
        raise GenaeError(f"channels is {channels}; expected 1, 3 or 4")
    if len(sizes) > 1 and not wanted:
        found = ", ".join(f"{height}x{width}" for height, width in sizes[:3]) + (", ..." if len(sizes) > 3 else "")
        raise GenaeError(f"{source} holds images of {len(sizes)} sizes ({found}); choose one with --size, as --size 64")
    if len(depths) > 1 and channels is None:
        raise GenaeError(f"{source} mixes channel counts ({depths}); choose one with --channels 1, 3 or 4")
    side = wanted or sizes[0]
    shape = (channels or depths[0], *side)

    def picture(index: int) -> Tensor:
        try:
            pixels = decode(read(names[index]), channels)
        except (OSError, ValueError) as error:
            raise GenaeError(f"{names[index]} in {source} is unreadable: {error}; mend or remove it") from None
        if pixels.dtype == torch.float32:
            raise GenaeError(f"{names[index]} in {source} holds floats; expected 8 or 16 bits (give arrays as .npz)")
        if pixels.dtype != torch.uint8:
            pixels = (pixels.float() / 257).round().to(torch.uint8)
        return resize(pixels, side, fit)

    digest = hashlib.sha256(repr((shape, fit, split)).encode() + b"".join(hashes)).hexdigest()[:16]
    resized = resize_name(side, fit) if sizes != [side] else "none"
    return ImageStream(
        source, shape, torch.arange(len(names)), lambda part: torch.stack(list(pool.map(picture, part.tolist()))),
        digest, "+".join(sorted(set(formats))), resized, tuple(names),
    )  # fmt: skip


def _of_split(names: list[str], split: str, source: str) -> list[str]:
    """The files of one split: those below a folder of its name."""
    if split == "all":
        return names
    splits = {name: SPLIT_FOLDERS.get(name.split("/")[0].lower()) for name in names}
    chosen = [name for name in names if splits[name] == split]
    if not chosen:
        found = {found for found in splits.values() if found}
        raise GenaeError(f"{source} has no split {split!r}; {nearest(split, {*found, 'all'})}")
    return chosen
