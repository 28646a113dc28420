"""Who is lost, who has failed, who has ended well: watches of two processes in one, over a store in memory."""

import time
from collections.abc import Callable, Iterator

import pytest
import torch.distributed as dist

from genae.distributed import liveness
from genae.distributed.liveness import Watch


@pytest.fixture
def watches(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Watch]]]:
    """``watches(2)`` -> one for each of so many processes, that beat fast and do not end this process; ``ended`` has
    those that would have, and their sentences."""
    monkeypatch.setattr(liveness, "BEAT", 0.02)
    monkeypatch.setattr(liveness, "SILENT", 10**6)  # this process may be busy
    monkeypatch.setattr(liveness, "GRACE", 0.1)
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    every: list[Watch] = []

    def begin(count: int, only: int | None = None, store: dist.Store | None = None) -> list[Watch]:
        store = store or dist.HashStore()
        ranks = range(count) if only is None else [only]
        every.extend(Watch(store, rank, count, hosts=rank == 0) for rank in ranks)
        return every

    ended: dict[int, str | None] = {}

    def leave(watch: Watch, sentence: str | None) -> None:
        ended[watch.rank] = sentence
        watch.ending.set()

    monkeypatch.setattr(Watch, "_exit", leave)
    begin.ended = ended
    yield begin
    for watch in every:
        watch.ending.set()


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "nothing happened"
        time.sleep(0.01)


def test_a_process_that_fails_is_quoted_by_all_others(watches) -> None:
    first, second, third = watches(3)
    second.fail("stopped: cannot write to runs/x: the disk is full", "cannot write")
    wait_for(lambda: {0, 2} <= watches.ended.keys())
    assert first.verdict == third.verdict == "process 1 stopped: cannot write to runs/x: the disk is full"
    assert watches.ended == {0: first.verdict, 2: third.verdict}, "their main threads waited in a collective"


def test_a_silent_process_is_named_sooner_where_something_happened(watches, monkeypatch) -> None:
    monkeypatch.setattr(liveness, "SUSPICIOUS", 20)
    first, second = watches(2)
    wait_for(lambda: first.beats[1] > 3)
    second.ending.set()  # as killed: it beats no more and says nothing
    wait_for(lambda: first.silence[1] > 40)
    assert first.verdict is None
    assert "process 1 (pid" in first.explain()
    assert "stopped answering: it was killed, ran out of memory, or cannot be reached" in first.verdict
    assert "start the same command again: a training resumes from its last checkpoint" in first.verdict


def test_a_process_that_has_ended_well_is_not_lost_and_the_host_of_the_store_waits_for_it(watches, monkeypatch) -> None:
    monkeypatch.setattr(liveness, "SILENT", 5)
    first, second = watches(2)
    second.leave()
    begun = first.exchanges
    wait_for(lambda: first.exchanges > begun + 20)
    assert first.verdict is None
    first.leave()
    assert watches.ended == {}
    # A thread that asks the store while Python ends aborts the process: after all was done, with status -6.
    assert not any(thread.is_alive() for watch in (first, second) for thread in watch.threads)


def test_a_process_that_has_not_begun_has_time(watches, monkeypatch) -> None:
    monkeypatch.setattr(liveness, "ABSENT", 50)
    (watch,) = watches(2, only=0)
    wait_for(lambda: watch.exchanges > 20)
    assert watch.verdict is None
    wait_for(lambda: watch.verdict)
    assert watch.verdict.startswith("process 1 did not begin")


def test_requests_to_stop_end_what_saves_no_state_when_all_have_them(watches, monkeypatch) -> None:
    monkeypatch.setattr(liveness, "SUSPICIOUS", 10**6)
    first, second = watches(2)
    first.stopping = True
    begun = first.exchanges
    wait_for(lambda: first.exchanges > begun + 20)
    assert watches.ended == {}, "one alone may be asked because another has died"
    second.stopping = True
    wait_for(lambda: watches.ended == {0: None, 1: None})


def test_a_store_that_is_gone_ends_the_process(watches) -> None:
    class Lost(dist.HashStore):
        lost = False

        def add(self, key: str, amount: int) -> int:
            if self.lost:
                raise dist.DistNetworkError("connection reset")
            return super().add(key, amount)

    store = Lost()
    watches(2, only=1, store=store)
    store.lost = True
    wait_for(lambda: watches.ended)
    assert watches.ended[1].startswith("process 0, through which the processes meet, cannot be reached any more")


def test_the_first_process_of_a_machine_tells_what_several_would(watches, monkeypatch) -> None:
    monkeypatch.setattr(liveness, "PATIENCE", 0.3)
    first, second = watches(2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    first.fail("stopped: no", "no")
    assert not second.tells("no")
    assert not second.tells("process 0 failed: no")
    assert second.tells("another")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert first.tells("no")
