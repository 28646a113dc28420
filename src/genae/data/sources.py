"""Images from wherever a user has them: a name, files of any kind, or arrays; and packing them."""

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genae.data import builtin, packing
from genae.data.arrays import raw_of_array, read_array
from genae.data.attributes import read_attributes
from genae.data.cache import SMALLEST, cached, facts_of, key_of, opened
from genae.data.containers import ARRAYS, existing, find_pictures
from genae.data.decoded import REMOVE, SKIP, decoded, open_pictures
from genae.data.files import Container, Files, listed_pictures
from genae.data.names import NAMES
from genae.data.packed import ENDING, open_packed
from genae.data.raw import Raw, expect_room, in_memory, physical_memory
from genae.data.sampler import mix_seed
from genae.data.store import MemoryStore, PreparedStore, Store
from genae.data.transfer import has_room
from genae.data.transforms import FITS, RESIZE, parse_size, resize_name, to_unit_range
from genae.errors import GenaeError, nearest
from genae.progress import Progress, screen, silent

SPLITS = ("train", "validation", "test")
COUNTED = "split into "


@dataclass(frozen=True)
class ImageData:
    """A data set: its images, wherever they are, and what is known of them."""

    name: str
    store: Store
    """Its pixels, uint8, or float32 for sources deeper than 8 bits."""
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

    def __len__(self) -> int:
        return len(self.store)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.store.shape

    def stored(self, indices: Tensor, device: torch.device | None = None, halvings: int = 0) -> Tensor:
        """Images as they are stored [B, C, H, W], uint8 or float32, on ``device``: by default where they are read.

        ``indices`` [B] count from 0; others raise `GenaeError`. ``halvings``: see `Store.read`.
        """
        check_indices(indices, len(self), self.name)
        if device is None:
            return self.store.read(indices, halvings)
        return self.store.send(indices, device, halvings)

    def converted(self, stored: Tensor) -> Tensor:
        """Images as they are stored -> float32 in [-1, 1], where they are; values outside the range are clamped."""
        return to_unit_range(stored, self.low, self.high).clamp_(-1, 1)

    def images(self, indices: Tensor, device: torch.device | None = None) -> Tensor:
        """Images [B, C, H, W] float32 in [-1, 1] on ``device``, where they arrive as they are stored; see `stored`."""
        return self.converted(self.stored(indices, device))

    def batches(self, parts: Sequence[Tensor], device: torch.device | None = None) -> Generator[Tensor, None, None]:
        """`images` of each of the ``parts`` of indices in turn; what is not in memory is read ahead by threads, which
        end with this generator."""
        if self.store.in_memory:
            yield from (self.images(part, device) for part in parts)
            return
        for part in parts:
            check_indices(part, len(self), self.name)
        yield from map(self.converted, self.store.read_ahead(parts, device or torch.device("cpu")))

    def split(self, name: str) -> Tensor:
        """The indices of ``train``, ``validation``, ``test`` or ``all``."""
        if name == "all":
            return torch.arange(len(self))
        if name not in self.splits:
            raise GenaeError(f"{self.name} has no split {name!r}; {nearest(str(name), (*self.splits, 'all'))}")
        return self.splits[name]

    def directions(self) -> "Directions":
        """Every named boolean [N] that a direction can be learned from: attributes, then one per class, each made when
        it is asked for."""
        return Directions(self)

    def describe(self) -> list[str]:
        """What was found, what was done to it, and what models will see, one clause each."""
        return [*self.notes, *self.conversions, f"values {self.low:g} to {self.high:g} become -1 to 1 inside models"]

    @cached_property
    def digest(self) -> str:
        """Hash of pixels, value range, labels and splits: equal for equal data, whatever file it came from."""
        return self.store.digest(*self.digest_frame())

    def digest_frame(self) -> tuple[bytes, bytes]:
        """What `digest` takes in before the pixels, and behind them."""
        labels = None if self.labels is None else self.labels.tolist()
        shape = torch.Size((len(self), *self.image_shape))
        about = repr((shape, self.low, self.high, self.classes, labels)).encode()
        splits = [self.splits[name].numpy().tobytes() for name in SPLITS if name in self.splits]
        return about, b"".join(splits)

    def to(self, device: torch.device, levels: int = 0) -> "ImageData":
        """The same data with its pixels on ``device``, if they have room there (`transfer.has_room`); else as it is,
        and batches are sent one by one. On the CPU, what is in a file stays there. Of halved images, the first
        ``levels`` go with them."""
        here = self.store.device == device if isinstance(self.store, MemoryStore) else device.type == "cpu"
        if here:
            return self
        size = sum(self.store.nbytes >> 2 * level for level in range(levels + 1))
        return replace(self, store=self.store.to(device, levels)) if has_room(device, size) else self


class Directions(Mapping[str, Tensor]):
    """`ImageData.directions`. A thousand classes of a million images would take a gigabyte at once."""

    def __init__(self, data: ImageData) -> None:
        self._data = data
        classes = () if data.labels is None else data.classes
        self._numbers: dict[str, int | None] = dict.fromkeys(data.attributes) | {c: n for n, c in enumerate(classes)}

    def __getitem__(self, name: str) -> Tensor:
        number = self._numbers[name]
        if number is None or self._data.labels is None:
            return self._data.attributes[name]
        return self._data.labels == number

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def counts(self, indices: Tensor) -> dict[str, int]:
        """How many of the images with these indices each of them is true of."""
        counts = {name: int(has[indices].sum()) for name, has in self._data.attributes.items()}
        if self._data.labels is not None:
            classes = self._data.classes
            of_classes = torch.bincount(self._data.labels[indices], minlength=len(classes)).tolist()
            counts |= dict(zip(classes, of_classes, strict=True))
        return counts


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

    source: a name of `names.NAMES`; a folder of pictures, a ``.zip`` or ``.tar`` of one, tar shards such as
        ``train-{000..099}.tar``, parquet files, an lmdb database, a picture, a packed file (see `pack`), or an ``.npz``
        or ``.npy`` array; or a NumPy array or tensor (as `arrays.raw_of_array` describes), or one of Pillow's pictures
        or a list of them or of paths.
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
    wanted = Wanted(size, fit, channels, value_range, layout, skip_bad, data_root)
    raw = read_source(source, wanted)
    if attributes is not None:
        raw = _with_attributes(raw, attributes, skip_bad)
    return _split(raw, name_of(source), wanted)


class Options(TypedDict, total=False):
    """Of `open_data`, for `pack`."""

    data_root: str | Path | None
    size: str | int | tuple[int, int] | None
    fit: str
    channels: int | None
    value_range: tuple[float, float] | None
    layout: str | None
    skip_bad: bool


def pack(
    source: Source,
    out: str | Path,
    *,
    attributes: str | Path | None = None,
    levels: bool = False,
    force: bool = False,
    progress: Progress = silent,
    **options: Unpack[Options],
) -> ImageData:
    """Decode a source once into a packed file, which opens at once and needs no memory; returns it opened.

    out: the file, whose name ends in ``.genae``.
    attributes, options: as for `open_data`.
    levels: add halved images, down to 4 pixels, for models that grow.
    force: replace a file that is there.

    If it is interrupted, the same call goes on where it was, and gives the same file. Raises `GenaeError`.
    """
    out = Path(out).expanduser()
    wanted, name = Wanted(**options), name_of(source)
    images = _looked_up(source, wanted)
    packing.expect_free(out, force)
    raw = images if isinstance(images, Raw) else _surveyed(images.open(), wanted, progress)
    said = {key: getattr(wanted, key) for key in ("sides", "fit", "channels", "value_range", "layout")} | {
        "attributes": attributes and facts_of([str(attributes)])
    }
    if isinstance(images, Container) and images.on_disk:
        identity = key_of(name, facts_of(images.on_disk), said)
    elif isinstance(source, (str, Path)) and name not in NAMES:
        identity = key_of(name, facts_of([str(existing(source))]), said)
    else:
        identity = key_of("", [], said | {"digest": raw.store.digest(b"", b"")})
    if attributes is not None:
        raw = _with_attributes(raw, attributes, wanted.skip_bad)

    def describe(good: Tensor) -> packing.Described:
        some = raw if len(good) == len(raw.store) else raw.subset(good)
        data = _split(some, name, wanted)
        notes = tuple(note for note in data.notes if not note.startswith(COUNTED))  # said again when it is opened
        described = replace(
            some, splits=data.splits, own_splits=some.official, notes=notes, conversions=data.conversions,
            resize=data.resize, value_range=(data.low, data.high),
        )  # fmt: skip
        return packing.Described(described, *data.digest_frame())

    packable = packing.Packable(prepared(raw, name, wanted).store, describe, identity, name, raw.depth is not None)
    packing.pack(packable, out, levels=levels, skip_bad=wanted.skip_bad, force=force, progress=progress)
    return open_data(out)


def _with_attributes(raw: Raw, attributes: str | Path, skip_bad: bool) -> Raw:
    """The images that a table describes, with its attributes; all must be described unless others are skipped."""
    table, described = read_attributes(str(attributes), raw.names, len(raw.store), skip_bad)
    if len(described) < len(raw.store):
        note = f"{len(raw.store) - len(described)} images without a row in {attributes} skipped"
        raw = replace(raw.subset(described), notes=(*raw.notes, note))
    return replace(raw, attributes=table)


def _split(raw: Raw, name: str, wanted: "Wanted") -> ImageData:
    """`prepared` images with all splits."""
    data = prepared(raw, name, wanted)
    splits, notes = with_held_out(raw, name)
    return replace(data, splits=splits, notes=(*data.notes, *notes))


@dataclass(frozen=True)
class Wanted:
    """How a source is to be opened, as `open_data` describes; what cannot be meant raises `GenaeError`."""

    size: str | int | tuple[int, int] | None = None
    fit: str = "crop"
    channels: int | None = None
    value_range: tuple[float, float] | None = None
    layout: str | None = None
    skip_bad: bool = False
    data_root: str | Path | None = None
    eight_bits: bool = False
    """Whether pictures of 16 bits are scaled to 8."""

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise GenaeError(f"fit is {self.fit!r}; {nearest(str(self.fit), FITS)}")
        if self.channels is not None and (type(self.channels) is not int or self.channels < 1):
            raise GenaeError(f"channels is {self.channels!r}; expected 1 (grey), 3 (RGB) or 4 (RGBA)")
        if self.data_root is not None and not isinstance(self.data_root, (str, Path)):
            raise GenaeError(f"data_root is {self.data_root!r}; expected the path of a folder")
        limits = self.value_range
        pair = isinstance(limits, (tuple, list)) and [isinstance(v, (int, float)) for v in limits] == [True, True]
        if limits is not None and not pair:
            raise GenaeError(f"value_range is {limits!r}; expected two numbers (low, high), such as (0, 4095)")
        _ = self.sides

    @property
    def advice(self) -> str:
        """What to do with unreadable files."""
        return REMOVE if self.eight_bits else SKIP

    @property
    def sides(self) -> tuple[int, int] | None:
        """(H, W)."""
        return parse_size(self.size) if self.size is not None else None


def read_source(source: Source, wanted: Wanted) -> Raw:
    """The images of a source, pictures decoded: many of them in a file of the cache, few in memory.

    Where they have room in neither, they are decoded when they are asked for. Raises `GenaeError`.
    """
    images = _looked_up(source, wanted)
    if isinstance(images, Raw):
        return images
    said = {key: getattr(wanted, key) for key in ("sides", "fit", "channels", "skip_bad", "eight_bits")}
    key = key_of(images.where, facts_of(images.on_disk), said) if images.on_disk else ""
    if key and (raw := opened(key)):
        return raw
    raw = _surveyed(images.open(), wanted)
    if key and raw.store.nbytes >= SMALLEST:

        def make(path: Path, progress: Progress) -> None:
            packable = packing.Packable(
                raw.store, partial(_described, raw, wanted), key, images.where, raw.depth is not None, wanted.advice
            )
            packing.pack(packable, path, skip_bad=wanted.skip_bad, progress=progress)

        if packed := cached(key, images.where, raw.store.nbytes, make):
            return packed
    if raw.store.nbytes > (physical_memory() or math.inf) / 2:
        raw.store.identity = key
        screen.note(f"{images.where} is checked once, and decoded whenever its pictures are needed")
        return raw
    return decoded(raw, wanted.skip_bad, wanted.advice)


def _described(raw: Raw, wanted: Wanted, good: Tensor) -> packing.Described:
    """Pictures as they are put into the cache, and what the digest of their data set takes in beside the pixels."""
    some = raw if len(good) == len(raw.store) else raw.subset(good)
    try:
        data = prepared(some, "pictures", wanted) if wanted.eight_bits else _split(some, "pictures", wanted)
    except GenaeError:  # whoever opens them is told
        return packing.Described(some, b"", b"")
    return packing.Described(some, *replace(data, splits=data.splits or some.splits).digest_frame())


def find_source(source: Source, wanted: Wanted) -> Raw:
    """The images of a source; of pictures only the headers are read, and each is decoded when it is asked for.

    Pictures are brought to their size and channels one by one. Raises `GenaeError`.
    """
    images = _looked_up(source, wanted)
    return images if isinstance(images, Raw) else _surveyed(images.open(), wanted)


def _surveyed(files: Files, wanted: Wanted, progress: Progress = silent) -> Raw:
    raw = open_pictures(
        files, wanted.sides, wanted.fit, wanted.channels, skip_bad=wanted.skip_bad, eight_bits=wanted.eight_bits,
        progress=progress,
    )  # fmt: skip
    expect_room(1, raw.store.shape, raw.store.dtype.itemsize, files.where)
    return raw


def _looked_up(source: Source, wanted: Wanted) -> Raw | Container:
    """The images of a source, or the pictures that it holds."""
    name = name_of(source)
    if isinstance(source, (np.ndarray, Tensor)):
        return raw_of_array(_to_numpy(source), wanted.layout, "the array")
    if not isinstance(source, (str, Path)):
        return listed_pictures(source)
    if name in NAMES:
        return builtin.load(name, Path(wanted.data_root).expanduser() if wanted.data_root else None)
    path = existing(source)
    if path.suffix.lower() in ARRAYS:
        return read_array(path, wanted.layout)
    if path.suffix.lower() == ENDING:
        return open_packed(path)
    return find_pictures(path)


def prepared(raw: Raw, name: str, wanted: Wanted) -> ImageData:
    """Images of a source with their value range, brought to the size and channels that are wanted; without splits.

    Raises `GenaeError`.
    """
    store, notes, conversions, resized = raw.store, list(raw.notes), raw.conversions, raw.resize
    low, high = wanted.value_range or raw.value_range or _value_range(raw)
    if not -math.inf < low < high < math.inf:
        raise GenaeError(f"the value range of {name} is {low:g} to {high:g}; expected low < high (see --value-range)")
    channels, *size = store.shape
    sides = wanted.sides or (size[0], size[1])
    if sides != tuple(size):
        notes.append(f"resized from {size[0]}x{size[1]} to {sides[0]}x{sides[1]} ({RESIZE}): {FITS[wanted.fit]}")
        resized = resize_name(sides, wanted.fit)
    if wanted.channels is not None and channels != wanted.channels:
        conversions = (*conversions, f"converted from {channels} to {wanted.channels} channels")
    shape = (wanted.channels or channels, *sides)
    if shape != store.shape:
        expect_room(len(store) if store.in_memory else 1, shape, store.dtype.itemsize, name)
        brought = PreparedStore(store, sides, wanted.fit, shape[0], black=low, white=high)
        store = in_memory(brought, name) if store.in_memory else brought
    return ImageData(
        name, store, low, high, {}, raw.labels, raw.classes, raw.attributes, raw.names, tuple(notes), raw.format,
        resized, conversions,
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


def _to_numpy(array: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    array = array.detach().cpu()
    return (array.float() if array.is_floating_point() else array).numpy()


def _value_range(raw: Raw) -> tuple[float, float]:
    if raw.store.dtype == torch.uint8:
        return 0.0, 255.0
    if raw.depth is not None:
        return 0.0, float(raw.depth)
    low, high = raw.store.range()
    if low >= -1 and high <= 1:
        return (0.0 if low >= 0 else -1.0), 1.0
    return low, high


def with_held_out(raw: Raw, name: str) -> tuple[dict[str, Tensor], list[str]]:
    """Official splits where the source has them; the rest is held out at random, the same for everybody.

    A tenth, at most 5,000 and at least 1, is validation; likewise test. One or two images are in every split: enough
    to encode them, and refused by training. Raises `GenaeError`.
    """
    total = len(raw.store)
    if total < 3:
        return dict.fromkeys(SPLITS, torch.arange(total)), [f"{COUNTED}nothing: {total} images are too few"]
    splits = dict(raw.splits) or {"train": torch.arange(total)}
    if "train" not in splits:
        raise GenaeError(
            f"{name} has folders or files for {' and '.join(sorted(splits))} but none for train; add one, or open one "
            "of them alone"
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
    notes = [COUNTED + ", ".join(f"{len(splits[part])} {part}" for part in SPLITS)]
    return splits, notes + ([f"{' and '.join(made)} held out from train at random"] if made else [])
