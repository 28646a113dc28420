"""Some images of a data set in a fixed order, 8 bits a value, read in batches when they are needed."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from genae.data.sampler import mix_seed
from genae.data.sources import ImageData, Source, Wanted, find_source, name_of, prepared, read_source, with_held_out
from genae.data.transforms import to_uint8
from genae.errors import GenaeError

KNOWN_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 65535.0))


@dataclass(frozen=True)
class ImageStream:
    """Some of a data set's images, 8 bits a value."""

    data: ImageData
    indices: Tensor
    """Which images of the data set, in order."""

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def name(self) -> str:
        """Of the data set."""
        return self.data.name

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.data.image_shape

    @property
    def digest(self) -> str:
        """Hash of the whole data set."""
        return self.data.digest

    @property
    def format(self) -> str:
        """``lossless`` or ``jpeg-q75``, ...: what the files did to the pixels."""
        return self.data.format

    @property
    def resize(self) -> str:
        """``none``, or filter, fit and size."""
        return self.data.resize

    @property
    def names(self) -> tuple[str, ...]:
        """File names of all of the data set's images, where there are files."""
        return self.data.names

    @property
    def conversions(self) -> tuple[str, ...]:
        """Changes of channels and depth, one clause each; empty if the source has what was wanted."""
        return self.data.conversions

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, C, H, W]: it is `rows.Rows`."""
        return len(self), *self.image_shape

    def __getitem__(self, which: slice | Tensor, /) -> Tensor:
        """Its own images [B, C, H, W], by their place in it."""
        return self.read(self.indices[which])

    def read(self, indices: Tensor) -> Tensor:
        """Images [B, C, H, W] of the data set, uint8 on the CPU; floats are rounded."""
        if self._exact:
            return self.data.stored(indices).cpu()
        return to_uint8(self.data.images(indices)).cpu()

    @cached_property
    def _exact(self) -> bool:
        """Whether the stored values are what is read."""
        return self.data.store.dtype == torch.uint8 and (self.data.low, self.data.high) == (0, 255)

    def take(self, count: int, seed: int) -> "ImageStream":
        """``count`` of its images, drawn at random but kept in order; all where it has no more."""
        if count >= len(self):
            return self
        generator = torch.Generator().manual_seed(mix_seed("take", seed))
        drawn = torch.randperm(len(self), generator=generator)[:count].sort().values
        return replace(self, indices=self.indices[drawn])


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
    """Open whatever `open_data` opens, and give 8 bits a value.

    ``split`` is ``all``, or one that the source has; of picture files none is held out. Pictures of 16 bits are scaled
    to 8. Arrays of floats must lie in [0, 1] or [-1, 1], or come with their ``value_range``. Raises `GenaeError`.
    """
    wanted = Wanted(size, fit, channels, value_range, data_root=data_root, eight_bits=True)
    raw = read_source(source, wanted)
    data = prepared(raw, name_of(source), wanted)
    data = replace(data, splits=dict(raw.official) if raw.names else with_held_out(raw, data.name)[0])
    if data.store.dtype.is_floating_point and not value_range and (data.low, data.high) not in KNOWN_RANGES:
        raise GenaeError(
            f"{data.name} holds floats from {data.low:g} to {data.high:g}; "
            "say with --value-range LOW,HIGH which values are black and white"
        )
    if split != "all" and not data.splits:
        raise GenaeError(
            f"{data.name} has no split {split!r}, which would be a folder or a shard of that name; leave out the split "
            "to take all of its images"
        )
    return ImageStream(data, data.split(split))


def look_at(source: Source, wanted: Wanted) -> ImageStream:
    """All images of a source, of whose pictures only the headers are read. Raises `GenaeError`."""
    data = prepared(find_source(source, wanted), name_of(source), wanted)
    return ImageStream(data, data.split("all"))
