"""The run folder: what is in it, a full disk, second writers, damaged files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genae.errors import GenaeError
from genae.model import load
from genae.storage import load_tensors, save_tensors
from genae.training.checkpoint import RunFolder
from genae.training.config import Config
from genae.training.start import train


def test_run_folder_contents(tmp_path: Path, short_config) -> None:
    train(short_config(images=640, checkpoint_every=128, validate_every=128), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert [c.name for c in folder.checkpoints()] == ["images-000000512", "images-000000640"]
    assert folder.config == Config.from_json((tmp_path / "run" / "config.json").read_text(), "config.json")
    validations = [line["validation"] for line in folder.history() if "validation" in line]
    assert len(validations) == 5
    assert set(validations[0]) == {"mse", "mse_normal", "mse_uniform"}
    best, metadata = load_tensors(tmp_path / "run" / "best.safetensors")
    assert json.loads(metadata["image_shape"]) == [1, 8, 8]
    number = min(range(5), key=lambda i: validations[i]["mse"])
    assert metadata["images"] == str(128 * (number + 1)), "the best weights are those of the lowest validation MSE"
    assert not list((tmp_path / "run").rglob("*.tmp"))
    assert not list((tmp_path / "run").rglob("*.p[kt]*"))
    assert best.keys() == load(tmp_path / "run").autoencoder.state_dict().keys()


def test_two_writers_are_refused(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    with RunFolder(tmp_path / "run").locked():
        code = "import sys; from genae.training.checkpoint import RunFolder\nwith RunFolder(sys.argv[1]).locked(): pass"
        result = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True)
    assert f"is being written by process {os.getpid()}" in result.stderr


def test_a_full_disk_later_keeps_the_last_state(tmp_path: Path, short_config) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    train(short_config(), tmp_path / "run")
    (tmp_path / "run" / "log.jsonl").unlink()
    (tmp_path / "run" / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(GenaeError, match="the disk is full; the last saved state is images-000000064"):
        RunFolder(tmp_path / "run").log({"images": 1})


def test_too_little_room_is_said_before_training(tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match=r"MB free; this run needs 1000000\d* MB"):
        RunFolder(tmp_path / "run").prepare(needed_bytes=10**18)


def test_an_unwritable_place_is_one_sentence(tmp_path: Path, short_config) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GenaeError, match="cannot write the run folder"):
        train(short_config(), tmp_path / "file" / "run")


def test_a_damaged_checkpoint_is_named(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    newest = RunFolder(tmp_path / "run").checkpoints()[-1]
    (newest / "optimisers.safetensors").write_bytes(b"")
    with pytest.raises(GenaeError, match="images-000000064 is damaged .* delete it to resume from the one before"):
        train(short_config(images=128), tmp_path / "run")


def test_without_config_json_the_weights_know(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(GenaeError, match="started with seed 0, not 3"):
        train(short_config(seed=3, images=128), tmp_path / "run")
    train(short_config(images=128), tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("text", ["\xff", "[]", "{}", '{"options": null}', '{"model": "stacked-wae", "options": {}}'])
def test_a_damaged_config_is_named(text: str, tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    (tmp_path / "run" / "config.json").write_bytes(text.encode("latin1"))
    with pytest.raises(GenaeError, match=r"config.json"):
        train(short_config(), tmp_path / "run")


@pytest.mark.parametrize("state", ["{}", '{"images": 64}', '{"images": 8, "best": {}, "seconds": 0, "data": ""}'])
def test_a_damaged_state_never_restarts_silently(state: str, tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    (RunFolder(tmp_path / "run").checkpoints()[-1] / "state.json").write_text(state)
    with pytest.raises(GenaeError, match="is damaged"):
        train(short_config(images=128), tmp_path / "run")


def test_foreign_optimisers_are_refused(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    save_tensors(RunFolder(tmp_path / "run").checkpoints()[-1] / "optimisers.safetensors", {"x": torch.zeros(3)}, {})
    with pytest.raises(GenaeError, match="optimisers are not those of this model"):
        train(short_config(images=128), tmp_path / "run")


def test_checkpoints_are_ordered_by_number(tmp_path: Path) -> None:
    for images in (999_999_000, 1_000_050_000, 1_000_000_000):
        (tmp_path / "checkpoints" / f"images-{images}").mkdir(parents=True)
    assert [c.name for c in RunFolder(tmp_path).checkpoints()][-1] == "images-1000050000"


@pytest.mark.parametrize("names", [["thesis.tex"], ["config.json", "log.jsonl"], ["checkpoints/mine.txt", "a.png"]])
def test_a_folder_of_the_users_is_refused_and_nothing_in_it_changes(
    names: list[str], tmp_path: Path, short_config
) -> None:
    for name in names:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("of the user's own")
    before = contents(tmp_path)
    with pytest.raises(GenaeError, match="mine holds '.*' and no training of genae; choose a --run that is new"):
        train(short_config(), tmp_path / "mine")
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """The bytes and times of every file."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_an_empty_folder_and_one_that_training_began_are_taken(tmp_path: Path, short_config) -> None:
    RunFolder(tmp_path).expect_ours()
    RunFolder(tmp_path).prepare(needed_bytes=0)
    RunFolder(tmp_path).expect_ours()  # killed before it was locked
    with RunFolder(tmp_path).locked():
        (tmp_path / "config.json").write_text(short_config().to_json())
    assert train(short_config(), tmp_path).images == 64  # killed before the first checkpoint


def test_a_name_of_300_characters_is_one_sentence(tmp_path: Path, short_config) -> None:
    with pytest.raises(GenaeError, match="cannot be a run folder: File name too long") as stop:
        train(short_config(), tmp_path / ("x" * 300))
    assert "x" * 100 not in str(stop.value), "the name is shortened"


@pytest.mark.parametrize("garbage", [b"no line of a log\n", b"\x00\xff\xfe\n", b"{}\n[1]\n"])
def test_a_log_that_is_none_is_refused_where_it_would_be_lost(garbage: bytes, tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    (tmp_path / "run" / "log.jsonl").write_bytes(garbage)
    assert RunFolder(tmp_path / "run").history() == []
    with pytest.raises(GenaeError, match=r"log\.jsonl is not the log of a training: .* restore or delete it") as stop:
        train(short_config(images=128), tmp_path / "run")
    assert "\n" not in str(stop.value)
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == garbage
    (tmp_path / "run" / "log.jsonl").unlink()
    assert train(short_config(images=128), tmp_path / "run").images == 128


def test_a_log_cut_short_by_a_kill_is_no_garbage(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b'{"began_at": 0, "prec')
    RunFolder(tmp_path).trim_logs(0)
    assert (tmp_path / "log.jsonl").read_bytes() == b""


def test_the_best_weights_may_be_read_by_whom_other_files_may(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    modes = {name: (tmp_path / "run" / name).stat().st_mode for name in ("best.safetensors", "config.json")}
    assert modes["best.safetensors"] == modes["config.json"]
