"""Pictures in a column of parquet files, as the library `datasets` writes them."""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from genae.data.files import Files, cause
from genae.data.shards import LABELS, among, declared, short_names, splits_of
from genae.errors import GenaeError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

CACHE = 200_000_000
"""Bytes that are kept of the row groups read last; one is kept, however large."""


class _Columns(NamedTuple):
    """Which columns hold the pictures and their classes."""

    image: str
    label: str
    """Empty where there is none."""
    classes: tuple[str, ...]
    """What the numbers in it are called, where the files say so."""
    note: str


class _Shard(NamedTuple):
    path: Path
    metadata: "pq.FileMetaData"
    schema: "pa.Schema"
    starts: np.ndarray
    """The number of the first row of every row group."""


def find_in_parquet(paths: Sequence[Path], where: str) -> Files:
    """The pictures of parquet files that together are called ``where``; only the classes are read.

    A column holds the pictures, as structs of ``bytes`` and ``path`` or as bytes, and may be the only one of its kind
    or be called ``image``. Classes are `datasets`' class labels, or a column named as one of `shards.LABELS`. Splits
    are in the files' names (`shards.splits_of`). Raises `GenaeError`.
    """
    names = short_names(paths)
    shards = [_open(path) for path in paths]
    columns = _columns(shards[0])
    place: dict[str, tuple[int, int]] = {}
    labels: dict[str, str] = {}
    splits: dict[str, str] = {}
    for number, (shard, name, split) in enumerate(zip(shards, names, splits_of(names), strict=True)):
        if _columns(shard) != columns:
            raise GenaeError(f"{names[0]} and {name} in {where} have other columns; open them one by one")
        rows = [f"{name}/{row:07d}" for row in range(shard.metadata.num_rows)]
        place |= {row: (number, i) for i, row in enumerate(rows)}
        splits |= dict.fromkeys(rows, split)
        labels |= {row: label for row, label in zip(rows, _classes(shard, columns), strict=False) if label}
    if not place:
        raise GenaeError(f"{where} has no rows; expected one for every image")
    groups = _Groups(shards, columns.image)
    own = declared(splits, labels, columns.classes, f"{among(shards, 'parquet')}{columns.note}")
    return Files(where, list(place), lambda name: groups.read(*place[name]), own=own)


class _Groups:
    """The contents of a column, read by row groups, of which the last ones are kept."""

    def __init__(self, shards: Sequence[_Shard], column: str) -> None:
        self.shards, self.column = shards, column
        self._kept: OrderedDict[tuple[int, int], pa.ChunkedArray] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, shard: int, row: int) -> bytes:
        """The contents of a row of a shard; may be called by several threads at once."""
        starts = self.shards[shard].starts
        group = int(np.searchsorted(starts, row, side="right")) - 1
        with self._lock:  # a thread that waits here mostly wants the group that is being read
            values = self._kept.pop((shard, group), None)
            if values is None:
                values = self._group(shard, group)
            self._kept[shard, group] = values
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > CACHE:
                self._kept.popitem(last=False)
        content = values[row - int(starts[group])].as_py()
        if content is None:
            raise ValueError("its row holds no bytes")
        return bytes(content)

    def _group(self, shard: int, group: int) -> "pa.ChunkedArray":
        """The bytes of every row of a row group."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path, metadata, schema, _ = self.shards[shard]
        with pq.ParquetFile(path, metadata=metadata) as file:  # opened each time: any number of shards
            column = file.read_row_group(group, columns=[self.column], use_threads=False).column(self.column)
        kind = schema.field(self.column).type
        return column.flatten()[kind.get_field_index("bytes")] if pa.types.is_struct(kind) else column


def _open(path: Path) -> _Shard:
    """The row groups and columns of a file. Raises `GenaeError`."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise GenaeError(f"{path} can be read with the package pyarrow: pip install 'genae[parquet]'") from None
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (ValueError, OSError) as error:
        raise GenaeError(f"{path} is not a readable parquet file: {cause(error)}; copy it again") from None
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return _Shard(path, metadata, schema, np.cumsum([0, *counts])[:-1])


def _columns(shard: _Shard) -> _Columns:
    """The columns of pictures and of classes. Raises `GenaeError` if it is not clear which one has the pictures."""
    import pyarrow as pa

    schema, features = shard.schema, _features(shard.schema)
    kinds = {name: features.get(name, {}).get("_type") for name in schema.names}
    holding = [field.name for field in schema if _holds_bytes(field.type)]
    structs = [name for name in holding if pa.types.is_struct(schema.field(name).type)]
    images = [name for name in holding if kinds[name] == "Image"] or structs or holding
    if not images:
        there = ", ".join(f"{field.name} ({str(field.type)[:40]})" for field in schema)
        raise GenaeError(
            f"{shard.path} has no column of pictures among {there[:200]}; expected one of bytes, or of structs of "
            "bytes and path"
        )
    if len(images) > 1 and "image" not in images:
        raise GenaeError(
            f"{shard.path} has {len(images)} columns of pictures ({', '.join(images)}); call the one to read 'image', "
            "or leave out the others"
        )
    image = images[0] if len(images) == 1 else "image"
    note = "" if len(images) == 1 else f", column image of {', '.join(images)}"
    labels = [name for name in LABELS if name in schema.names][:1]
    labels = labels or [name for name in schema.names if kinds[name] == "ClassLabel"]
    if len(labels) > 1:
        note += f", without labels, because {' and '.join(labels)} hold classes and neither is called label"
    elif labels and not _holds_classes(schema.field(labels[0]).type):
        note += f", without labels, because {labels[0]} holds {schema.field(labels[0]).type}"
    elif labels:
        names = features.get(labels[0], {}).get("names")
        return _Columns(image, labels[0], tuple(map(str, names)) if isinstance(names, list) else (), note)
    return _Columns(image, "", (), note)


def _features(schema: "pa.Schema") -> Mapping[str, Mapping[str, object]]:
    """What `datasets` says of its columns; empty where it wrote none or something else."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (TypeError, KeyError, ValueError, AttributeError):
        return {}


def _holds_bytes(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_bytes(kind.field(place).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _holds_classes(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_integer(inner) or pa.types.is_string(inner) or pa.types.is_large_string(inner))


def _classes(shard: _Shard, columns: _Columns) -> list[str]:
    """The class of every row, empty where it has none; no rows where there is no such column."""
    import pyarrow.parquet as pq

    if not columns.label:
        return []
    try:
        with pq.ParquetFile(shard.path, metadata=shard.metadata) as file:
            values = file.read(columns=[columns.label]).column(columns.label).to_pylist()
    except (ValueError, OSError) as error:
        raise GenaeError(
            f"the column {columns.label} of {shard.path} is unreadable ({cause(error)}); copy it again"
        ) from None
    if not columns.classes:
        return ["" if value is None or value == -1 else str(value) for value in values]
    odd = next((value for value in values if value is not None and not -1 <= value < len(columns.classes)), None)
    if odd is not None:
        raise GenaeError(f"{shard.path} holds the class {odd}; its column {columns.label} names {len(columns.classes)}")
    return ["" if value is None or value == -1 else columns.classes[value] for value in values]
