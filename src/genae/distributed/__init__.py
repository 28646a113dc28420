"""Several processes under torchrun: replicated networks, averaged gradients, no wrapper around the model."""

import atexit
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore

from genae.distributed import liveness
from genae.distributed.ahead import loaded_ahead
from genae.distributed.liveness import Watch, watch_group
from genae.errors import GenaeError, reason, told
from genae.version import VERSION

S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")

NUMBERED = ("cuda", "mps")
"""Kinds of devices that have a number, although a machine has one ``mps`` at most."""
MEETING = timedelta(minutes=10)
"""In which every process must have begun."""
FOR_EVER = timedelta(days=7)
"""Of collectives: the others may work for as long as they want; the heartbeat finds those that are lost."""

alike: dict[str, object] = {}
"""What must be the same in every process that joins, by the words that precede it in a sentence: `expect_same`."""

_watch: Watch | None = None
"""Of the other processes, while this is one of several."""

_alone: ContextVar[bool] = ContextVar("alone", default=False)
"""Whether process 0 works alone, in `by_writer`: a collective that it began there would wait for ever."""


def start(device: str) -> torch.device:
    """Join torchrun's process group if there is one, and pick this process's device.

    ``device`` is ``auto`` (a CUDA GPU, else Apple's GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``;
    another raises `GenaeError`. Apple's GPU is for one process: PyTorch has no collectives between processes there.
    """
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    name = device if device != "auto" else _best_device(several)
    if name in NUMBERED:
        name = f"{name}:{os.environ.get('LOCAL_RANK', 0) if name == 'cuda' else 0}"
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", *NUMBERED) or (colon and not number.isdecimal()):
        raise GenaeError(f"device is {device!r}; expected auto, cpu, cuda, cuda:NUMBER or mps")
    if kind == "mps" and (int(number) or not torch.backends.mps.is_available()):
        raise GenaeError(f"device is {device!r}; PyTorch can use {_apple_gpus()} on this machine")
    if kind == "mps" and several:
        raise GenaeError(f"device is {device!r}, which is for one process; start one, or choose --device cpu")
    target = torch.device(name)
    if kind == "cuda":
        if int(number) >= torch.cuda.device_count():
            raise GenaeError(f"device is {device!r}; PyTorch can use {torch.cuda.device_count()} GPUs on this machine")
        torch.cuda.set_device(target)
    if several and not dist.is_initialized():
        _meet("nccl" if target.type == "cuda" else "gloo")
        expect_same({"genae": VERSION, "PyTorch": torch.__version__}, "every process must run the same versions")
        expect_same(alike)
    return target


def _best_device(several: bool) -> str:
    """What ``auto`` means; several processes leave Apple's GPU alone."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() and not several else "cpu"


def _apple_gpus() -> str:
    return "one Apple GPU" if torch.backends.mps.is_available() else "no Apple GPU"


def _meet(backend: str) -> None:
    """Join the other processes, and begin to watch them. Raises `GenaeError`."""
    try:
        number, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store = liveness.open_store(number, MEETING)
        _begin_watch(number, count)
        group = PrefixStore(f"group/{liveness.attempt()}", store)
        dist.init_process_group(backend, store=group, rank=number, world_size=count, timeout=FOR_EVER)
    except KeyError as error:
        raise GenaeError(f"WORLD_SIZE is set, but not {error.args[0]}: start several processes with torchrun") from None
    except (ValueError, RuntimeError) as error:
        raise GenaeError(f"the {os.environ['WORLD_SIZE']} processes cannot meet: {reason(error)}") from None


def _begin_watch(number: int, count: int) -> None:
    global _watch
    _watch = watch_group(number, count)
    atexit.register(_watch.leave)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _announce_uncaught
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop)
    if threading.current_thread() is threading.main_thread():
        hearing, waking = socket.socketpair()
        waking.setblocking(False)
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_hear_signals, args=(_watch, hearing, waking), daemon=True).start()


def _hear_signals(watch: Watch, hearing: socket.socket, _waking: socket.socket) -> None:
    """Take note of Ctrl-C and SIGTERM also while the main thread waits in a collective: no handler runs there."""
    while numbers := hearing.recv(64):
        watch.suspicious |= bool({signal.SIGINT, signal.SIGTERM} & {*numbers})
        watch.stopping |= signal.SIGTERM in numbers and signal.getsignal(signal.SIGTERM) is _stop


def _stop(*_: object) -> None:
    """torchrun asks this process to stop: all are to stop, or another one has died. The watch finds out which."""
    if _watch:
        _watch.suspicious = _watch.stopping = True


def expect_loss() -> None:
    """Something happened, such as a request to stop, which the death of another process would explain."""
    if _watch:
        _watch.suspicious = True


def expect_all_alive() -> None:
    """Raise `GenaeError` if another process is known to have failed. Costs nothing."""
    if _watch and _watch.verdict is not None:
        raise GenaeError(_watch.verdict)


@contextmanager
def losses_explained() -> Iterator[None]:
    """Inside, a collective that fails raises a `GenaeError` that names the process that was lost."""
    try:
        yield
    except RuntimeError as error:
        if _watch is None or not (isinstance(error, dist.DistError) or _of_collective(str(error))):
            raise
        sentence = _watch.explain() or (
            f"process {dist.get_rank()} lost its connection to the others: {reason(error)}; start the command again"
        )
        raise GenaeError(sentence) from None


@contextmanager
def failing_together() -> Iterator[None]:
    """What leaves this block ends the process: the others are told, and end with a sentence that names it."""
    try:
        with losses_explained():
            yield
    except BaseException as error:
        announce(error)
        raise


def announce(error: BaseException) -> None:
    """Tell the other processes that this one ends with an error, also where it has not met them yet."""
    if isinstance(error, SystemExit) and not error.code:
        return
    if _watch is None and "RANK" in os.environ and (os.environ["RANK"] != "0" or liveness.under_torchrun()):
        with suppress(KeyError, ValueError, RuntimeError):
            _begin_watch(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    if _watch and not _watch.ending.is_set():
        own = isinstance(error, GenaeError) or hasattr(error, "format_message")
        _watch.fail(f"stopped: {told(error)}" if own else _failure(error), told(error))


def tells(message: str) -> bool:
    """Whether this process tells the error with which it ends, not the first process of its machine: that ends with
    the same. Waits a little to learn it."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        return True
    if _watch is None:  # torchrun ends this process in the meantime, if the first one fails as well
        time.sleep(liveness.PATIENCE)
        return True
    return _watch.tells(message)


def _announce_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    announce(error)
    sys.__excepthook__(kind, error, trace)


def _of_collective(message: str) -> bool:
    return any(word in message for word in ("gloo", "Gloo", "NCCL", "ProcessGroup"))


def active() -> bool:
    """Whether this is one of several processes that work together; not inside `by_writer`."""
    return not _alone.get() and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """Number of this process, 0 for the one that writes."""
    return dist.get_rank() if active() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if active() else 1


def barrier() -> None:
    """Wait for every process."""
    if active():
        dist.barrier()


def writer_first(make: Callable[[], T]) -> T:
    """Process 0 makes it (a download, a cached file) while the others wait; then they find it made.

    Where process 0 fails, so do the others, as in `by_writer`.
    """
    made: list[T] = []
    by_writer(lambda: made.append(make()))
    return made[0] if made else make()


def by_writer(act: Callable[[], T]) -> T:
    """Process 0 acts alone; every process gets what it got.

    Inside ``act`` there is one process: `active` is False, `rank` 0 and `world_size` 1. What ``act`` raises, process 0
    raises; the others raise `GenaeError` with the same sentence, or with one that says how process 0 failed.
    """
    if not active():
        return act()
    result: list[Any] = [None, None]
    failure: BaseException | None = None
    if rank() == 0:
        token = _alone.set(True)
        try:
            result[0] = act()
        except BaseException as error:  # also Ctrl-C: the others wait for what comes of it
            failure, result[1] = error, _sentence(error)
        finally:
            _alone.reset(token)
    dist.broadcast_object_list(result)
    if failure is not None:
        raise failure
    if result[1] is not None:
        raise GenaeError(result[1])
    return result[0]


def _sentence(error: BaseException) -> str:
    """What the other processes say of an error of this one."""
    return str(error) if isinstance(error, GenaeError) else f"process {dist.get_rank()} {_failure(error)}"


def _failure(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "was interrupted"
    kind = "" if isinstance(error, OSError) else f" ({type(error).__name__})"
    return f"failed: {reason(error)}{kind}"


def in_order(items: Sequence[S], load: Callable[[S], T], compute: Callable[[T], U]) -> Iterator[U]:
    """``compute(load(item))`` of every item, in order, in every process; each is computed by one process alone.

    The next item is loaded in a thread while this one is computed. As every item is computed as in a single process and
    results come in the same order, what is summed over them is the same to the last bit. ``U`` is tensors on the CPU,
    or containers of them. What one process raises, the others raise as `GenaeError`.
    """
    with closing(loaded_ahead(items[rank() :: world_size()], load)) as loaded:
        results = map(compute, loaded)
        if active():
            yield from _of_every_process(results, len(items))
        else:
            yield from results


def _of_every_process(results: Iterator[U], count: int) -> Iterator[U]:
    """``count`` results in the order of one process, each of them one of the ``results`` of one of the processes."""
    for first in range(0, count, world_size()):
        gathered: list[Any] = [None] * world_size()
        failure: BaseException | None = None
        mine: tuple[U | None, str | None]
        try:
            mine = next(results, None), None
        except BaseException as error:
            failure, mine = error, (None, _sentence(error))
        dist.all_gather_object(gathered, mine)
        if failure is not None:
            raise failure
        for _, sentence in gathered:
            if sentence is not None:
                raise GenaeError(sentence)
        yield from (result for result, _ in gathered[: count - first])


def summed(x: Tensor) -> Tensor:
    """Sum of a tensor over the processes, in place."""
    if active():
        dist.all_reduce(x)
    return x


def average(x: Tensor) -> Tensor:
    """Mean of a tensor over the processes, in place."""
    return summed(x).div_(world_size()) if active() else x


def gathered(x: Tensor) -> Tensor:
    """The tensors [...] of all processes, in their order: [processes, ...]."""
    every = x.new_empty(world_size(), *x.shape)
    if active():
        dist.all_gather(list(every.unbind()), x)
        return every
    return every.copy_(x)


def look(flag: bool, following: int, device: torch.device) -> tuple[bool, int]:
    """Whether ``flag`` is set in any process, and process 0's ``following``, in every process: one small all_reduce."""
    if not active():
        return flag, following
    flags, following = summed(torch.tensor([float(flag), following * (rank() == 0)], device=device)).tolist()
    return flags > 0, int(following)


def expect_same(values: Mapping[str, object], hint: str = "every process must be started alike") -> None:
    """Raise `GenaeError` in every process if one has another value than process 0; it names the process and both.

    ``values`` are by the words that precede them in the sentence, such as ``--seed``; ``hint`` ends it.
    """
    if not active():
        return
    gathered: list[Any] = [None] * world_size()
    dist.all_gather_object(gathered, dict(values))
    for other, theirs in enumerate(gathered):
        for name in gathered[0] | theirs:
            mine, other_value = gathered[0].get(name), theirs.get(name)
            if mine != other_value:
                raise GenaeError(f"process {other} has {name} {other_value}, process 0 has {mine}: {hint}")


def check_replicas(model: nn.Module) -> None:
    """Raise `GenaeError` if a process holds other parameters than process 0, naming it."""
    if not active():
        return
    sums = torch.stack([p.detach().double().sum() for p in model.parameters()])
    gathered = [torch.empty_like(sums) for _ in range(world_size())]
    dist.all_gather(gathered, sums)
    for other, values in enumerate(gathered):
        if not torch.equal(values, gathered[0]):
            raise GenaeError(
                f"process {other} holds other weights than process 0, although they should be replicas; nothing was "
                "saved: the same command resumes from the last checkpoint"
            )
