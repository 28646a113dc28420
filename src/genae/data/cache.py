"""Pictures decoded once: packed files in genae's cache, limited in size, that all commands and processes share.

`sources` calls `cached` for pictures that take at least `SMALLEST` bytes decoded:

    key = key_of(files.where, facts, options)
    path = cached(key, files.where, nbytes, make)
    raw = open_packed(path) if path else ...    # decoded when asked for

``facts`` is what tells files apart without reading them, ``make(path, progress)`` packs the decoded pictures to
``path``: `packing.pack` with the key as their identity, so that it resumes what a killed process began.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from genae.progress import Progress

SMALLEST = 32_000_000
"""Bytes of decoded pixels from which on pictures are worth a file in the cache."""
LIMIT_GB = 20.0
"""Of all files in the cache together, unless ``GENAE_CACHE_GB`` says another."""


class Fact(NamedTuple):
    """What tells a file from others, and from itself before a change, without reading it."""

    name: str
    size: int
    """Bytes."""
    changed: int
    """Time of its last change, in nanoseconds; 0 inside archives, which have a fact of their own."""


def key_of(where: str, facts: Iterable[Fact], options: Mapping[str, object]) -> str:
    """The name of a file in the cache: hash of the path, every file's name, size and time, and how they are decoded.

    ``options`` are size, fit, channels and skip_bad, as JSON holds them.
    """
    from PIL import __version__ as decoder

    said = [os.path.abspath(where), dict(options), decoder]
    sha = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for fact in facts:
        sha.update(json.dumps(fact).encode())
    return sha.hexdigest()[:24]


def cached(key: str, where: str, nbytes: int, make: Callable[[Path, Progress], None]) -> Path | None:
    """The packed file of ``key``, made by ``make`` if it is not there; None if the cache has no room for ``nbytes``.

    Both are said aloud (`progress.screen`). One process makes it, others wait for it. Errors of ``make`` are raised,
    except a full disk, which is no room. Room is made by removing the files that were not used for longest.
    """
    raise NotImplementedError
