"""What is loaded by threads of this process before it is asked for, in a bounded amount."""

from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
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
        self._waiting: dict[K, Future[T]] = {}

    def get(self, key: K, following: Iterable[K] = ()) -> T:
        """``load(key)``; meanwhile threads begin with the ``following`` keys, as far as there is room for them.

        What was expected before and is not among them is dropped. ``following`` may be endless.
        """
        result = self._waiting.pop(key, None) or self._begin(key)
        self._expect(following)
        return result.result()

    def close(self) -> None:
        """End the threads, when what they load at the moment is loaded."""
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _expect(self, keys: Iterable[K]) -> None:
        before, size = self._waiting, 0
        self._waiting = {}
        for key in keys:
            size += self._size(key)
            if self._waiting and size > self._room:
                break
            begun = before.pop(key, None)
            self._waiting[key] = begun or self._begin(key)
            if len(self._waiting) == self._most:
                break
        for dropped in before.values():
            dropped.cancel()

    def _begin(self, key: K) -> Future[T]:
        return self._pool.submit(copy_context().run, self._load, key)


def loaded_ahead(
    items: Sequence[S], load: Callable[[S], T], threads: int = 1, most: int = 1
) -> Generator[T, None, None]:
    """``load(item)`` of every item, in order; ``threads`` load the ``most`` that follow while one is worked on."""
    if not items:
        return
    loaded: Ahead[int, T] = Ahead(lambda number: load(items[number]), threads, lambda _: 1, most)
    with loaded:
        for number in range(len(items)):
            yield loaded.get(number, range(number + 1, len(items)))
