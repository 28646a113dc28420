"""Which process carries out a command, and which one speaks; two do what one does."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch

from genae import distributed
from genae.cli import processes
from genae.distributed import liveness
from genae.storage import load_tensors


@pytest.fixture
def torchrun(monkeypatch):
    """``torchrun(1)``: as process 1 of 2."""

    def environment(rank):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("LOCAL_RANK", str(rank))

    monkeypatch.setattr(sys, "stdout", sys.stdout)
    with warnings.catch_warnings():
        yield environment


@pytest.mark.parametrize("arguments", ["sample RUN", "list", "--version", "", "train-classifier --data digits"])
def test_process_0_carries_out_what_is_not_shared(arguments, torchrun, genae, capsys):
    torchrun(1)
    assert genae(*arguments.split()) == 0
    assert capsys.readouterr() == ("", "")
    torchrun(0)
    processes.take_roles(arguments.split())
    assert "WORLD_SIZE" not in os.environ, "it waits for nobody"


def test_the_others_share_a_command_in_silence(torchrun, capsys):
    for rank, said in ((0, "aloud\n"), (1, "")):
        torchrun(rank)
        processes.take_roles(["prior", "RUN", "mixture"])
        assert os.environ["WORLD_SIZE"] == "2"
        print("aloud")
        assert capsys.readouterr().out == said


def test_what_fails_in_every_process_is_said_once(torchrun, genae, capsys, monkeypatch):
    waited = []
    monkeypatch.setattr(time, "sleep", waited.append)  # in which torchrun ends the process
    for rank in (0, 1):
        torchrun(rank)
        assert genae("prior", "nothing", "mixture") == 2
    assert waited == [liveness.PATIENCE]
    assert capsys.readouterr().err.splitlines() == [
        f"genae: error: process {rank}: nothing is not a run folder; a prior is kept in one" for rank in (0, 1)
    ], "this process was not ended"


def test_an_error_is_announced_in_the_words_in_which_it_is_told(torchrun, genae, capsys, monkeypatch):
    announced = []

    class Heard:
        ending = threading.Event()

        def fail(self, sentence, message):
            announced.append(message)

        def tells(self, message):
            return message not in announced

    monkeypatch.setattr(distributed, "_watch", Heard())
    torchrun(1)
    assert genae("train", "stacked-wae") == 2
    assert announced == ["Missing option '--run'."]
    assert capsys.readouterr().err == "", "process 0 says it"


def test_processes_are_compared_by_their_arguments_before_they_work(torchrun, monkeypatch):
    monkeypatch.setattr(distributed, "alike", {})
    torchrun(1)
    with processes.together(["evaluate", "runs/x", "--device", "cuda:1", "--metrics", "mse", "--data-root=/data"]):
        assert distributed.alike == {"the arguments": "'evaluate runs/x --metrics mse'"}
    meetings = []
    monkeypatch.setattr(distributed, "_meet", lambda _: None)
    monkeypatch.setattr(distributed, "expect_same", lambda values, *_: meetings.append(values))
    distributed.start("cpu")
    assert distributed.alike in meetings


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK"])
def test_an_environment_without_numbers(name, torchrun, genae, capsys, monkeypatch):
    torchrun(0)
    monkeypatch.setenv(name, "two")
    assert genae("list") == 2
    assert capsys.readouterr().err.startswith(f"genae: error: {name} is 'two' in the environment; expected a number")


SHARED = """
prior run mixture --components 2
prior run vae --name small --images 640 --batch-size 64 --width 8
evaluate run --metrics mse,ssim,icp,fd,kid,prdc,nearest,codes,1nn --samples 1000
probe run --frozen conv1 --heads mlp,knn --epochs 1
reproduce aaae/table1 --budget smoke --rows aaae-plus --columns celeba_mse --runs runs --out results
sample run --prior mixture
list
"""
LAUNCHED = """
import sys
from genae.cli import main
from genae import distributed
from genae.errors import GenaeError
from genae.reproduction import table

def lose(*_, **__):
    raise GenaeError("the disk is gone")

for line in [*open("commands"), "reproduce aaae/table1 --budget smoke --rows aaae --columns mnist_mse --out lost"]:
    if "lost" in line and distributed.rank() == 1:
        table.open_data = lose
    sys.argv = ["genae", *line.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, line
"""


def files_of(folder: Path) -> set[str]:
    """Names in a folder; codes are named by a hash of the weights, which rounding changes."""
    names = (str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    return {re.sub("train-[0-9a-f]{16}", "train-WEIGHTS", name) for name in names}


@pytest.mark.cpu
@pytest.mark.slow
def test_two_processes_under_torchrun_do_what_one_does(small_run, tmp_path, genae, monkeypatch, capfd):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        shutil.copytree(small_run, folder / "run", ignore=shutil.ignore_patterns("metrics.jsonl", "priors", "codes"))
    monkeypatch.chdir(one)
    capfd.readouterr()
    for line in SHARED.split("\n")[1:-1]:
        assert genae(*line.split()) == 0
    said = capfd.readouterr().out

    cache = tmp_path / "cache"  # the references are computed by both, too
    shutil.copytree(Path(os.environ["GENAE_CACHE"]) / "classifiers", cache / "classifiers")
    (two / "script.py").write_text(LAUNCHED)
    (two / "commands").write_text(SHARED.strip())
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517", "script.py"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GENAE_CACHE": str(cache)}
    launched = [sys.executable, *launcher]
    done = subprocess.run(launched, cwd=two, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(said), "one process prints"
    added = {"script.py", "commands", "lost/aaae-table1-smoke.json", "lost/aaae-table1-smoke.md"}
    assert files_of(two) == files_of(one) | added
    lost = json.loads((two / "lost" / "aaae-table1-smoke.json").read_text())["rows"]["aaae"]["mnist_mse"]["why"]
    assert lost.startswith("process 1 has images of digits with the hash none (the disk is gone), process 0 has")

    assert (one / "run" / "metrics.jsonl").read_text() == (two / "run" / "metrics.jsonl").read_text(), "to the last bit"
    (codes,) = (one / "run" / "codes").iterdir()
    assert codes.read_bytes() == (two / "run" / "codes" / codes.name).read_bytes()
    for file in ("priors/mixture", "priors/small"):
        ours, theirs = (load_tensors((folder / "run" / file).with_suffix(".safetensors"))[0] for folder in (one, two))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), file
    cells = [
        json.loads((folder / "results" / "aaae-table1-smoke.json").read_text())["rows"]["aaae-plus"]["celeba_mse"]
        for folder in (one, two)
    ]
    assert cells[1]["values"]["0"] == pytest.approx(cells[0]["values"]["0"], rel=1e-3)
