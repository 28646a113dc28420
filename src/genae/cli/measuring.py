"""Commands that measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from genae.cli.app import app
from genae.cli.arguments import (
    Checkpoint,
    Data,
    DataRoot,
    Force,
    Guidance,
    KeepFeatures,
    Run,
    Seed,
    SkipBad,
    SolverSteps,
    Split,
    expect_ending,
    expect_format,
    expect_writable,
    names_of,
    seeds_of,
    weight_files,
)
from genae.cli.inputs import default_split, images_of, load_run
from genae.cli.outputs import draw, show_table
from genae.cli.screen import Work, console, note
from genae.errors import GenaeError

if TYPE_CHECKING:
    from genae.metrics.records import Record


Metrics = Annotated[str | None, typer.Option(help="Names of metrics, separated by commas; see genae list.")]
NetworkNames = Annotated[
    str | None,
    typer.Option(
        help="Feature networks to compare in, separated by commas: classifier, inception, pixels, torchvision:NAME, "
        "timm:NAME."
    ),
]
WeightFiles = Annotated[
    list[str] | None, typer.Option(help="FILE, or NETWORK=FILE: weights that replace the download.")
]
PriorNames = Annotated[
    str | None, typer.Option(help="For a run: the priors to sample, separated by commas; all by default.")
]
LayerNames = Annotated[
    str,
    typer.Option(
        help="Layers that probes use, separated by commas: short (the code), long (before it), or a module's name."
    ),
]
TrainData = Annotated[
    str | None, typer.Option(help="Source of the labelled images that probes learn from; the tested source by default.")
]
TrainSplit = Annotated[
    str | None,
    typer.Option(
        help="Split that probes learn from; train by default for the run's data and the tested data, else all."
    ),
]
Samples = Annotated[
    int | None,
    typer.Option(help="For a run: samples per prior, 10,000 by default. For images: the largest number used.", min=1),
]
Real = Annotated[
    int | None,
    typer.Option(help="For a run: the largest number of images of the split, drawn at random; all by default.", min=2),
]
Out = Annotated[
    str | None,
    typer.Option(help="File that records are appended to; metrics.jsonl by default, in the run or in this folder."),
]
Format = Annotated[str, typer.Option(help="table, markdown or latex.")]


@dataclass(frozen=True)
class EvaluateFlags:
    """The flags of ``genae evaluate``, as they were given."""

    subject: str
    data: str | None
    metrics: list[str] | None
    networks: list[str] | None
    weights: list[str]
    priors: list[str] | None
    guidance: float
    features: str
    train_data: str | None
    train_split: str | None
    data_root: str | None
    split: str | None
    samples: int | None
    real: int | None
    checkpoint: str | None
    solver_steps: int | None
    seed: int
    skip_bad: bool
    out: str | None
    size: str | None
    fit: str | None
    channels: int | None
    value_range: str | None


@app.command()
def evaluate(
    subject: Annotated[
        str, typer.Argument(metavar="RUN|IMAGES", help="A run, or images of any origin: a folder, a .zip, an array.")
    ],
    data: Annotated[
        str | None,
        typer.Option(help="For a run: another source of images. For images: the reference to compare them with."),
    ] = None,
    metrics: Metrics = None,
    network: NetworkNames = None,
    weights: WeightFiles = None,
    prior: PriorNames = None,
    guidance: Guidance = 1.0,
    features: LayerNames = "short",
    train_data: TrainData = None,
    train_split: TrainSplit = None,
    data_root: DataRoot = None,
    split: Split = None,
    samples: Samples = None,
    real: Real = None,
    checkpoint: Checkpoint = None,
    solver_steps: SolverSteps = None,
    seed: Seed = 0,
    size: Annotated[str | None, typer.Option(help="Resize images to this size.")] = None,
    fit: Annotated[str | None, typer.Option(help="How to resize: crop (the default), pad or stretch.")] = None,
    channels: Annotated[int | None, typer.Option(help="Convert images to 1, 3 or 4 channels.")] = None,
    value_range: Annotated[
        str | None, typer.Option(help="LOW,HIGH: the values of an array that are black and white.")
    ] = None,
    skip_bad: SkipBad = False,
    format: Format = "table",
    out: Out = None,
) -> None:
    """Measure a run, or any images against others. Records go to metrics.jsonl, each with the protocol that made it.

    genae evaluate runs/first
    genae evaluate my-samples --data my-pictures
    """
    from genae.model import is_run
    from genae.reports import tables

    expect_format(format)
    flags = EvaluateFlags(
        subject, data, names_of("metrics", metrics), names_of("network", network), weights or [],
        names_of("prior", prior), guidance, features, train_data, train_split, data_root, split, samples, real,
        checkpoint, solver_steps, seed, skip_bad, out, size, fit, channels, value_range,
    )  # fmt: skip
    records = _evaluate_run(flags) if is_run(subject) else _evaluate_images(flags)
    show_table(*tables.table(records), format)
    for remark in tables.cautions(records):
        note(remark)


def _evaluate_run(flags: EvaluateFlags) -> "Sequence[Record]":
    from genae import api
    from genae.metrics import RUN_METRICS

    shape = {"size": flags.size, "fit": flags.fit, "channels": flags.channels, "value-range": flags.value_range}
    for flag in (name for name, value in shape.items() if value is not None):
        raise GenaeError(f"--{flag} is for images only: a run's data are prepared as in its training; leave it out")
    model = load_run(flags.subject, flags.checkpoint, flags.solver_steps)
    source = model.open_data(flags.data, flags.data_root, skip_bad=flags.skip_bad or None)
    if source.labels is None and flags.metrics is None:
        note(f"{source.name} has no labels: no classifier to score samples; --metrics fid uses Inception")
    for conversion in source.conversions if flags.data else ():
        note(f"{source.name}: {conversion}; the measurements are of the converted images")
    taught = None
    if flags.train_data:
        taught = model.open_data(flags.train_data, flags.data_root, skip_bad=flags.skip_bad or None)
    own = flags.train_data in (None, flags.data)
    taught_split = flags.train_split or ("train" if own else default_split(model, flags.train_data, "train"))
    networks = flags.networks or (["inception"] if source.labels is None else ["classifier"])
    metrics = flags.metrics or RUN_METRICS
    with Work() as progress:
        return api.evaluate(
            model, source, metrics=flags.metrics, networks=flags.networks or [],
            weights=weight_files(flags.weights, metrics, networks), priors=flags.priors,
            split=flags.split or default_split(model, flags.data), samples=flags.samples or 10_000, real=flags.real,
            seed=flags.seed, guidance=flags.guidance,
            out=Path(flags.out or "metrics.jsonl") if flags.out or model.folder is None else None, progress=progress,
            features=names_of("features", flags.features) or (), train_data=taught, train_split=taught_split,
        )  # fmt: skip


def _evaluate_images(flags: EvaluateFlags) -> "Sequence[Record]":
    from genae import api
    from genae.data.names import NAMES
    from genae.data.sources import open_data
    from genae.data.stream import open_stream
    from genae.metrics import IMAGE_METRICS
    from genae.training.config import parse_range

    reference, split = flags.data, flags.split or "all"
    if reference is None:
        if not flags.subject or (not Path(flags.subject).expanduser().exists() and flags.subject not in NAMES):
            raise GenaeError(f"there is nothing at {flags.subject!r}; expected a run, or images to measure")
        raise GenaeError(
            f"{flags.subject} is not a run; to measure images, name the images to compare them with: --data SOURCE"
        )
    of_runs = {"prior": flags.priors, "train-data": flags.train_data, "train-split": flags.train_split,
               "features": None if flags.features == "short" else flags.features, "real": flags.real,
               "checkpoint": flags.checkpoint, "guidance": None if flags.guidance == 1 else flags.guidance,
               "solver-steps": flags.solver_steps}  # fmt: skip
    for flag in (name for name, value in of_runs.items() if value is not None):
        raise GenaeError(f"--{flag} is for runs only, and {flags.subject} is a source of images; leave it out")
    if flags.skip_bad:
        raise GenaeError("--skip-bad is for runs only: images that are measured must all be readable; leave it out")
    metrics = flags.metrics or IMAGE_METRICS
    networks = flags.networks or ["inception"]
    shape: dict[str, Any] = {
        "size": flags.size, "fit": flags.fit or "crop", "channels": flags.channels, "data_root": flags.data_root,
        "value_range": parse_range(flags.value_range) if flags.value_range else None,
    }  # fmt: skip
    with Work() as progress:
        progress("opening the images", 0, 1)
        return api.evaluate_images(
            open_stream(flags.subject, **shape), open_stream(reference, split=split, **shape),
            labelled=lambda: open_data(reference, **shape), metrics=metrics, networks=networks,
            weights=weight_files(flags.weights, metrics, networks), split=split, samples=flags.samples,
            seed=flags.seed, out=Path(flags.out or "metrics.jsonl"), progress=progress,
        )  # fmt: skip


@app.command()
def probe(
    run: Run,
    checkpoint: Checkpoint = None,
    data: Data = None,
    data_root: DataRoot = None,
    frozen: Annotated[
        str, typer.Option(help="conv1, conv1-3, conv1-5 (two stages: a trunk of scale 8), all or none.")
    ] = "conv1-5",
    heads: Annotated[
        str,
        typer.Option(
            help="Heads, separated by commas: mlp (trained with the unfrozen layers), 1nn, knn, svm, logistic."
        ),
    ] = "mlp",
    trunk: Annotated[str, typer.Option(help="trained, or random: the same trunk with fresh weights.")] = "trained",
    epochs: Annotated[int, typer.Option(help="Passes over the training images.", min=1)] = 90,
    seeds: Annotated[str, typer.Option(help="Whole numbers, separated by commas.")] = "0",
    keep_features: KeepFeatures = 0,
) -> None:
    """Measure recognition: freeze an encoder's first layers, train the rest and a head on labels (PatchVAE's tables).

    A random trunk is the baseline; --frozen none --trunk random is supervised training. The mean of several
    seeds and their standard deviation are shown.
    """
    from genae import api
    from genae.reports import tables

    if trunk not in ("trained", "random"):
        raise GenaeError(f"--trunk is {trunk!r}; expected trained or random")
    model = load_run(run, checkpoint)
    source = model.open_data(data, data_root)
    with Work() as progress:
        records = api.probe(
            model, source, frozen=frozen, heads=names_of("heads", heads) or (),
            random_trunk=trunk == "random", epochs=epochs,
            seeds=seeds_of(seeds), keep_features=keep_features, progress=progress,
        )  # fmt: skip
    show_table(*tables.table(records), "table")


@app.command()
def anomaly(
    run: Run,
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    count: Annotated[int, typer.Option(help="Number of images in the picture, the most unusual first.", min=1)] = 12,
    likelihood: Annotated[
        str,
        typer.Option(
            help="A prior with a density (flow, mixture or gaussian), which says how rare a code is; by default the "
            "Mahalanobis distance does."
        ),
    ] = "",
    skip_bad: SkipBad = False,
    force: Force = False,
    out: Annotated[
        str,
        typer.Option(help="Picture of the most unusual images and where they are unusual (.png), or a table (.csv)."),
    ] = "anomalies.png",
) -> None:
    """Score how unusual images are to a model, by reconstruction error and rarity of the code.

    One in a hundred held-out images exceeds the threshold.
    """
    from functools import partial

    from genae.operations import Session
    from genae.operations.anomaly import Anomaly, write_table

    expect_ending(out, ".png", ".csv")
    expect_writable(out, force)
    model = load_run(run)
    source, indices = images_of(model, data, data_root, split, skip_bad)
    session = Session(model, run, partial(model.open_data, None, data_root))
    with Work() as progress:
        detector = session.detector(likelihood)
        judged = detector.judge_data(source, indices, progress)
    console.print(
        f"{int(judged.anomalous.sum())} of {len(indices)} images are above the threshold {detector.threshold:.2f}"
    )
    if Path(out).suffix == ".csv":
        write_table(judged, source, indices, Path(out))
        console.print(escape(out))
    else:
        strangest = judged.score.argsort(descending=True, stable=True)[:count]
        draw(Anomaly(likelihood), session, source.images(indices[strangest]), out)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Run folders.")],
    format: Annotated[str, typer.Option(help="table, markdown or latex.")] = "table",
) -> None:
    """Show measurements of several runs side by side, and name differences between their protocols."""
    from genae.api import compare as side_by_side

    expect_format(format)
    header, rows, remarks = side_by_side(runs)
    show_table(header, rows, format)
    for remark in remarks:
        note(remark)


@app.command()
def report(run: Run, data_root: DataRoot = None, seed: Seed = 0) -> None:
    """Draw every figure of a run and write its report.html."""
    from genae.api import report as write

    model = load_run(run)
    data = model.open_data(None, data_root) if data_root else None
    console.print(f"report: {escape(str(write(model, data, seed)))}", soft_wrap=True)
