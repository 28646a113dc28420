"""Which record of a run a cell shows."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from genae.metrics.records import Record
from genae.model import load
from genae.progress import silent
from genae.reproduction import lookup
from genae.reproduction.columns import measure_of
from genae.reproduction.published import Row
from genae.storage import weights_digest


def record(run: Path, metric: str, **protocol: object) -> Record:
    """A record of the normal prior's samples, as an evaluation writes it."""
    model = load(run)
    fingerprint = {
        "data_digest": model.trained_on, "split": "test", "weights": model.digest, "images": 10_000, "seed": 0,
        "prior_weights": weights_digest(model.autoencoder.priors["normal"]),
    }  # fmt: skip
    return {"of": "normal", "metric": metric, "value": len(metric), "fingerprint": fingerprint | protocol}


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "best.safetensors").write_bytes((small_run / "best.safetensors").read_bytes())
    return copy


def test_inception_scores_of_the_papers_are_means_over_ten_splits(run: Path) -> None:
    lines = [record(run, "is10k", splits=10), record(run, "is10k-1split", splits=1)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    row = Row("stacked-wae", "normal")
    newest = lookup.evaluation(row, measure_of("cifar10_icp"), "cpu", run).find(run)
    assert newest
    assert newest["metric"] == "is10k"
    (run / "metrics.jsonl").write_text(json.dumps(lines[1]) + "\n")
    assert lookup.evaluation(row, measure_of("cifar10_icp"), "cpu", run).find(run) is None


def test_tables_of_styles_ask_for_as_many_training_images_as_samples(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[dict[str, Any]] = []
    monkeypatch.setattr(lookup.api, "evaluate", lambda run, **settings: requests.append(settings))
    row = Row("style-alae", "normal")
    cells = {budget: lookup.evaluation(row, measure_of("ffhq_fid"), budget, run) for budget in ("gpu", "cpu")}
    for cell in cells.values():
        cell.measure(silent)
    requested = [(r["samples"], r["split"], r["real"]) for r in requests]
    assert requested == [(50_000, "train", 50_000), (10_000, "test", None)]
    line = record(run, "fid50k", split="train", real=50_000, images=50_000)
    (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert cells["gpu"].find(run)
    assert not cells["cpu"].find(run)


def test_distances_of_real_data_are_measured(small_run: Path, tmp_path: Path) -> None:
    """The row "true data" of SWAE's Table 1: training images against test images."""
    copy = tmp_path / "run"
    shutil.copytree(small_run, copy)
    (copy / "metrics.jsonl").unlink(missing_ok=True)  # other tests measure this run
    cell = lookup.evaluation(Row(), measure_of("celeba_fid"), "smoke", copy)
    newest = cell.find_or_measure(copy, silent)
    assert newest["of"] == "real data"
    assert newest["metric"].startswith("fd1k-classifier")
    assert newest["fingerprint"]["images_split"] == "train"
    assert newest["value"] > 0
