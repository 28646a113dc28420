"""Pictures decoded by several threads."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from genae.distributed.ahead import loaded_ahead

AHEAD, TASK, MOST = 200_000_000, 1_000_000, 64
"""Bytes of pictures that may wait to be taken; bytes, and pictures, that a thread decodes at a time."""
WORKERS = min(16, os.cpu_count() or 1)
SMALL = 100_000
"""Bytes of a decoded picture below which one thread beside the one that takes them is quicker than several: these would
wait longer for Python's lock than they decode."""
T = TypeVar("T")


def workers_for(work: int) -> int:
    """How many threads decode pictures that hold ``work`` bytes of pixels each, before they are resized."""
    return WORKERS if work >= SMALL else 1


def tasks_of(names: Sequence[str], nbytes: int, workers: int) -> list[Sequence[str]]:
    """Names in parts, each for one of the threads, of pictures that take ``nbytes`` each.

    A thread that hands over every small picture would wait longer for Python's lock than it decodes.
    """
    share = -(-len(names) // workers)
    many = max(1, min(MOST, TASK // max(1, nbytes), share))
    return [names[start : start + many] for start in range(0, len(names), many)]


def in_threads(function: Callable[[str], T], names: Sequence[str], nbytes: int = 0, work: int = 0) -> Iterator[T]:
    """``function`` of every name, in order, computed by threads ahead of what is taken.

    ``nbytes``: what one result takes in memory; ``work``: see `workers_for`. At most `AHEAD` bytes wait to be taken, or
    one result that is larger. What ``function`` raises is raised in the place of its task; then, or when no more is
    taken, the threads end.
    """
    workers = workers_for(work)
    tasks = tasks_of(names, nbytes, workers)
    if not tasks:
        return
    most = max(1, min(4 * workers, AHEAD // max(1, len(tasks[0]) * nbytes)))
    for results in loaded_ahead(tasks, lambda task: list(map(function, task)), workers, most):
        yield from results
