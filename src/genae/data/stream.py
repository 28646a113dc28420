"""Images in a fixed order, read in batches when they are needed: memory does not grow with their number."""

import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from genae.data.files import decode, file_format, formats_name, list_pictures
from genae.data.lists import SPLIT_FOLDERS
from genae.data.names import NAMES
from genae.data.sampler import mix_seed
from genae.data.sources import ImageData, open_data
from genae.data.transforms import convert_channels, parse_size, resize, resize_name, to_uint8
from genae.errors import GenaeError, nearest, reason

KNOWN_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 65535.0))


@dataclass(frozen=True)
class ImageStream:
    """Images of one size with 8 bits a value."""

    name: str
    image_shape: tuple[int, int, int]
    """(C, H, W)."""
    indices: Tensor
    """Which images of the source, in order."""
    total: int
    """How many the source has."""
    read: Callable[[Tensor], Tensor]
    """Indices [B] -> images [B, C, H, W] uint8 on the CPU."""
    digest: str
    """Hash of the source's images and of what was done to them."""
    format: str
    """``lossless`` or ``jpeg-q75``, ...: what the files did to the pixels."""
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
        generator = torch.Generator().manual_seed(mix_seed("take", seed))
        drawn = torch.randperm(len(self), generator=generator)[:count].sort().values
        return replace(self, indices=self.indices[drawn])


def stream_of(data: ImageData, indices: Tensor) -> ImageStream:
    """Some images of a data set in memory, rounded to 8 bits."""
    return ImageStream(
        data.name, data.image_shape, indices, len(data.pixels), lambda part: to_uint8(data.images(part)).cpu(),
        data.digest, data.format, data.resize, data.names,
    )  # fmt: skip


def open_stream(
    source: str,
    *,
    split: str = "all",
    size: str | None = None,
    fit: str = "crop",
    channels: int | None = None,
    value_range: tuple[float, float] | None = None,
    data_root: str | None = None,
) -> ImageStream:
    """A folder or ``.zip`` of pictures, read as they are needed, or anything else that `open_data` opens.

    ``split`` is ``all``, or one that the source has. Every file is read once to learn its size and hash: mixed sizes
    and unreadable files are found before any work is done. Arrays of floats must lie in [0, 1] or [-1, 1], or come with
    their ``value_range``. Raises `GenaeError`.
    """
    path = Path(source).expanduser()
    if source in NAMES or not (path.is_dir() or path.suffix.lower() == ".zip"):
        data = open_data(
            source, size=size, fit=fit, channels=channels, value_range=value_range, data_root=data_root
        )  # fmt: skip
        if data.pixels.is_floating_point() and not value_range and (data.low, data.high) not in KNOWN_RANGES:
            raise GenaeError(
                f"{source} holds floats from {data.low:g} to {data.high:g}; "
                "say with --value-range LOW,HIGH which values are black and white"
            )
        return stream_of(data, data.split(split))
    return _Files(path, split, parse_size(size) if size is not None else None, fit, channels).stream()


class _Files:
    """The pictures of a folder or zip: their headers at once, their pixels when asked for."""

    def __init__(self, source: Path, split: str, size: tuple[int, int] | None, fit: str, channels: int | None) -> None:
        self.source, self.split, self.size, self.fit, self.channels = source, split, size, fit, channels
        names, self.read = list_pictures(source)
        self.names = _of_split(names, split, source)
        self.pool = ThreadPoolExecutor(min(16, os.cpu_count() or 1))

    def stream(self) -> ImageStream:
        """Look at every header; what does not fit together is refused."""
        shapes, formats, hashes = zip(*self.pool.map(self.header, self.names), strict=True)
        sizes, depths = sorted({shape[1:] for shape in shapes}), sorted({shape[0] for shape in shapes})
        if len(sizes) > 1 and not self.size:
            found = ", ".join(f"{height}x{width}" for height, width in sizes[:3]) + (", ..." if len(sizes) > 3 else "")
            raise GenaeError(
                f"{self.source} holds images of {len(sizes)} sizes ({found}); choose one with --size, as --size 64"
            )
        if len(depths) > 1 and self.channels is None:
            raise GenaeError(f"{self.source} mixes channel counts ({depths}); choose one with --channels 1, 3 or 4")
        self.size = self.size or sizes[0]
        shape = (self.channels or depths[0], *self.size)
        digest = hashlib.sha256(repr((shape, self.fit, self.split)).encode() + b"".join(hashes)).hexdigest()[:16]
        resized = resize_name(self.size, self.fit) if sizes != [self.size] else "none"
        return ImageStream(
            str(self.source), shape, torch.arange(len(self.names)), len(self.names),
            lambda part: torch.stack(list(self.pool.map(self.picture, part.tolist()))),
            digest, formats_name(set(formats)), resized, tuple(self.names),
        )  # fmt: skip

    def header(self, name: str) -> tuple[tuple[int, int, int], str, bytes]:
        """(C, H, W), format and hash of a file."""
        try:
            data = self.read(name)
            with Image.open(io.BytesIO(data)) as picture:
                if picture.mode == "I" and picture.format != "PNG":
                    raise ValueError("it holds 32-bit integers, whose white is not known")
                shape = (len(picture.getbands()), picture.height, picture.width)
                plain = picture.mode in ("L", "LA", "RGB", "RGBA") or picture.mode.startswith(("I;16", "F"))
                if not plain or picture.getexif().get(0x0112, 1) != 1:
                    channels, height, width = decode(data, self.channels).shape
                    shape = (channels, height, width)
                return shape, file_format(picture), hashlib.sha256(data).digest()
        except Exception as error:  # what a damaged picture or archive raises is up to its library
            raise self.unreadable(name, error) from None

    def picture(self, index: int) -> Tensor:
        """The pixels of a file, [C, H, W] uint8."""
        name = self.names[index]
        try:
            pixels = decode(self.read(name), self.channels)
        except Exception as error:
            raise self.unreadable(name, error) from None
        if pixels.dtype == torch.float32:
            raise GenaeError(f"{name} in {self.source} holds floats; expected 8 or 16 bits (give arrays as .npz)")
        if pixels.dtype != torch.uint8:
            pixels = (pixels.float() / 257).round().to(torch.uint8)
        if self.channels and len(pixels) != self.channels:
            pixels = convert_channels(pixels[None], self.channels, 255)[0]
        assert self.size
        return resize(pixels, self.size, self.fit)

    def unreadable(self, name: str, error: Exception) -> GenaeError:
        return GenaeError(f"{name} in {self.source} is unreadable ({reason(error)}); mend or remove it")


def _of_split(names: list[str], split: str, source: Path) -> list[str]:
    """The files of one split: those below a folder of its name."""
    if split == "all":
        return names
    splits = {name: SPLIT_FOLDERS.get(name.split("/")[0].lower()) for name in names}
    chosen = [name for name in names if splits[name] == split]
    if not chosen:
        found = {found for found in splits.values() if found}
        raise GenaeError(f"{source} has no split {split!r}; {nearest(split, {*found, 'all'})}")
    return chosen
