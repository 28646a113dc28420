"""Threads that do tasks of an event loop in their order."""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from genae.explorer.requests import RefusedError

STOPPED = "the explorer was stopped"
T = TypeVar("T")


class Worker:
    """One thread that does tasks in their order. It never keeps the process from ending."""

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]]] = SimpleQueue()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._ended = False
        Thread(target=self._work, name=name, daemon=True).start()

    async def do(self, task: Callable[[], T]) -> T:
        """What ``task()`` gives, or raises."""
        if self._ended:
            raise RefusedError(503, STOPPED)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.add(done)
        self._tasks.put((task, done))
        try:
            return await done
        finally:
            self._waiting.discard(done)

    def give_up(self) -> None:
        """Refuse whatever is waited for, and what will be: the server ends."""
        self._ended = True
        for done in list(self._waiting):
            _tell(done, done.set_exception, RefusedError(503, STOPPED))

    def _work(self) -> None:
        while True:
            task, done = self._tasks.get()
            if done.done():
                continue
            try:
                value = task()
            except Exception as error:
                _tell(done, done.set_exception, error)
            else:
                _tell(done, done.set_result, value)


def _tell(done: "asyncio.Future[Any]", how: Callable[[Any], None], value: Any) -> None:
    """From any thread, unless nobody waits any more."""
    if not done.get_loop().is_closed():
        done.get_loop().call_soon_threadsafe(lambda: None if done.done() else how(value))
