"""Which processes of a group are alive.

Every process counts its beats in the store through which the processes met. A process that fails leaves a sentence
there; one that stops beating is named by the others. Then all end, also those that wait in a collective for a process
that will not come. Time-outs of collectives play no part, so work of any length in one process is no failure.

Silence is counted in beats of the process that listens, not in seconds: where all were suspended, none is lost.
"""

import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from datetime import timedelta
from threading import Event, Thread
from typing import NoReturn

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store

BEAT = 1.0
"""Seconds between two beats."""
SILENT = 30
"""Beats after which a silent process is lost."""
SUSPICIOUS = 8
"""The same when a collective failed or this process was asked to stop, as torchrun asks when another has died. It kills
what has not ended after 30 seconds."""
ABSENT = 600
"""Beats in which every process must have begun."""
GRACE = 4.0
"""Seconds in which the main thread can end by itself when a process is lost."""
PATIENCE = 3.0
"""Seconds in which other processes of this machine learn what the first of them says."""
STATUS = 2
"""Exit status of a process that another one's failure ended."""


class Watch:
    """Beats of this process, and what it hears of the others, in threads of their own.

    ``store`` is for this watch alone: a store serves one call after another, and the group's may be waiting in one.
    ``hosts`` says that the store lives in this process.
    """

    def __init__(self, store: Store, rank: int, world_size: int, hosts: bool) -> None:
        self.store = store
        self.rank = rank
        self.others = [other for other in range(world_size) if other != rank]
        self.hosts = hosts
        self.verdict: str | None = None
        """The sentence with which this process must end."""
        self.suspicious = False
        """Whether something has happened that the death of another process explains."""
        self.stopping = False
        """Whether this process was asked to stop while nothing saves its state."""
        self.ending = Event()
        """Set when the main thread ends by itself, well or with an error."""
        self.exchanges = 0
        self.beats = dict.fromkeys(self.others, 0)
        self.silence = dict.fromkeys(self.others, 0)
        store.set(f"who/{rank}", f"pid {os.getpid()} on {socket.gethostname()}")
        store.add(f"beat/{rank}", 1)
        self.threads = [Thread(target=work, daemon=True) for work in (self._beat, self._judge)]
        for thread in self.threads:
            thread.start()

    def _beat(self) -> None:
        """Talk to the store. Nothing here may wait for another process."""
        failures = 0
        while failures < 3 and not self.ending.wait(BEAT):
            try:
                self._exchange()
                self.exchanges += 1
                failures = 0
            except RuntimeError:  # the base of all errors of stores
                failures += 1
        if failures:
            self.verdict = self.verdict or self._store_lost()

    def _exchange(self) -> None:
        self.store.add(f"beat/{self.rank}", 1)
        self.listen()
        for other in self.others:
            beats = self.store.add(f"beat/{other}", 0)
            self.silence[other] = self.silence[other] + 1 if beats == self.beats[other] else 0
            self.beats[other] = beats
        for other, silence in self.silence.items():
            limit = SUSPICIOUS if self.suspicious else SILENT if self.beats[other] else ABSENT
            if silence > limit and not self.store.check([f"left/{other}"]):
                self.announce(other, self._lost(other))

    def listen(self) -> None:
        """Take the verdict from the store, if there is one."""
        if self.verdict is None and self.store.check(["verdict"]):
            self._hear(self.store.get("verdict"))

    def announce(self, rank: int, sentence: str) -> None:
        """Say how process ``rank`` failed. The first to be announced is everybody's verdict."""
        self._hear(self.store.compare_set("verdict", "", json.dumps([rank, sentence])))

    def _hear(self, announced: bytes) -> None:
        if self.verdict is None:
            rank, sentence = json.loads(announced)
            self.verdict = f"process {rank} {sentence}"
            self.store.add("heard", 1)

    def fail(self, sentence: str, message: str) -> None:
        """Announce that this process fails, which says ``message``, and wait until the others have heard it: the store
        may end with it."""
        self.ending.set()
        try:
            self.store.set(f"says/{self.rank}", message)
            self.announce(self.rank, sentence)
            for _ in range(50):
                living = [other for other in self.others if self.silence[other] <= SUSPICIOUS]
                if self.store.add("heard", 0) > len(living):
                    return
                time.sleep(0.1)
        except RuntimeError:
            return

    def tells(self, message: str) -> bool:
        """Whether nobody else on this machine says so: the first process there would."""
        first = self.rank - int(os.environ.get("LOCAL_RANK", 0))
        if first == self.rank:
            return True
        try:
            for _ in range(round(PATIENCE / 0.1)):
                if self.store.check([f"says/{first}"]):
                    said = self.store.get(f"says/{first}").decode()
                    return not said or not message.endswith(said)  # "process 0 failed: " may precede it
                time.sleep(0.1)
        except RuntimeError:
            pass
        return True

    def explain(self) -> str | None:
        """Why a collective failed: waits until a process is known to be lost; None where all seem to be alive."""
        self.suspicious = True
        for _ in range(round((SUSPICIOUS + 4) * BEAT / 0.1)):
            if self.verdict is not None:
                break
            time.sleep(0.1)
        return self.verdict

    def leave(self) -> None:
        """This process ends. Where it ends well, the one that hosts the store waits for the others to end."""
        if not self.ending.is_set():
            self._wait_for_others()
            self.ending.set()
        for thread in self.threads:  # one that asks the store while Python ends would abort the process
            thread.join(max(10 * BEAT, 1.0))

    def _wait_for_others(self) -> None:
        try:
            self.store.set(f"left/{self.rank}", "")
            while self.hosts and self.verdict is None:
                if self.store.check([f"left/{other}" for other in self.others]):
                    break
                time.sleep(0.1)
        except RuntimeError:
            pass  # the store has ended: nobody needs to know any more

    def _judge(self) -> None:
        """End the process when the main thread cannot: it may wait for a process that is lost."""
        heard, stuck, stopping = 0, 0, 0
        while not self.ending.wait(BEAT):
            stuck = stuck + 1 if self.exchanges == heard else 0
            heard = self.exchanges
            if stuck > SILENT:
                self.verdict = self.verdict or self._store_lost()
            if self.verdict is not None:
                if not self.ending.wait(GRACE):
                    self._exit(self.verdict)
                return
            stopping = stopping + 1 if self.stopping else 0
            if stopping and (stopping > SUSPICIOUS + 4 or self._all_stop()):
                self._exit(None)

    def _all_stop(self) -> bool:
        try:
            self.store.set(f"stopping/{self.rank}", "")
            return self.store.check([f"stopping/{other}" for other in self.others])
        except RuntimeError:
            return False

    def _exit(self, sentence: str | None) -> NoReturn:
        if sentence is not None:
            with suppress(RuntimeError):
                self.store.set(f"says/{self.rank}", sentence)
        if sentence is not None and self.tells(sentence):
            if sys.stderr.isatty():
                print("\033[?25h", end="", file=sys.stderr)  # a progress bar hides the cursor
            print(f"genae: error: {sentence}", file=sys.stderr, flush=True)
        os._exit(128 + signal.SIGTERM if sentence is None else STATUS)

    def _lost(self, rank: int) -> str:
        try:
            who = f" ({self.store.get(f'who/{rank}').decode()})" if self.store.check([f"who/{rank}"]) else ""
        except RuntimeError:
            who = ""
        if not self.beats[rank]:
            return "did not begin: it was killed, failed, or cannot be reached; start every process again"
        return (
            f"{who.strip()} stopped answering: it was killed, ran out of memory, or cannot be reached; "
            "start the same command again: a training resumes from its last checkpoint"
        ).strip()

    def _store_lost(self) -> str:
        where = "torchrun" if under_torchrun() else "process 0"
        return (
            f"{where}, through which the processes meet, cannot be reached any more: it was killed, or its machine or "
            "network failed; start the same command again: a training resumes from its last checkpoint"
        )


def under_torchrun() -> bool:
    """Whether torchrun hosts the store: then it survives every process."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def attempt() -> str:
    """How often torchrun has started the processes again, as ``--max-restarts`` lets it; its store stays the same."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def open_store(rank: int, timeout: timedelta) -> TCPStore:
    """The store of the group: torchrun's, else that of process 0, which waits for nobody.

    Raises KeyError without the addresses that torchrun gives, and RuntimeError where nothing answers in time.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    hosts = rank == 0 and not under_torchrun()
    return TCPStore(host, port, is_master=hosts, wait_for_workers=False, timeout=timeout)


def watch_group(rank: int, world_size: int) -> Watch:
    """Begin to beat, and to listen to the other processes, once the group has a store."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    client = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=20))
    store = PrefixStore(f"genae/{attempt()}", client)
    return Watch(store, rank, world_size, hosts=rank == 0 and not under_torchrun())
