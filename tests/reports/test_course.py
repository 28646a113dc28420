"""What a report says of a training, and of a log that cannot be read."""

import json
import shutil
from pathlib import Path

import pytest

from genae import api
from genae.reports.course import Course, course_of
from genae.reports.curves import curves
from genae.training.checkpoint import RunFolder

LINE = {"images": 40_000, "seconds": 90.0, "losses": {"encoder+decoder": {"loss": 0.1}}}


def test_requested_seen_and_shown_images_are_told_apart() -> None:
    shown = "after 30,016 images, which had the lowest validation error"
    course = Course([LINE], requested=150_000, weights=shown)
    assert course.sentences == [
        "The training was to see 150,000 images and it has seen 40,000, in 1.5 minutes.",
        f"The pictures show the weights {shown}.",
    ]
    assert Course(requested=150_000).sentences == ["The training was to see 150,000 images."]
    assert Course().sentences == []


def test_the_course_of_a_run_is_that_of_its_files(run: Path) -> None:
    course = course_of(RunFolder(run))
    assert course.requested == 320
    assert course.weights == "after 320 images, which had the lowest validation error"
    assert not course.trouble
    assert course.log == RunFolder(run).history()


def test_a_run_without_best_weights_shows_its_newest_checkpoint(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "best.safetensors").unlink()
    assert course_of(RunFolder(tmp_path / "run")).weights == "after 320 images, the newest checkpoint"


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        (None, "There is no training log."),
        ("", "There is no training log."),
        ("\x00\x01 garbage", "The training log (log.jsonl) cannot be read: none of its lines is an entry of a log."),
        ('{"images": "many"}\n[1]\n', "The training log (log.jsonl) cannot be read"),
        ('{"images": 5, "losses": 3}\n', "The training log (log.jsonl) cannot be read"),
        (json.dumps(LINE) + '\nnonsense\n{"images": nul', "1 line of the training log (log.jsonl) cannot be read."),
        (json.dumps(LINE) + '\n{"images": nul', ""),
    ],
)
def test_a_damaged_log_is_told_from_a_missing_one(text: str | None, trouble: str, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "log.jsonl").unlink()
    if text is not None:
        (tmp_path / "run" / "log.jsonl").write_text(text)
    assert course_of(RunFolder(tmp_path / "run")).trouble.startswith(trouble)
    assert bool(course_of(RunFolder(tmp_path / "run")).trouble) == bool(trouble)


def test_a_report_of_a_damaged_log_says_so(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "log.jsonl").write_text("garbage\n")
    text = api.report(tmp_path / "run").read_text()
    assert "The training log (log.jsonl) cannot be read" in text
    assert "There is no training log" not in text
    assert "The training was to see 320 images. The pictures show the weights after 320 images" in text


def test_the_same_curves_are_the_same_text() -> None:
    log = [LINE, {**LINE, "images": 50_000}, {"images": 50_000, "seconds": 1.0, "validation": {"mse": 0.2}}]
    assert curves(log) == curves(log)
    assert curves(log).count("<svg") == 2
