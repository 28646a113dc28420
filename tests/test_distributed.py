"""Devices, and several processes under torchrun."""

import os
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
