"""Pictures decoded by several threads."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from genae.distributed.ahead import loaded_ahead

AHEAD, TASK, MOST = 200_000_000, 1_000_000, 64
"""Bytes of pictures that may wait to be taken; bytes, and pictures, that a thread decodes at a time."""
WORKERS = min(16, os.cpu_count() or 1)
T = TypeVar("T")


def tasks_of(names: Sequence[str], nbytes: int) -> list[Sequence[str]]:
    """Names in parts, each for a thread, of pictures that take ``nbytes`` each.

    A thread that hands over every small picture would wait longer for Python's lock than it decodes.
    """
    share = -(-len(names) // WORKERS)
    many = max(1, min(MOST, TASK // max(1, nbytes), share))
    return [names[start : start + many] for start in range(0, len(names), many)]


def in_threads(function: Callable[[str], T], names: Sequence[str], nbytes: int = 0) -> Iterator[T]:
    """``function`` of every name, in order, computed by threads ahead of what is taken.

    ``nbytes``: what one result takes in memory. At most `AHEAD` bytes wait to be taken, or one result that is larger.
    What ``function`` raises is raised in the place of its task; then, or when no more is taken, the threads end.
    """
    tasks = tasks_of(names, nbytes)
    if not tasks:
        return
    most = max(1, min(4 * WORKERS, AHEAD // max(1, len(tasks[0]) * nbytes)))
    for results in loaded_ahead(tasks, lambda task: list(map(function, task)), WORKERS, most):
        yield from results
