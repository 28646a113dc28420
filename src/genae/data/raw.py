"""Images as a source holds them, before they are brought to a size, channels and splits."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from genae.data.store import MemoryStore, Store
from genae.errors import GenaeError


@dataclass(frozen=True)
class Raw:
    """Images as a source holds them."""

    store: Store
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    splits: dict[str, Tensor] = field(default_factory=dict)
    """The source's own splits; empty where it has none."""
    depth: int | None = None
    """Largest value of an integer type deeper than 8 bits."""
    value_range: tuple[float, float] | None = None
    """The stored values that become -1 and 1, where the source says so."""
    attributes: dict[str, Tensor] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    conversions: tuple[str, ...] = ()
    """Channels and depths that were changed while reading, one clause each."""
    format: str = "lossless"
    """What the files did to the pixels: ``lossless``, ``jpeg``, ..."""
    resize: str = "none"
    """How they were resized: ``none``, or filter, fit and size."""
    own_splits: dict[str, Tensor] | None = None
    """The source's own splits, where ``splits`` also has images that were held out; None where they are the same."""

    @property
    def official(self) -> dict[str, Tensor]:
        """The source's own splits, without images that were held out."""
        return self.splits if self.own_splits is None else self.own_splits

    def subset(self, indices: Tensor) -> "Raw":
        """The images with these indices [M], in this order; splits that lose every image are dropped."""
        place = torch.full((len(self.store),), -1)
        place[indices] = torch.arange(len(indices))
        some = self.store.subset(indices)

        def left(splits: dict[str, Tensor]) -> dict[str, Tensor]:
            parts = {name: place[members][place[members] >= 0] for name, members in splits.items()}
            return {name: members for name, members in parts.items() if len(members)}

        return replace(
            self,
            store=in_memory(some, "the source") if self.store.in_memory else some,
            labels=None if self.labels is None else self.labels[indices],
            splits=left(self.splits),
            own_splits=None if self.own_splits is None else left(self.own_splits),
            attributes={name: values[indices] for name, values in self.attributes.items()},
            names=tuple(self.names[i] for i in indices.tolist()) if self.names else (),
        )


def allocate(count: int, shape: Sequence[int], dtype: torch.dtype, where: str) -> Tensor:
    """Room for ``count`` images [N, *shape]; more than the machine's memory raises `GenaeError`."""
    expect_room(count, shape, dtype.itemsize, where)
    return torch.empty(count, *shape, dtype=dtype)


def in_memory(store: Store, where: str) -> MemoryStore:
    """All images of a store in memory; a part at a time, so that little else is there beside them."""
    pixels = allocate(len(store), store.shape, store.dtype, where)
    for part in store.chunks():
        pixels[part[0] : part[-1] + 1] = store.read(part)
    return MemoryStore(pixels)


def expect_room(count: int, shape: Sequence[int], bytes_per_value: int, where: str) -> None:
    """Raise `GenaeError` if images [N, *shape] cannot fit into the machine's memory."""
    needed = count * bytes_per_value
    for side in shape:
        needed *= side
    memory = physical_memory()
    if memory and needed > memory:
        raise GenaeError(
            f"{count} images of {where} at {shape[-2]}x{shape[-1]} take {needed / 1e9:,.1f} GB; "
            f"this machine has {memory / 1e9:,.1f} GB of memory; choose a smaller --size or fewer images"
        )


def physical_memory() -> int:
    """Bytes of the machine's memory; 0 where the system does not say, as Windows."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0
