"""What threads load before it is asked for, in a bounded amount; their errors; their end."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import count

import pytest

from genae.distributed.ahead import Ahead, loaded_ahead
from genae.errors import GenaeError


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


class Loader:
    """Loads a number by doubling it; multiples of seven cannot be loaded."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.loaded: list[int] = []
        self.threads: set[str] = set()
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __call__(self, number: int) -> int:
        with self.lock:
            self.loaded.append(number)
            self.threads.add(threading.current_thread().name)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        if number % 7 == 0:
            raise GenaeError(f"{number} cannot be read")
        return 2 * number


def settled(loader: Loader, count: int) -> list[int]:
    """What was loaded, when ``count`` numbers were, and a moment later."""
    while len(loader.loaded) < count or loader.now:
        time.sleep(0.005)
    time.sleep(0.03)
    return sorted(loader.loaded)


def test_what_is_expected_is_loaded_in_a_bounded_amount_and_once() -> None:
    load = Loader()
    with Ahead(load, threads=3, size=lambda number: 10, room=45) as ahead:
        assert ahead.get(1, lambda: count(2)) == 2
        assert settled(load, 5) == [1, 2, 3, 4, 5], "four results of 10 have room in 45"
        assert ahead.get(2, lambda: count(3)) == 4
        assert settled(load, 6) == [1, 2, 3, 4, 5, 6]
        assert ahead.get(3, tuple) == 6, "as expected, so that nothing else is expected after it"
        assert settled(load, 7) == [1, 2, 3, 4, 5, 6, 7]
        assert ahead.get(5, lambda: [7, 8]) == 10
        assert settled(load, 8) == [1, 2, 3, 4, 5, 6, 7, 8]
        assert ahead.get(6) == 12
        assert sorted(load.loaded) == [1, 2, 3, 4, 5, 6, 6, 7, 8], "what was no longer expected was dropped"
    with Ahead(Loader(), 1, lambda number: 10, 45, most=2) as ahead:
        ahead.get(1, lambda: count(2))
        assert settled(ahead._load, 3) == [1, 2, 3]
    with Ahead(Loader(), 1, lambda number: 100, 45) as ahead:
        ahead.get(1, lambda: count(2))
        assert settled(ahead._load, 2) == [1, 2], "one that is larger than the room"


@pytest.mark.parametrize("threads", [1, 4])
def test_results_do_not_depend_on_what_was_expected(threads: int) -> None:
    load = Loader(0.001)
    with Ahead(load, threads, lambda number: 1, 8) as ahead:
        numbers = [1, 2, 3, 10, 11, 5, 4, 3, 2, 1, 30, 31, 32]
        assert [ahead.get(number, partial(count, number + 1)) for number in numbers] == [2 * n for n in numbers]
    assert load.most <= threads


def test_every_error_is_raised_where_its_key_is_asked_for() -> None:
    with Ahead(Loader(0.01), 2, lambda number: 1, 8) as ahead:
        assert ahead.get(6, lambda: [7, 14, 15]) == 12
        settled(ahead._load, 4)
        for number in (7, 14):
            with pytest.raises(GenaeError, match=f"^{number} cannot be read"):
                ahead.get(number, lambda: [14, 15])
        assert ahead.get(15) == 30


def test_what_follows_is_loaded_meanwhile_and_what_is_dropped_is_not() -> None:
    both = threading.Barrier(2)
    with Ahead(lambda number: both.wait(5) * 0 + number, 2, lambda number: 1, 8) as ahead:
        assert ahead.get(1, lambda: [2]) == 1, "while the second is loaded"
    load = Loader(0.05)
    with Ahead(load, 1, lambda number: 1, 8) as ahead:
        ahead.get(1, lambda: [2, 3, 4, 5])
        assert ahead.get(20) == 40
    assert load.loaded in ([1, 20], [1, 2, 20])


def test_closing_waits_for_what_is_being_loaded_and_begins_nothing_more() -> None:
    load = Loader(0.05)
    with Ahead(load, 2, lambda number: 1, 100) as ahead:
        ahead.get(1, lambda: range(2, 40))
    assert load.now == 0
    assert len(load.loaded) <= 6


def test_items_are_loaded_in_order_while_one_is_worked_on() -> None:
    load = Loader(0.002)
    assert list(loaded_ahead([1, 2, 3, 4], load)) == [2, 4, 6, 8]
    assert load.loaded == [1, 2, 3, 4]
    assert load.most == 1
    assert len(load.threads) == 1
    assert list(loaded_ahead([], load)) == []
    load = Loader()
    with closing(loaded_ahead([1, 2, 3, 4, 5, 6, 7], load, threads=2, most=3)) as loaded:
        assert next(loaded) == 2
        assert settled(load, 4) == [1, 2, 3, 4]
    with pytest.raises(GenaeError, match="^7 cannot"):
        list(loaded_ahead([6, 7, 8], Loader()))
