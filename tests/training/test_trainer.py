"""A training survives being killed, interrupted and diverging, and stops when it should."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from genae.errors import GenaeError
from genae.model import load
from genae.storage import load_tensors, save_tensors
from genae.training.checkpoint import RunFolder
from genae.training.config import Config
from genae.training.start import train

SETTINGS = ["--data=digits", "--checkpoint-every=320", "--validate-every=320"]


def start(tiny_flags, run: Path, images: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "genae", "train", "stacked-wae", "--run", str(run), "--images", str(images)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([*command, *tiny_flags, *SETTINGS], env=environment, text=True, **pipes)


def wait_for_checkpoint(run: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if RunFolder(run).checkpoints() or process.poll() is not None:
            return
        time.sleep(0.05)


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(RunFolder(run).checkpoints()[-1] / "model.safetensors")


@pytest.mark.slow
def test_kill_and_interrupt_lose_nothing(tmp_path: Path, tiny_flags) -> None:
    whole = start(tiny_flags, tmp_path / "whole", 8000)
    assert whole.wait() == 0
    killed = start(tiny_flags, tmp_path / "parts", 8000)
    wait_for_checkpoint(tmp_path / "parts", killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    stopped = start(tiny_flags, tmp_path / "parts", 8000)
    time.sleep(4)
    stopped.send_signal(signal.SIGTERM)
    status = stopped.wait()
    assert status in (130, 0, -signal.SIGTERM), stopped.stdout.read()  # 0: it was faster; -15: still importing
    assert start(tiny_flags, tmp_path / "parts", 8000).wait() == 0
    ours, theirs = final_weights(tmp_path / "parts"), final_weights(tmp_path / "whole")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    images = [line["images"] for line in RunFolder(tmp_path / "parts").history() if "losses" in line]
    assert images == sorted(set(images)), "what was logged after the last checkpoint is logged once"


def test_interrupt_saves_and_says_so(tmp_path: Path, short_config) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    outcome = train(short_config(images=100_000, validate_every=80), tmp_path / "run", progress=interrupt)
    assert outcome.stopped == "interrupted"
    assert RunFolder(tmp_path / "run").checkpoints()[-1].name == f"images-{outcome.images:09d}"


def test_early_stopping(tmp_path: Path, short_config) -> None:
    still = {"learning_rate": 0.0, "norm": "none"}
    outcome = train(short_config(images=10_000, validate_every=8, patience=2, options=still), tmp_path / "r")
    assert outcome.stopped == "early"
    assert outcome.images == 24
    again = train(short_config(images=10_000, validate_every=8, patience=2, options=still), tmp_path / "r")
    assert again.images == 24, "a run that stopped early stays stopped"


def test_nan_names_update_iteration_and_checkpoint(tmp_path: Path, short_config) -> None:
    train(short_config(images=64), tmp_path / "run")
    checkpoint = RunFolder(tmp_path / "run").checkpoints()[-1] / "model.safetensors"
    tensors, metadata = load_tensors(checkpoint)
    tensors["decoder.linear.weight"][0, 0] = float("nan")
    del metadata["format"]
    save_tensors(checkpoint, tensors, metadata)
    with pytest.raises(GenaeError, match=r"the loss of update 'critic' became nan at image 64; .*images-000000064"):
        train(short_config(images=128), tmp_path / "run")


@pytest.mark.parametrize(("name", "keeps"), [("ae", True), ("alice", True), ("bigan", False), ("alae", False)])
def test_the_best_weights_are_kept_where_training_lowers_the_error(
    name: str, keeps: bool, tmp_path: Path, tiny_options
) -> None:
    settings = Config(name, "digits", images=64, precision="float32", options=tiny_options(name))
    train(settings, tmp_path / "run")
    assert (tmp_path / "run" / "best.safetensors").exists() == keeps
    kept = final_weights(tmp_path / "run")
    loaded = load(tmp_path / "run", device="cpu").autoencoder.state_dict()
    assert keeps or all(torch.equal(loaded[key], value) for key, value in kept.items())


def test_a_wrong_first_try_can_be_mended(tmp_path: Path, short_config) -> None:
    with pytest.raises(GenaeError, match="training diverged"):
        train(short_config(options={"learning_rate": 1e30}, images=4000, checkpoint_every=4000), tmp_path / "run")
    train(short_config(), tmp_path / "run")
    assert [line["images"] for line in RunFolder(tmp_path / "run").history()] == [64, 64], (
        "one log line, one validation"
    )


def test_a_finished_run_is_left_alone(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "checkpoints").rglob("*.safetensors")}
    assert train(short_config(), tmp_path / "run").images == 64
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "checkpoints").rglob("*.safetensors")}


@pytest.mark.slow
def test_a_healthy_training_is_measured_and_not_warned_about(tmp_path: Path, tiny_options) -> None:
    options = tiny_options("stacked-wae", code_dim=8)
    train(Config("stacked-wae", "digits", images=8000, validate_every=4000, options=options), tmp_path / "run")
    last = [line for line in RunFolder(tmp_path / "run").history() if "validation" in line][-1]
    assert {"code_std", "code_rank", "hole_normal", "diversity_uniform"} <= set(last["diagnostics"])
    assert last["diagnostics"]["code_std"] > 0.01


def test_patience_is_for_models_that_minimise_the_error(tmp_path: Path, tiny_options) -> None:
    still = {"learning_rate": 0.0, "norm": "none"}
    settings = Config("bigan", "digits", images=80, validate_every=8, options=tiny_options("bigan", **still))
    with pytest.raises(GenaeError, match="--patience waits for a lower reconstruction error, which bigan does not"):
        train(replace(settings, patience=2), tmp_path / "new")
    train(replace(settings, images=8), tmp_path / "old")  # as earlier versions began it
    stored = json.loads((tmp_path / "old" / "config.json").read_text())
    (tmp_path / "old" / "config.json").write_text(json.dumps(stored | {"patience": 2}))
    outcome = train(replace(settings, patience=2), tmp_path / "old")
    assert (outcome.stopped, outcome.images) == ("finished", 80)
