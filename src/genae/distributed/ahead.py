"""What is loaded by threads of this process before it is asked for, in a bounded amount."""

from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from itertools import islice
from typing import Generic, Self, TypeVar

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")
T = TypeVar("T")


class Ahead(Generic[K, T]):
    """``load(key)`` of one key after another: ``threads`` load those that are expected to be asked for next.

    Expectations cost time if they are wrong, and change nothing else. ``size(key)`` is that of the result, ``room`` the
    most that waits to be asked for (one result may be larger), ``most`` the most results. What ``load`` raises is
    raised where its key is asked for. As a context manager it ends its threads, which begin with the first key.
    """

    def __init__(
        self, load: Callable[[K], T], threads: int, size: Callable[[K], int], room: int, most: int = 16
    ) -> None:
        self._load = load
        self._size = size
        self._room = room
        self._most = most
        self._pool = ThreadPoolExecutor(threads, "ahead")
        self._waiting: dict[K, tuple[Future[T], int]] = {}
        """Results by their keys, with their sizes, in the order in which they are expected to be asked for."""
        self._coming: Iterator[K] = iter(())
        self._held: list[K] = []
        """The key that came and had no room."""

    def get(self, key: K, following: Callable[[], Iterable[K]] = tuple) -> T:
        """``load(key)``; meanwhile threads begin with what is expected next, as far as there is room for it.

        If this key was the one to be asked for, so are those that come after it. Else ``following()`` is expected from
        now on (it may be endless), and what was expected before and is not among it is dropped.
        """
        before: dict[K, tuple[Future[T], int]] = {}
        if next(iter(self._waiting), None) == key:
            result, _ = self._waiting.pop(key)
        else:
            before, self._waiting = self._waiting, {}
            begun = before.pop(key, None)
            result, _ = begun or self._begin(key)
            self._coming, self._held = iter(following()), []
        self._expect(before)
        return result.result()

    def close(self) -> None:
        """End the threads, when what they load at the moment is loaded."""
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _expect(self, before: dict[K, tuple[Future[T], int]]) -> None:
        """Begin what comes next; of what was begun ``before``, the rest is dropped."""
        size = sum(size for _, size in self._waiting.values())
        while len(self._waiting) < self._most and (self._held or self._hold_next()):
            key = self._held[0]
            begun = before.pop(key, None)
            if begun is None and self._waiting and size + self._size(key) > self._room:
                break
            self._waiting[key] = begun or self._begin(key)
            size += self._waiting[key][1]
            self._held.clear()
        for dropped, _ in before.values():
            dropped.cancel()

    def _hold_next(self) -> bool:
        self._held.extend(islice(self._coming, 1))
        return bool(self._held)

    def _begin(self, key: K) -> tuple[Future[T], int]:
        return self._pool.submit(copy_context().run, self._load, key), self._size(key)


def loaded_ahead(
    items: Sequence[S], load: Callable[[S], T], threads: int = 1, most: int = 1
) -> Generator[T, None, None]:
    """``load(item)`` of every item, in order; ``threads`` load the ``most`` that follow while one is worked on."""
    if not items:
        return
    loaded: Ahead[int, T] = Ahead(lambda number: load(items[number]), threads, lambda _: 1, most)
    with loaded:
        for number in range(len(items)):
            yield loaded.get(number, partial(range, number + 1, len(items)))
