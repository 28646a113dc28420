"""Devices, and several processes under torchrun."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from genae.errors import GenaeError
from genae.training.checkpoint import RunFolder
from genae.training.start import train

SETTINGS = ["--data=digits", "--checkpoint-every=320", "--validate-every=320"]


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99"])
def test_devices_that_are_not_there(device: str, tmp_path: Path, short_config) -> None:
    with pytest.raises(GenaeError, match=f"device is '{device}'"):
        train(short_config(device=device), tmp_path / "run")


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
import torch
from genae import distributed
from genae.errors import GenaeError

distributed.start("cpu")
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
    print(error)
"""


@pytest.mark.slow
def test_what_process_0_does_alone_and_fails_at_reaches_the_others(tmp_path: Path) -> None:
    (status, first, trace), (other_status, second, other_trace) = together(tmp_path, SHARED_WORK)
    assert status == other_status == 0, trace + other_trace
    told = "GenaeError process 0 failed: no such number (ZeroDivisionError)"
    assert first.splitlines()[:2] == ["ZeroDivisionError no such number"] * 2
    assert second.splitlines()[:2] == [told] * 2
    assert first.splitlines()[2:] == second.splitlines()[2:]
    assert first.splitlines()[2:5] == [
        "[0, 1] item 3 is bad",
        "(True, 5)",
        "process 1 has --width 1, process 0 has 0: every process must be started alike",
    ]
    assert "process 1 holds other weights than process 0" in first
