"""What is known of files that are too large to be read by every command: kept in genae's cache, a few bytes each."""

import hashlib
from collections.abc import Callable
from contextlib import suppress

from genae.storage import cache_folder, write_atomically


def remembered(key: str, make: Callable[[], str]) -> str:
    """What ``make`` says, computed once; ``key`` changes with everything that it depends on."""
    path = cache_folder() / "facts" / hashlib.sha256(key.encode()).hexdigest()[:24]
    with suppress(OSError, UnicodeDecodeError):
        if said := path.read_text(encoding="utf-8"):  # empty while another process writes the same
            return said
    said = make()
    with suppress(OSError):  # a cache that cannot be written to: it is computed again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, said)
    return said
