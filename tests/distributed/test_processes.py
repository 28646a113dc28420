"""Devices, and several processes under torchrun."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.distributed as dist

from genae import distributed
from genae.errors import GenaeError
from genae.training.checkpoint import RunFolder
from genae.training.start import train
from genae.version import VERSION

SETTINGS = ["--data=digits", "--checkpoint-every=320", "--validate-every=320"]


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:", "cuda:99"])
def test_devices_that_are_not_there(device: str, tmp_path: Path, short_config) -> None:
    with pytest.raises(GenaeError, match=f"device is '{device}'"):
        train(short_config(device=device), tmp_path / "run")


def test_requests_to_stop_are_heard_while_the_main_thread_waits(monkeypatch) -> None:
    watch = SimpleNamespace(suspicious=False, stopping=False, leave=lambda: None)
    monkeypatch.setattr(distributed, "_watch", None)
    monkeypatch.setattr(distributed, "watch_group", lambda *_: watch)
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        distributed._begin_watch(0, 2)
        monkeypatch.setattr(distributed, "_watch", None)  # as if no handler ran
        signal.signal(signal.SIGINT, lambda *_: None)
        for number, heard in ((signal.SIGINT, (True, False)), (signal.SIGTERM, (True, True))):
            signal.raise_signal(number)
            for _ in range(500):
                if (watch.suspicious, watch.stopping) == heard:
                    break
                time.sleep(0.01)
            assert (watch.suspicious, watch.stopping) == heard
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_processes_that_torchrun_starts_again_meet_each_other_and_not_those_before(monkeypatch) -> None:
    kept, groups = dist.HashStore(), []
    monkeypatch.setattr(distributed.liveness, "open_store", lambda *_: kept)
    monkeypatch.setattr(distributed, "_begin_watch", lambda *_: None)
    monkeypatch.setattr(dist, "init_process_group", lambda *_, store, **__: groups.append(store))
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    for attempt in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt)
        distributed._meet("gloo")
        assert groups[-1].add("address", 1) == 1, "nobody's address is there"


@pytest.mark.cpu
@pytest.mark.slow
def test_two_processes_under_torchrun_train_what_one_does(tmp_path: Path, tiny_flags) -> None:
    run = ["-m", "--", "genae", "train", "stacked-wae", *tiny_flags, *SETTINGS, "--images", "640", "--run"]
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29511"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*two, *run, tmp_path / "two"], env=environment, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([sys.executable, *run[:1], *run[2:], tmp_path / "one"], env=environment, check=True)
    one, both = (RunFolder(tmp_path / name).history()[-1]["validation"]["mse"] for name in ("one", "two"))
    assert both == pytest.approx(one, rel=0.05)
    with RunFolder(tmp_path / "two").locked():
        refused = subprocess.run([*two, *run, tmp_path / "two"], env=environment, stderr=subprocess.PIPE, text=True)
    assert refused.returncode != 0
    assert f"is being written by process {os.getpid()}" in refused.stderr
    assert "Gloo" not in refused.stderr


def together(tmp_path: Path, script: str, processes: int = 2, timeout: float = 120) -> list[tuple[int, str, str]]:
    """Run a script in several processes that meet as under torchrun, without its agent: status and outputs of each."""
    (tmp_path / "script.py").write_text(script)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment |= {"WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [sys.executable, tmp_path / "script.py"], env=environment | {"RANK": str(i), "LOCAL_RANK": str(i)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        )
        for i in range(processes)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=timeout) for process in started]
    return [(process.returncode, *output) for process, output in zip(started, outputs, strict=True)]


SHARED_WORK = """
from dataclasses import replace
import os
import torch
from genae import distributed
from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.training.config import Config
from genae.training.start import train
from genae.data.store import MemoryStore

if os.environ["RANK"] == "2":
    distributed.VERSION = "0.0.1"
try:
    distributed.start("cpu")
except GenaeError as error:
    print(error)
mine = distributed.rank()

def alone():
    assert not distributed.active() and distributed.rank() == 0 and distributed.world_size() == 1
    rows = list(distributed.in_order([1, 2, 3], lambda x: x, lambda x: (x, distributed.active())))
    return rows, distributed.writer_first(lambda: "made")

assert distributed.by_writer(alone) == ([(1, False), (2, False), (3, False)], "made")
assert distributed.active() and distributed.rank() == mine

def broken():
    raise ZeroDivisionError("no such number")

for work in (distributed.by_writer, distributed.writer_first):
    try:
        work(broken)
    except Exception as error:
        print(type(error).__name__, error)

def compute(x):
    if x == 3:
        raise GenaeError("item 3 is bad")
    return x

seen = []
try:
    for result in distributed.in_order([0, 1, 2, 3, 4], lambda x: x, compute):
        seen.append(result)
except GenaeError as error:
    print(seen, error)
print(distributed.look(mine == 1, 5 + mine, torch.device("cpu")))
try:
    distributed.expect_same({"--seed": 0, "--width": mine})
except GenaeError as error:
    print(error)
try:
    distributed.check_replicas(torch.nn.Linear(1, 1) if mine else torch.nn.Linear(1, 1, dtype=torch.float64))
except GenaeError as error:
    print(error, flush=True)
digits = open_data("digits")
if mine == 2:
    digits = replace(digits, store=MemoryStore(digits.stored(digits.split("all")).flip(0)))
for data, flags in ((digits, {}), (None, {"seed": mine}), (None, {"patience": 1})):
    try:
        train(Config("alae", "digits", **flags), "run", data=data)
    except GenaeError as error:
        print(error, flush=True)
if mine == 1:
    raise OSError(28, "No space left on device", "cache/x")
with distributed.failing_together():
    distributed.barrier()
"""


@pytest.mark.cpu
@pytest.mark.slow
def test_what_one_process_fails_at_reaches_the_others(tmp_path: Path) -> None:
    ends = together(tmp_path, SHARED_WORK, processes=3)
    (_, first, trace), (_, second, _), (_, third, _) = ends
    told = "GenaeError process 0 failed: no such number (ZeroDivisionError)"
    assert first.splitlines()[1:3] == ["ZeroDivisionError no such number"] * 2, trace
    assert second.splitlines()[1:3] == third.splitlines()[1:3] == [told] * 2
    assert first.splitlines()[3:] == second.splitlines()[3:] == third.splitlines()[3:]
    version = f"process 2 has genae 0.0.1, process 0 has {VERSION}: every process must run the same versions"
    assert {output.splitlines()[0] for output in (first, second, third)} == {version}
    assert first.splitlines()[3:6] == [
        "[0, 1, 2] item 3 is bad",
        "(True, 5)",
        "process 1 has --width 1, process 0 has 0: every process must be started alike",
    ]
    assert first.splitlines()[6].startswith("process 1 holds other weights than process 0")
    assert first.splitlines()[7].startswith("process 2 has images of digits with the hash ")
    assert first.splitlines()[8:] == [
        "process 1 has --seed 1, process 0 has 0: every process must be started alike",
        "--patience waits for a lower reconstruction error, which alae does not minimise: leave it out",
    ]
    assert all(status > 0 for status, _, _ in ends), "one failed for itself, while the others waited for it"
    for _, _, errors in (ends[0], ends[2]):
        assert "process 1 failed: [Errno 28] No space left on device: 'cache/x'" in errors


def torchrun(run: Path, flags: list[str], processes: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    command += ["--", "genae", "train", "stacked-wae", *flags, *SETTINGS, "--images", "640000", "--run", str(run)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, **pipes)


def wait_for_checkpoint_after(run: Path, images: int, process: subprocess.Popen[str]) -> int:
    for _ in range(1200):
        names = [int(path.name.removeprefix("images-")) for path in RunFolder(run).checkpoints()]
        if max(names, default=0) > images:
            return max(names)
        if process.poll() is not None:
            break
        time.sleep(0.05)
    pytest.fail(f"no checkpoint came: {process.communicate()}")


@pytest.mark.cpu
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes as Linux lists them")
def test_a_killed_process_is_named_and_the_same_command_resumes(tmp_path: Path, tiny_flags) -> None:
    killed = torchrun(tmp_path / "run", tiny_flags)
    saved = wait_for_checkpoint_after(tmp_path / "run", 0, killed)
    children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
    (pid,) = (pid for pid in children if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())
    os.kill(int(pid), signal.SIGKILL)
    _, errors = killed.communicate(timeout=60)
    told = [line for line in errors.splitlines() if line.startswith("genae: error: ")]
    assert len(told) == 1, errors
    assert re.search(rf"process 1 \(pid {pid} on .*\) stopped answering: it was killed", told[0])
    assert "genae/" not in errors, "a stack trace"
    assert killed.returncode != 0
    resumed = torchrun(tmp_path / "run", tiny_flags)
    newer = wait_for_checkpoint_after(tmp_path / "run", saved, resumed)
    resumed.send_signal(signal.SIGINT)  # Ctrl-C
    output, _ = resumed.communicate(timeout=60)
    stopped = re.search(r"interrupted and saved at ([\d,]+) images", output)
    assert stopped, output
    at = int(stopped[1].replace(",", ""))
    assert at >= newer
    assert RunFolder(tmp_path / "run").checkpoints()[-1].name == f"images-{at:09d}"


SHARED_FILE = """
import json
from collections import Counter
from dataclasses import replace

import torch
from safetensors.torch import load_file

from genae import distributed
from genae.data.sources import open_data
from genae.data.store import MemoryStore, Store
from genae.training.checkpoint import RunFolder
from genae.training.config import Config
from genae.training.start import train


class InFile(Store):
    def __init__(self, store):
        self.store, self.shape, self.dtype, self.rows = store, store.shape, store.dtype, Counter()

    def __len__(self):
        return len(self.store)

    def read(self, indices, halvings=0):
        self.rows.update(indices.tolist())
        return self.store.read(indices)

    def digest(self, before, after):
        return self.store.digest(before, after)


distributed.start("cpu")
digits = open_data("digits")
kept = replace(digits, store=InFile(digits.store))
options = {"width": 4, "code_dim": 6, "batch_size": 9}
config = Config("ae", "digits", images=72, precision="float32", device="cpu", options=options)
weights = []
for name, data in (("memory", digits), ("file", kept)):
    train(config, name, data=data)
    distributed.barrier()
    weights.append(load_file(RunFolder(name).checkpoints()[-1] / "model.safetensors"))
assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
trained = set(digits.split("train").tolist())
print(json.dumps({row: times for row, times in kept.store.rows.items() if row in trained}))
"""


@pytest.mark.cpu
def test_processes_read_their_own_rows_of_one_file(tmp_path: Path) -> None:
    ended = together(tmp_path, SHARED_FILE)
    assert [status for status, _, _ in ended] == [0, 0], ended
    first, second = (json.loads(output) for _, output, _ in ended)
    assert not first.keys() & second.keys()
    assert (sum(first.values()), sum(second.values())) == (8 * 4, 8 * 5), "each batch of 9 is divided into 4 and 5"
