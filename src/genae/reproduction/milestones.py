"""Samples measured during a training (SWAE Fig. 4, right): it is stopped at milestones, measured, and resumed.

A training that was stopped and resumed is the same, bit for bit, as one that was not.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from genae import api, distributed
from genae.data.sources import ImageData
from genae.errors import GenaeError
from genae.metrics import metric_class
from genae.metrics.records import CODE, REAL
from genae.model import load
from genae.progress import Progress
from genae.reproduction.budgets import DATA
from genae.storage import append_line, read_lines
from genae.training.checkpoint import RunFolder
from genae.training.config import Config
from genae.training.trainer import Outcome

FILE = "milestones.jsonl"
"""In the run's folder: a line for every milestone and prior."""


def milestones(config: Config, count: int) -> list[int]:
    """At most ``count`` numbers of images, about equally far apart, the last one the end of the training. The others
    are those of validations, so that stopping there adds none."""
    every = config.validate_every
    inner = {max(1, round(config.images * n / count / every)) * every for n in range(1, count)}
    return [*sorted(end for end in inner if end < config.images), config.images]


def train_in_parts(
    run: Path,
    config: Config,
    count: int,
    train_until: Callable[[Config], Outcome],
    measure: Callable[[int], None],
) -> Outcome:
    """Train until each milestone with ``train_until``, and there call ``measure`` with the number of images seen.

    Milestones that an earlier call has passed are left out, but the one it stopped at is not.
    """
    ends = milestones(config, count)
    passed = sum(end <= images_seen(run) for end in ends)
    for end in ends[max(0, passed - 1) :]:
        outcome = train_until(replace(config, images=end))
        if outcome.stopped == "interrupted":
            break
        measure(images_seen(run))
        if outcome.stopped == "early":
            break
    return outcome


def images_seen(run: Path) -> int:
    """By the newest checkpoint of a run."""
    saved = RunFolder(run).checkpoints()
    return int(saved[-1].name.rpartition("-")[2]) if saved else 0


def measure_samples(run: Path, data: ImageData, name: str, budget: str, progress: Progress) -> Callable[[int], None]:
    """What measures the Fréchet distance of samples of every prior by the newest weights of ``run``, as the budget
    evaluates on the data set ``name`` of `DATA`.

    Where it cannot be measured, the training goes on: the table's own cell says why.
    """
    metric = metric_class("fid").stand_in if budget == "smoke" else "fid"
    samples, split = DATA[name].evaluation_within(budget)

    def measure(images: int) -> None:
        lines = distributed.by_writer(lambda: read_lines(run / FILE, "images"))
        if images in {line["images"] for line in lines}:
            return
        model = load(RunFolder(run).checkpoints()[-1] / "model.safetensors")
        try:
            records = api.evaluate(model, data, metrics=[metric], samples=samples, split=split, progress=progress)
        except GenaeError:
            return
        if distributed.rank() == 0:
            for record in records:
                append_line(run / FILE, {"images": images, **record})

    return measure


def distances(run: Path) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """Of every prior: its name, and images seen with the Fréchet distance of its samples then."""
    lines = [line for line in read_lines(run / FILE, "images") if line["of"] not in (CODE, REAL)]
    for prior in dict.fromkeys(line["of"] for line in lines):
        yield prior, sorted((line["images"], line["value"]) for line in lines if line["of"] == prior)
