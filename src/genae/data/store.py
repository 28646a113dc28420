"""Where the pixels of a data set are: in memory, in a file, or in pictures that are decoded when asked for."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import torch
from torch import Tensor

from genae.data.remembered import remembered
from genae.data.transfer import THREADS, pinned, rows_sent, sent
from genae.data.transforms import convert_channels, resize
from genae.distributed.ahead import loaded_ahead
from genae.progress import screen

CHUNK = 32_000_000
"""Bytes of pixels that are read at a time where all are needed once."""


class Store(ABC):
    """The pixels of N images of one shape, read by their numbers. May be read from several threads at once."""

    shape: tuple[int, int, int]
    """(C, H, W)."""
    dtype: torch.dtype
    """Of what is read: uint8, or float32 for sources deeper than 8 bits."""
    in_memory = False
    """Whether reading takes neither a file nor a decoder, so that nothing is gained by reading ahead."""
    place = "in files"
    """Where the pixels are, in words."""
    identity = ""
    """Changes with the files that are read, and is known without reading them; empty where there are none."""
    levels = 0
    """How often halved images are kept beside the full size."""

    @abstractmethod
    def __len__(self) -> int:
        """N."""

    @abstractmethod
    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        """Images [B, C, H, W] with these numbers [B], in their order, in memory of their own.

        With ``halvings``, up to `levels`: [B, C, H / 2^halvings, W / 2^halvings], each value the mean of its pixels,
        rounded as it is stored. Raises `GenaeError` for what cannot be read.
        """

    def send(self, indices: Tensor, device: torch.device, halvings: int = 0) -> Tensor:
        """What `read` gives, on ``device``; a GPU's host does not wait for its arrival."""
        return sent(self.read(indices, halvings), device)

    def read_ahead(
        self, parts: Sequence[Tensor], device: torch.device, halvings: int = 0
    ) -> Generator[Tensor, None, None]:
        """What `send` gives of each of the ``parts`` [B] in turn; threads read the next ones while one is worked on.

        The threads end with this generator. Few parts wait: about two `CHUNK` of bytes, at most two for each thread.
        """
        largest = max((len(part) for part in parts), default=0) * self.row_bytes >> 2 * halvings
        most = min(2 * THREADS, 2 * CHUNK // max(1, largest))
        for x in loaded_ahead(parts, lambda part: pinned(self.read(part, halvings), device), THREADS, max(1, most)):
            yield sent(x, device)

    def to(self, device: torch.device, levels: int = 0) -> "MemoryStore":
        """All images in the memory of ``device``, with the first ``levels`` halved ones; the host keeps a few at a
        time."""
        channels, height, width = self.shape
        everything, parts = [], self.chunks()
        with screen.work() as progress:
            for level in range(levels + 1):
                shape = (len(self), channels, height >> level, width >> level)
                everything.append(torch.empty(shape, dtype=self.dtype, device=device))
                with closing(self.read_ahead(parts, device, level)) as chunks:
                    for part, x in zip(parts, chunks, strict=True):
                        everything[level][int(part[0]) : int(part[-1]) + 1] = x
                        progress(f"images to {device}", int(part[-1]) + 1, len(self))
        return MemoryStore(*everything)

    @property
    def described(self) -> str:
        """Where the pixels are, and as what: ``in memory as uint8``."""
        return f"{self.place} as {str(self.dtype).removeprefix('torch.')}"

    @property
    def nbytes(self) -> int:
        """Bytes that all images of full size take in memory."""
        return len(self) * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes that one image of full size takes in memory."""
        channels, height, width = self.shape
        return channels * height * width * self.dtype.itemsize

    def chunks(self) -> tuple[Tensor, ...]:
        """All numbers, in order, in parts of about `CHUNK` bytes of pixels."""
        return torch.arange(len(self)).split(max(1, CHUNK // max(1, self.row_bytes)))

    def rows(self, start: int = 0) -> Iterator[Tensor | str]:
        """From number ``start`` on, each image [C, H, W] on the CPU, or why it is unreadable."""
        for part in self.chunks():
            if part[-1] >= start:
                yield from self.read(part[part >= start]).cpu()

    def subset(self, indices: Tensor) -> "Store":
        """The images with these numbers [M], in this order."""
        return SubsetStore(self, indices)

    def range(self) -> tuple[float, float]:
        """The lowest and the highest value of all images."""
        pairs = [self.read(part).aminmax() for part in self.chunks()]
        return min(float(low) for low, _ in pairs), max(float(high) for _, high in pairs)

    def digest(self, before: bytes, after: bytes) -> str:
        """Hash of all pixels, between what else identifies a data set; that of files is remembered."""
        if not self.identity:
            return self.hashed(before, after)
        return remembered(f"{self.identity} {frame_hash(before, after)}", lambda: self.hashed(before, after))

    def hashed(self, before: bytes, after: bytes) -> str:
        """`digest`, computed."""
        sha = hashlib.sha256(before)
        for part in self.chunks():
            sha.update(self.read(part).cpu().reshape(-1).numpy().data)
        sha.update(after)
        return sha.hexdigest()[:16]


def frame_hash(before: bytes, after: bytes) -> str:
    """Hash of what a digest takes in beside the pixels; see `Store.digest`."""
    return hashlib.sha256(len(before).to_bytes(8, "little") + before + after).hexdigest()


class MemoryStore(Store):
    """Pixels [N, C, H, W], uint8 or float32, on any device; perhaps also ``halved`` once, twice, ..."""

    in_memory = True
    place = "in memory"

    def __init__(self, pixels: Tensor, *halved: Tensor) -> None:
        self._pixels = (pixels, *halved)
        channels, height, width = pixels.shape[1:]
        self.shape = channels, height, width
        self.dtype = pixels.dtype
        self.levels = len(halved)

    def __len__(self) -> int:
        return len(self._pixels[0])

    @property
    def device(self) -> torch.device:
        """Where they are, and where what is read is."""
        return self._pixels[0].device

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        """Images [B, C, H, W] on `device`."""
        return self._pixels[halvings].index_select(0, indices.to(self.device))

    def send(self, indices: Tensor, device: torch.device, halvings: int = 0) -> Tensor:
        """Images [B, C, H, W] on ``device``, gathered in the memory that they are sent from."""
        return rows_sent(self._pixels[halvings], indices, device)

    def to(self, device: torch.device, levels: int = 0) -> "MemoryStore":
        """The same pixels on another device."""
        return MemoryStore(*(pixels.to(device) for pixels in self._pixels[: levels + 1]))


class SubsetStore(Store):
    """Some of another store's images, in any order."""

    def __init__(self, store: Store, indices: Tensor) -> None:
        self._store, self._indices = store, indices
        self.shape, self.dtype, self.levels = store.shape, store.dtype, store.levels

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        """Images [B, C, H, W]."""
        return self._store.read(self._indices[indices], halvings)


class PreparedStore(Store):
    """Another store's images, brought to a size and a number of channels as they are read."""

    def __init__(
        self, store: Store, size: tuple[int, int], fit: str, channels: int, *, black: float, white: float
    ) -> None:
        self._store, self._size, self._fit, self._channels = store, size, fit, channels
        self._black, self._white = black, white
        self.shape, self.dtype = (channels, *size), store.dtype
        if store.identity:
            self.identity = f"{store.identity} {size} {fit} {channels} {black} {white}"
        self._brought(torch.zeros(1, *store.shape, dtype=store.dtype))  # what cannot be done is refused now

    def __len__(self) -> int:
        return len(self._store)

    def read(self, indices: Tensor, halvings: int = 0) -> Tensor:
        """Images [B, C, H, W]."""
        return self._brought(self._store.read(indices))

    def rows(self, start: int = 0) -> Iterator[Tensor | str]:
        """Every image [C, H, W], or why it is unreadable."""
        for row in self._store.rows(start):
            yield row if isinstance(row, str) else self._brought(row[None])[0]

    def _brought(self, pixels: Tensor) -> Tensor:
        pixels = resize(pixels, self._size, self._fit, fill=self._black)
        return pixels if pixels.shape[1] == self._channels else convert_channels(pixels, self._channels, self._white)
