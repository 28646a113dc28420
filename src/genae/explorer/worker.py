"""Threads that do tasks of an event loop in their order."""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from genae.explorer.guard import RefusedError

STOPPED = "the explorer was stopped"
T_co = TypeVar("T_co", covariant=True)


class Worker:
    """One thread that does tasks in their order. It never keeps the process from ending."""

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[_Task[object]] = SimpleQueue()
        self._waiting: set[_Task[object]] = set()
        self._ended = False
        Thread(target=self._work, name=name, daemon=True).start()

    async def do(self, work: Callable[[], T_co]) -> T_co:
        """What ``work()`` returns, or raises."""
        if self._ended:
            raise RefusedError(503, STOPPED)
        task = _Task(work)
        self._waiting.add(task)
        self._tasks.put(task)
        try:
            return await task.done
        finally:
            self._waiting.discard(task)

    def give_up(self) -> None:
        """Refuse whatever is waited for, and what will be: the server ends."""
        self._ended = True
        for task in list(self._waiting):
            task.fail(RefusedError(503, STOPPED))

    def _work(self) -> None:
        while True:
            self._tasks.get().run()


class _Task(Generic[T_co]):
    """Work, and a future of the running event loop that is told its result from any thread."""

    def __init__(self, work: Callable[[], T_co]) -> None:
        self._loop = asyncio.get_running_loop()
        self._do = work
        self.done: asyncio.Future[T_co] = self._loop.create_future()

    def run(self) -> None:
        if self.done.done():  # nobody waits any more
            return
        try:
            result = self._do()
        except Exception as error:
            self.fail(error)
        else:
            self._tell(lambda: self.done.set_result(result))

    def fail(self, error: Exception) -> None:
        self._tell(lambda: self.done.set_exception(error))

    def _tell(self, how: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: None if self.done.done() else how())
