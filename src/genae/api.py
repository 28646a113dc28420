"""The verbs that work on runs, as Python functions: what the command line calls."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from genae.autoencoders import AUTOENCODERS
from genae.data.sources import ImageData
from genae.errors import GenaeError
from genae.metrics import evaluate as measuring
from genae.metrics.features import FeatureNetwork, load_classifier, train_classifier
from genae.model import Model, load
from genae.presets import PRESETS
from genae.report import tables
from genae.report.page import write_report
from genae.storage import append_line, read_lines
from genae.training.checkpoint import RunFolder
from genae.training.config import resolve
from genae.training.train import train as train_run


def train(model: str, run: Path | str, **settings: Any) -> Model:
    """Train ``model`` (a name or a preset) in the folder ``run``, or resume it, and load the result.

    ``settings`` are the flags of ``genae train``: ``data="digits", images=200_000, width=32``. Ctrl-C saves the state
    and raises KeyboardInterrupt. Raises `GenaeError`.
    """
    outcome = train_run(resolve(model, settings, PRESETS, AUTOENCODERS), run)
    if outcome.stopped == "interrupted":
        raise KeyboardInterrupt
    return load(run)


def classifier_for(
    data: ImageData, model: Model, progress: Callable[[float, float], None] = lambda done, loss: None
) -> FeatureNetwork | None:
    """The classifier that scores samples of labelled data, trained and cached when it is first needed; else None."""
    if data.labels is None:
        return None
    return load_classifier(data, model.device) or train_classifier(data, model.device, progress=progress)


def evaluate(
    run: Path | str,
    data: ImageData | None = None,
    *,
    split: str = "test",
    samples: int = 10_000,
    seed: int = 0,
    progress: Callable[[str], None] = lambda message: None,
) -> list[dict[str, Any]]:
    """Measure a run on its own or on other data: see `genae.metrics.evaluate.evaluate` for the records.

    They are appended to the run's ``metrics.jsonl``. Raises `GenaeError`.
    """
    model = load(run)
    data = data or model.open_data()
    if Path(run).is_dir():
        RunFolder(run).prepare(needed_bytes=1_000_000)  # before the work, not after it
    records = measuring.evaluate(
        model.autoencoder,
        model.sample,
        data,
        weights=model.digest,
        classifier=classifier_for(data, model),
        split=split,
        samples=samples,
        seed=seed,
        progress=progress,
    )
    if Path(run).is_dir():
        for record in records:
            append_line(Path(run) / "metrics.jsonl", record)
    return records


def measurements(run: Path | str) -> list[dict[str, Any]]:
    """Every record of a run's ``metrics.jsonl``. Raises `GenaeError` where nothing was measured."""
    records = read_lines(Path(run) / "metrics.jsonl", "fingerprint")
    if not records:
        raise GenaeError(f"{run} has no measurements; run genae evaluate {run} first")
    return records


def compare(runs: Sequence[Path | str]) -> tuple[list[str], list[list[str]], list[str]]:
    """Measurements of several runs side by side: header, rows, and a sentence for every column of unlike numbers."""
    return tables.compare({str(run): measurements(run) for run in runs})


def report(run: Path | str, data: ImageData | None = None, seed: int = 0) -> Path:
    """Draw every figure of a run and write its ``report.html``; returns its path."""
    if not Path(run).is_dir():
        raise GenaeError(f"{run} is not a run folder; a report needs one")
    model = load(run)
    return write_report(model, data or model.open_data(), run, seed)
