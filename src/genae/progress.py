"""Progress of long work, and what is said on the way."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

Progress = Callable[[str, int, int], None]
"""What is done, how much of it, of how much: ``progress("features of the training images", 64, 1000)``."""


def silent(message: str, done: int, total: int) -> None:
    """No progress is shown."""


@dataclass
class Screen:
    """Where work that nobody asked for by name is told of, such as decoding into the cache. Silent in Python."""

    note: Callable[[str], None] = lambda message: None
    """Say a remark."""
    work: Callable[[], AbstractContextManager[Progress]] = lambda: nullcontext(silent)
    """Inside, progress is shown."""


screen = Screen()
"""The command line puts its own functions here."""
