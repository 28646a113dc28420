"""Images in a fixed order, read in batches when they are needed: memory does not grow with their number."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from genae.data.decoding import Header, bring_to, channel_conversion, decode, formats_name, read_header, to_8_bits
from genae.data.files import Files, find_pictures, in_threads
from genae.data.names import NAMES
from genae.data.raw import expect_room
from genae.data.sampler import mix_seed
from genae.data.sources import ImageData, Source, check_indices, existing, name_of, open_data
from genae.data.transforms import parse_size, resize, resize_name, to_uint8
from genae.errors import GenaeError, nearest

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
    conversions: tuple[str, ...] = ()
    """Changes of channels and depth, one clause each; empty if the source has what was wanted."""

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
        data.digest, data.format, data.resize, data.names, data.conversions,
    )  # fmt: skip


def open_stream(
    source: Source,
    *,
    split: str = "all",
    size: str | None = None,
    fit: str = "crop",
    channels: int | None = None,
    value_range: tuple[float, float] | None = None,
    data_root: str | None = None,
) -> ImageStream:
    """Open a folder or ``.zip`` of pictures to be read as they are needed, or anything else that `open_data` opens.

    ``split`` is ``all``, or one that the source has. Every file is read once to learn its size and hash: mixed sizes
    and unreadable files are refused before any work is done. Pictures of 16 bits are scaled to 8. Arrays of floats must
    lie in [0, 1] or [-1, 1], or come with their ``value_range``. Raises `GenaeError`.
    """
    name = name_of(source)
    if isinstance(source, (str, Path)) and name not in NAMES:
        path = existing(source)
        if path.suffix.lower() not in (".npz", ".npy"):
            files = _of_split(find_pictures(path), split)
            return _Stream(files, split, parse_size(size) if size is not None else None, fit, channels).stream()
    data = open_data(
        source, size=size, fit=fit, channels=channels, value_range=value_range, data_root=data_root
    )  # fmt: skip
    if data.pixels.is_floating_point() and not value_range and (data.low, data.high) not in KNOWN_RANGES:
        raise GenaeError(
            f"{name} holds floats from {data.low:g} to {data.high:g}; "
            "say with --value-range LOW,HIGH which values are black and white"
        )
    return stream_of(data, data.split(split))


class _Stream:
    """Picture files of which the headers are read at once, and the pixels when asked for."""

    def __init__(self, files: Files, split: str, size: tuple[int, int] | None, fit: str, channels: int | None) -> None:
        self.files, self.split, self.size, self.fit, self.channels = files, split, size, fit, channels
        self.pool = ThreadPoolExecutor(min(16, os.cpu_count() or 1))

    def stream(self) -> ImageStream:
        """Look at every header; raises `GenaeError` for what does not fit together."""
        where, names = self.files.where, self.files.names
        headers, hashes = zip(*in_threads(self.header, names), strict=True)
        sizes = sorted({(header.height, header.width) for header in headers})
        counts = Counter(header.channels for header in headers)
        if len(sizes) > 1 and not self.size:
            shown = ", ".join(f"{height}x{width}" for height, width in sizes[:3]) + (", ..." if len(sizes) > 3 else "")
            raise GenaeError(
                f"{where} holds images of {len(sizes)} sizes ({shown}); choose one with --size, for example --size 64"
            )
        if len(counts) > 1 and self.channels is None:
            rarest = min(counts, key=lambda count: counts[count])
            odd = next(name for name, header in zip(names, headers, strict=True) if header.channels == rarest)
            raise GenaeError(
                f"{where} mixes channel counts ({sorted(counts)}); choose one with --channels 1, 3 or 4 ({odd} differs)"
            )
        self.size = self.size or sizes[0]
        shape = (self.channels or next(iter(counts)), *self.size)
        expect_room(1, shape, 1, where)
        digest = hashlib.sha256(repr((shape, self.fit, self.split)).encode() + b"".join(hashes)).hexdigest()[:16]
        deep = sum(header.dtype != torch.uint8 for header in headers)
        scaled = [f"{deep} of {len(names)} images scaled from 16 to 8 bits"] if deep else []
        return ImageStream(
            where, shape, torch.arange(len(names)), len(names), self.read, digest,
            formats_name({header.format for header in headers}),
            resize_name(self.size, self.fit) if sizes != [self.size] else "none", tuple(names),
            (*scaled, *channel_conversion(counts, self.channels)),
        )  # fmt: skip

    def header(self, name: str) -> tuple[Header, bytes]:
        """The header of a file, and the hash of its contents."""
        data = self.files.bytes(name)
        try:
            header = read_header(data)
        except Exception as error:  # what a damaged picture raises is up to its library
            raise self.files.unreadable(name, error) from None
        if header.dtype == torch.float32:
            raise GenaeError(f"{name} in {self.files.where} holds floats; expected 8 or 16 bits (give arrays as .npz)")
        return header, hashlib.sha256(data).digest()

    def read(self, indices: Tensor) -> Tensor:
        """Images [B, C, H, W] uint8."""
        check_indices(indices, len(self.files.names), self.files.where)
        return torch.stack(list(self.pool.map(self.picture, indices.tolist())))

    def picture(self, index: int) -> Tensor:
        """The pixels of a file, [C, H, W] uint8."""
        name = self.files.names[index]
        data = self.files.bytes(name)
        try:
            pixels = to_8_bits(decode(data, self.channels))
        except Exception as error:
            raise self.files.unreadable(name, error) from None
        assert self.size
        return resize(bring_to(pixels, self.channels or len(pixels)), self.size, self.fit)


def _of_split(files: Files, split: str) -> Files:
    """The files of one split, as the source has it."""
    if split == "all":
        return files
    splits = files.official().splits
    if split not in splits:
        if not splits:
            raise GenaeError(
                f"{files.where} has no split {split!r}, which would be a folder of that name in it; leave out the "
                "split to take all of its images"
            )
        raise GenaeError(f"{files.where} has no split {split!r}; {nearest(split, {*splits, 'all'})}")
    return replace(files, names=sorted(splits[split]))
