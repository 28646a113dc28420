"""What frozen layers give for images: kept in memory, kept on disk, or computed again for every batch."""

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from genae.data.raw import physical_memory
from genae.data.sources import SPLITS, ImageData
from genae.data.transfer import pinned, sent
from genae.distributed.ahead import loaded_ahead
from genae.errors import GenaeError, reason
from genae.progress import Progress, screen
from genae.storage import cache_folder

SHARE = 0.25
"""Of the machine's memory, that features may take."""
ASSUMED = 8_000_000_000
"""Bytes of memory of a machine that does not say how many it has."""
UNIT = 128
"""Images that frozen layers compute together. Libraries choose by this number how they compute, and round otherwise
for another; so that features are the same whenever they are computed, fewer images are filled up to it."""


class Pick(NamedTuple):
    """Images of a split that are needed together."""

    split: str
    rows: Tensor
    """[B], counted from the first of the split."""
    mirrored: Tensor | None = None
    """[B], whether each is mirrored; None: none is."""


class FeatureRows(Protocol):
    """Features [M, ...] of images, on the CPU. A tensor is such."""

    def __setitem__(self, rows: Tensor, features: Tensor, /) -> None: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...


class Features:
    """What layers give for the images of a data set: computed again whenever they are needed, until they are kept.

    It is a context manager: what is kept on disk is removed at its end.
    """

    def __init__(self, layers: nn.Sequential, data: ImageData, device: torch.device) -> None:
        self._layers = layers
        self._data = data
        self._device = device
        self._kept: dict[tuple[str, bool], FeatureRows] = {}
        """Split, and whether its images are mirrored -> their features; empty where they are computed again."""
        self._files = ExitStack()
        with torch.no_grad():
            self.shape: tuple[int, ...] = (*layers(data.images(data.split("train")[:1], device)).shape[1:],)
        """Of what they give for an image."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def count(self, split: str) -> int:
        """Images of a split."""
        return len(self._data.split(split))

    def nbytes(self, images: int) -> int:
        """Of the features of so many images, as float32."""
        return 4 * images * math.prod(self.shape)

    def batches(self, picks: Sequence[Pick]) -> Iterator[tuple[Pick, Tensor]]:
        """Each of the ``picks`` in turn, and the features [B, ...] of its images, on the device. What is not in memory
        is read ahead by threads."""
        return zip(picks, self._read(picks) if self._kept else self._computed(picks), strict=True)

    def in_order(self, split: str, size: int, mirrored: bool = False) -> Iterator[tuple[Pick, Tensor]]:
        """`batches` of ``size`` of all images of a split, or of their mirror images."""
        parts = torch.arange(self.count(split)).split(size)
        flags = [torch.ones(len(rows), dtype=torch.bool) if mirrored else None for rows in parts]
        return self.batches([Pick(split, rows, flag) for rows, flag in zip(parts, flags, strict=True)])

    def together(self, split: str) -> Tensor:
        """Features [M, ...] of all images of a split, on the CPU; a view of them, where they are kept in memory."""
        kept = self._kept.get((split, False))
        if isinstance(kept, Tensor):
            return kept
        features = torch.empty(self.count(split), *self.shape)
        for images, part in self.in_order(split, 2 * UNIT):
            features[images.rows] = part.cpu()
        return features

    def keep(self, flip: bool, on_disk: bool, progress: Progress) -> None:
        """Compute the features of all images, with ``flip`` also those of the mirror images of the training images,
        and keep them in memory, or in files that end with this process. Raises `GenaeError` where a disk is full."""
        kept: dict[tuple[str, bool], FeatureRows] = {}
        for split, mirrored in [(name, False) for name in SPLITS] + [("train", True)] * flip:
            total = self.count(split)
            shape = total, *self.shape
            rows = kept[split, mirrored] = self._files.enter_context(DiskRows(shape)) if on_disk else torch.empty(shape)
            for images, part in self.in_order(split, 2 * UNIT, mirrored):
                rows[images.rows] = part.cpu()
                done = int(images.rows[-1]) + 1
                progress(f"features of the {split} images{', mirrored' if mirrored else ''}", done, total)
        self._kept = kept

    def _read(self, picks: Sequence[Pick]) -> Iterator[Tensor]:
        """What is kept."""
        on_disk = isinstance(self._kept["train", False], DiskRows)

        def load(images: Pick) -> Tensor:
            return pinned(self._gathered(images), self._device)

        loaded = loaded_ahead(picks, load) if on_disk else map(load, picks)
        return (sent(features, self._device) for features in loaded)

    def _gathered(self, images: Pick) -> Tensor:
        if images.mirrored is None:
            return self._kept[images.split, False][images.rows]
        features = torch.empty(len(images.rows), *self.shape)
        for mirrored in (False, True):
            which = images.mirrored == mirrored
            features[which] = self._kept[images.split, mirrored][images.rows[which]]
        return features

    def _computed(self, picks: Sequence[Pick]) -> Iterator[Tensor]:
        """What the layers give."""
        parts = [self._data.split(images.split)[images.rows] for images in picks]
        for images, x in zip(picks, self._data.batches(parts, self._device), strict=True):
            if images.mirrored is not None:
                x = torch.where(images.mirrored.to(x.device)[:, None, None, None], x.flip(-1), x)
            yield self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        if not len(self._layers):
            return x
        parts = []
        with torch.no_grad():
            for some in x.split(UNIT):
                missing = UNIT - len(some)
                filled = torch.cat([some, some[-1:].expand(missing, *some.shape[1:])]) if missing else some
                parts.append(self._layers(filled)[: len(some)])
        return torch.cat(parts)


class DiskRows:
    """Rows [M, ...] of float32 in a file of genae's cache, without a name where the system allows it: it is gone when
    the process is, however it ends. Raises `GenaeError` where the disk is full."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._row = shape[1:]
        self._size = 4 * math.prod(self._row)
        self._lock = Lock()
        try:
            self._file = tempfile.TemporaryFile(dir=folder_of_features())  # noqa: SIM115 (closed in __exit__)
        except OSError as error:
            raise _cannot_keep(reason(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __setitem__(self, rows: Tensor, features: Tensor, /) -> None:
        """Write rows that follow one another: their numbers [B] ascend by 1."""
        try:
            with self._lock:
                self._file.seek(int(rows[0]) * self._size)
                self._file.write(features.contiguous().numpy().data.cast("B"))
                self._file.flush()
        except OSError as error:
            raise _cannot_keep(reason(error)) from None

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """Rows [B, ...] with the numbers [B]."""
        features = torch.empty(len(rows), *self._row)
        with self._lock:
            for place in rows.argsort().tolist():
                self._file.seek(int(rows[place]) * self._size)
                self._file.readinto(features[place].numpy().data.cast("B"))
        return features


def features_of(
    layers: nn.Sequential, data: ImageData, device: torch.device, progress: Progress, *, flip: bool, keep_gb: float
) -> Features:
    """The features of all images, kept where sizes allow it; otherwise they are computed again for every batch.

    They are kept in memory if they take at most `SHARE` of it, else on disk if they take at most ``keep_gb`` GB. With
    ``flip``, those of the training images' mirror images are among them. Layers that do nothing (``layers`` is empty)
    leave nothing to keep. Raises `GenaeError` for a disk that has less room than the user allows it to take.
    """
    features = Features(layers, data, device)
    if not len(layers):
        return features
    images = sum(features.count(name) for name in SPLITS) + flip * features.count("train")
    size = features.nbytes(images)
    if size <= SHARE * (physical_memory() or ASSUMED):
        features.keep(flip, False, progress)
        return features
    among = ", mirror images among them," if flip else ""
    what = f"the features of {images:,} images{among} take {size / 1e9:,.1f} GB, more than {SHARE:.0%} of the memory"
    if size > keep_gb * 1e9:
        screen.note(f"{what}: they are computed again for every batch; --keep-features keeps them on disk")
        return features
    folder = folder_of_features()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _cannot_keep(reason(error)) from None
    if size > free:
        raise _cannot_keep(f"they take {size / 1e9:,.1f} GB, and its disk has {free / 1e9:,.1f} GB left")
    screen.note(f"{what}: they are kept on disk meanwhile, in {folder}")
    features.keep(flip, True, progress)
    return features


def folder_of_features() -> Path:
    """Where features are kept on disk, while they are needed."""
    return cache_folder() / "features"


def _cannot_keep(why: str) -> GenaeError:
    return GenaeError(
        f"features cannot be kept in {folder_of_features()}: {why}; make room, set GENAE_CACHE to a folder of another "
        "disk, or leave --keep-features out"
    )
