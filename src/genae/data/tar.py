"""Pictures in tar files: shards as WebDataset writes them, or a folder that was packed."""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from genae.data.files import Files, cause, common_folder, is_hidden, is_picture, is_wanted
from genae.data.shards import LABELS, among, declared, short_names, splits_of
from genae.errors import GenaeError

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}
"""How compressed files begin."""
_BLOCK = 512


class _Member(NamedTuple):
    """A file in a shard, and where its contents are."""

    name: str
    shard: Path
    start: int
    size: int


def find_in_tars(shards: Sequence[Path], where: str) -> Files:
    """The pictures of tar files that together are called ``where``; only headers and labels are read.

    Files of one name up to its first dot are a sample: a picture, and its class in a ``.cls`` (a number or a text) or
    as one of `shards.LABELS` in a ``.json``. Splits are in the shards' names (`shards.splits_of`). Without classes, one
    file is the folder that it was made of, and in several the top folders are classes. Raises `GenaeError`.
    """
    names = short_names(shards)
    members: dict[str, _Member] = {}
    splits: dict[str, str] = {}
    for shard, name, split in zip(shards, names, splits_of(names), strict=True):
        above = f"{name}/" if len(shards) > 1 else ""
        inside = {above + member.name: member for member in _members(shard)}
        members |= inside
        splits |= dict.fromkeys(inside, split)

    def read(name: str) -> bytes:
        member = members[name]
        with open(member.shard, "rb", buffering=0) as file:  # opened each time: any number of threads and shards
            file.seek(member.start)
            content = file.read(member.size)
        if len(content) < member.size:
            raise ValueError(f"{member.shard.name} is cut")
        return content

    pictures = list(filter(is_picture, members))
    if not pictures:
        raise GenaeError(f"{where} holds no images; expected files such as 000.jpg, and 000.cls with its class")
    samples = Counter(map(_sample, pictures))
    described = {name: member for name, member in members.items() if _kind(name) and _sample(name) in samples}
    if len(shards) == 1 and not described:
        laid_out = list(filter(is_wanted, members))
        top = common_folder(laid_out)
        inner = sorted(name.removeprefix(top) for name in laid_out)
        tables = [name for name in inner if not is_picture(name)]
        return Files(where, list(filter(is_picture, inner)), lambda name: read(top + name), tables)
    if described:
        (sample, number), *_ = samples.most_common(1)
        if number > 1:
            one, other, *_ = (name for name in pictures if _sample(name) == sample)
            raise GenaeError(f"{one} and {other} in {where} are one sample; expected one picture in each")
        labels = _labels(described)
        by_name = {name: labels[_sample(name)] for name in pictures if _sample(name) in labels}
        note = "" if labels else f", whose .json files have no {', '.join(LABELS[:-1])} or {LABELS[-1]}"
    else:
        within = {name: PurePosixPath(members[name].name).parts[:-1] for name in pictures}
        by_name, note = {name: parts[0] for name, parts in within.items() if parts}, ""
    own = declared({name: splits[name] for name in pictures}, by_name, note=f"{among(shards, 'tar')}{note}")
    return Files(where, pictures, read, own=own)


def _members(shard: Path) -> Iterator[_Member]:
    """Pictures, tables of splits and labels of a tar file, in its order; `GenaeError` for what is damaged."""
    try:
        with tarfile.open(shard, "r:", errors="replace") as archive:
            while (header := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
                name = header.name.removeprefix("./")
                if header.isreg() and not header.issparse() and (_kind(name) or is_wanted(name)):
                    yield _Member(name, shard, header.offset_data, header.size)
            end = archive.offset
        with open(shard, "rb") as file:
            file.seek(end)
            if file.read(_BLOCK) != bytes(_BLOCK):  # tarfile takes a cut between two files for the end
                raise tarfile.ReadError(f"it is cut or damaged after {end:,} bytes")
    except OSError as error:
        raise GenaeError(f"{shard} cannot be read: {cause(error)}") from None
    except tarfile.TarError as error:
        with open(shard, "rb") as file:
            start = file.read(2)
        if start in _COMPRESSED:
            raise GenaeError(
                f"{shard} is compressed with {_COMPRESSED[start]}, which cannot be read in any order; decompress it"
            ) from None
        raise GenaeError(f"{shard} is not a readable tar file: {cause(error)}; copy it again") from None


def _labels(described: Mapping[str, _Member]) -> dict[str, str]:
    """The classes that files say, by their samples."""
    labels = {}
    for shard, group in groupby(described.items(), key=lambda item: item[1].shard):
        with open(shard, "rb") as file:
            for name, member in group:
                file.seek(member.start)
                label = _label(name, file.read(member.size))
                if label:
                    labels[_sample(name)] = label
    return labels


def _kind(name: str) -> str:
    """``cls`` or ``json`` if a file says a picture's class, else nothing."""
    kind = name.rpartition("/")[2].partition(".")[2].lower()
    return kind if kind in ("cls", "json") and not is_hidden(name) else ""


def _sample(name: str) -> str:
    """The name up to the first dot of the file's own name."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _label(name: str, content: bytes) -> str:
    """The class that a file says, empty where it says none."""
    text = content.decode("utf-8-sig", errors="replace").strip()
    if _kind(name) == "cls":
        if not text or len(text.splitlines()) > 1:
            raise GenaeError(f"{name} holds {text[:40]!r}; expected one class, a number or a text")
        return text
    try:
        record = json.loads(text)
    except ValueError:
        raise GenaeError(f"{name} is not JSON; expected an object with a key such as {LABELS[0]!r}") from None
    value = next((record[key] for key in LABELS if key in record), "") if isinstance(record, dict) else ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise GenaeError(f"{name} says the class {str(value)[:40]!r}; expected a whole number or a text")
    return str(value)
