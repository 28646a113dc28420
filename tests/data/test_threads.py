"""Pictures decoded by several threads."""

import threading
import time

import pytest

from genae.data import threads
from genae.data.threads import in_threads, tasks_of

NAMES = [str(number) for number in range(2500)]


@pytest.mark.parametrize("nbytes", [0, 10_000, 3_000_000, 10**12])
def test_the_order_is_kept(nbytes: int) -> None:
    assert list(in_threads(lambda name: int(name) * 2, NAMES, nbytes)) == list(range(0, 5000, 2))
    assert list(in_threads(int, [], nbytes)) == []


def test_small_pictures_go_many_to_a_thread_and_large_ones_one_by_one() -> None:
    def sizes(count: int, nbytes: int) -> list[int]:
        return sorted({len(task) for task in tasks_of(NAMES[:count], nbytes, threads.WORKERS)})

    assert sizes(2496, 3 * 64 * 64) == [threads.MOST]
    assert sizes(2500, 3 * 256 * 256) == [5]
    assert sizes(2500, 3 * 1024 * 1024) == [1]
    assert max(sizes(8, 100)) <= -(-8 // threads.WORKERS), "a batch is shared by all threads"


def test_bytes_that_wait_are_bounded() -> None:
    done: list[str] = []
    results = in_threads(lambda name: done.append(name) or name, NAMES, threads.AHEAD // 5)
    for taken in range(1, 20):
        next(results)
        time.sleep(0.01)
        assert len(done) <= taken + 5
    results.close()


def test_errors_are_raised_in_their_place_and_threads_end() -> None:
    before = threading.active_count()
    results = in_threads(lambda name: 1 / (int(name) - 700), NAMES, 1_000_000)
    assert len([next(results) for _ in range(700)]) == 700
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() == before


def test_threads_end_when_no_more_is_taken() -> None:
    before = threading.active_count()
    done: list[str] = []
    results = in_threads(lambda name: done.append(name) or name, NAMES, 1_000_000)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert len(done) <= 1 + 8 * threads.WORKERS


def test_small_pictures_have_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "WORKERS", 3)

    def names_of(work: int) -> set[str]:
        return set(in_threads(lambda _: time.sleep(0.001) or threading.current_thread().name, NAMES[:600], 1, work))

    assert len(names_of(64 * 64 * 3)) == 1
    assert len(names_of(256 * 256 * 3)) > 1
