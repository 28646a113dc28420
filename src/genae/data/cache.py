"""Pictures decoded once: packed files in genae's cache, limited in size, that all commands and processes share.

`sources` asks `opened` before it reads a single picture, and calls `cached` where they take `SMALLEST` bytes or more.
``make(path, progress)`` packs them, with the key as their identity, so that it goes on where a killed process stopped.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from genae import version
from genae.data.files import cause
from genae.data.packed import ENDING, VERSION, open_packed
from genae.data.packing import NoRoomError
from genae.data.raw import Raw
from genae.errors import GenaeError
from genae.progress import Progress, screen
from genae.storage import cache_folder, in_gigabytes

SMALLEST = 32_000_000
"""Bytes of decoded pixels from which on pictures are worth a file in the cache."""
LIMIT_GB = 20.0
"""Of all files in the cache together, unless ``GENAE_CACHE_GB`` says another."""
SHARE = 0.5
"""Of what is free on the disk without the cache, that it may take."""


class Fact(NamedTuple):
    """What tells a file from others, and from itself before a change, without reading it."""

    name: str
    size: int
    """Bytes."""
    written: int
    """Time at which its contents were changed last, in nanoseconds. Whoever copies a file may have set it."""
    changed: int
    """Time at which its contents, its name or who may read it was changed last, which nobody can set."""


def facts_of(paths: Iterable[str]) -> list[Fact]:
    """Of files on the disk, wherever they are looked at from; one that cannot be looked at has no size."""
    facts = []
    for path in paths:
        name = os.path.abspath(path)
        try:
            stat = os.stat(path)
            facts.append(Fact(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
        except OSError:
            facts.append(Fact(name, -1, 0, 0))
    return facts


def key_of(where: str, facts: Iterable[Fact], options: Mapping[str, object]) -> str:
    """The name of a file in the cache: hash of the path, every file's name, size and times, how they are decoded, and
    the versions of what decodes them.

    ``options`` are size, fit, channels and skip_bad, as JSON holds them.
    """
    import PIL
    import simplejpeg
    import torch

    decoders = [PIL.__version__, simplejpeg.__version__, str(torch.__version__), version.VERSION]
    said = [VERSION, decoders, os.path.abspath(where), dict(options)]
    sha = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for fact in facts:
        sha.update(json.dumps(fact).encode())
    return sha.hexdigest()[:24]


def cached(key: str, where: str, nbytes: int, make: Callable[[Path, Progress], object]) -> Raw | None:
    """The packed file of ``key``, made by ``make`` if it is not there; None if the cache has no room for ``nbytes``.

    Both are said aloud (`progress.screen`). One process makes it, others wait for it. Room is made by removing files
    that were not used for longest. Errors of ``make`` are raised, but for a full disk, which is no room.
    """
    path = _path(key)
    if not _limit():
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _turn(path.parent, key, where):
            if packed := opened(key):  # by the process that was waited for
                return packed
            limit = _make_room(path.parent, key, nbytes)
            if nbytes > limit:
                raise NoRoomError(f"{in_gigabytes(nbytes)} decoded, and the cache may take {in_gigabytes(int(limit))}")
            screen.note(f"{where} is decoded once into {path} ({nbytes / 1e6:,.0f} MB); --no-cache leaves it out")
            with screen.work() as progress:
                make(path, progress)
        return opened(key)
    except (NoRoomError, OSError) as error:
        for file in path.parent.glob(f"{key}*"):
            with suppress(OSError):
                file.unlink()
        why = f"{cause(error)}: {path.parent}" if isinstance(error, OSError) else error
        screen.note(
            f"{where} is decoded by every command, because the cache cannot hold it ({why}); "
            f"genae pack {where} --out NAME{ENDING} decodes it once"
        )
        return None


def opened(key: str) -> Raw | None:
    """The packed file that the cache has, which counts as used now; a damaged file is removed. None without a cache."""
    path = _path(key)
    if not _limit() or not os.path.exists(path):  # raises nothing, also in a folder of others
        return None
    try:
        packed = open_packed(path, remedy="remove it, and it is made again")
        os.utime(path)
    except GenaeError:
        with suppress(OSError):  # of another user
            path.unlink()
        return None
    except OSError:  # of another user: it can be read, and is not marked as used
        pass
    return packed


def _path(key: str) -> Path:
    return cache_folder() / "decoded" / f"{key}{ENDING}"


@contextmanager
def _turn(folder: Path, key: str, where: str) -> Iterator[None]:
    """While this process alone makes a file of the cache."""
    lock = FileLock(folder / f"{key}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        screen.note(f"another process is decoding {where}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make_room(folder: Path, key: str, nbytes: int) -> float:
    """Remove the files that were used longest ago until ``nbytes`` have room; the most that all may take, in bytes."""
    others: dict[str, list[Path]] = {}
    for file in folder.iterdir():
        if file.name.split(".")[0] != key:
            others.setdefault(file.name.split(".")[0], []).append(file)
    sizes = {other: sum(map(_allocated, files)) for other, files in others.items()}
    own = sum(map(_allocated, folder.glob(f"{key}*")))
    limit = min(_limit(), SHARE * (shutil.disk_usage(folder).free + own + sum(sizes.values())))
    for other in sorted(others, key=lambda other: max(map(_used, others[other]))):
        if nbytes > limit or sum(sizes.values()) + nbytes <= limit:
            break
        with suppress(Timeout, OSError), FileLock(folder / f"{other}.lock", timeout=0):  # unless it is being made
            for file in (*others[other], folder / f"{other}.lock"):
                file.unlink(missing_ok=True)
            del sizes[other]
    return limit


def _limit() -> float:
    """Bytes that the cache may have."""
    text = os.environ.get("GENAE_CACHE_GB") or str(LIMIT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise GenaeError(f"GENAE_CACHE_GB is {text!r} in the environment; expected gigabytes such as 20, or 0 for none")
    return limit * 1e9


def _allocated(file: Path) -> int:
    """Bytes that a file takes on the disk; one that is being packed has its full length from the start."""
    with suppress(OSError):
        stat = file.stat()
        return min(stat.st_size, getattr(stat, "st_blocks", stat.st_size) * 512)
    return 0


def _used(file: Path) -> float:
    """When a file was used last."""
    with suppress(OSError):
        return file.stat().st_mtime
    return 0.0
