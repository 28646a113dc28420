"""Which process carries out a command, and which one speaks."""

import os
import sys
import warnings

import pytest

from genae.cli import processes


@pytest.fixture
def torchrun(monkeypatch):
    """``torchrun(1)``: as process 1 of 2."""

    def environment(rank):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", str(rank))

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
    monkeypatch.setattr(processes.time, "sleep", waited.append)  # in which torchrun ends the process
    for rank in (0, 1):
        torchrun(rank)
        assert genae("prior", "nothing", "mixture") == 2
    assert waited == [processes.GRACE]
    assert capsys.readouterr().err.count("nothing is not a run folder") == 2, "this process was not ended"
