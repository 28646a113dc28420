"""Commands that measure."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from genae.cli.app import app
from genae.cli.arguments import (
    Data,
    DataRoot,
    Run,
    Seed,
    SkipBad,
    Split,
    expect_ending,
    expect_format,
    names_of,
    seeds_of,
    weight_files,
)
from genae.cli.inputs import default_split, images_of, load_run
from genae.cli.outputs import draw, show_table
from genae.cli.screen import Work, console, note
from genae.errors import GenaeError


@app.command()
def evaluate(
    subject: Annotated[
        str, typer.Argument(metavar="RUN|IMAGES", help="A run, or images of any origin: a folder, a .zip, an array.")
    ],
    data: Annotated[
        str | None, typer.Option(help="Of a run: another source of images. Of images: what they are compared with.")
    ] = None,
    metrics: Annotated[str | None, typer.Option(help="Comma separated; see genae list.")] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="Where fd, kid, prdc and fpl compare: classifier, inception, pixels, torchvision:NAME, timm:NAME."
        ),
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="FILE, or NETWORK=FILE: weights instead of a download.")
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="Of a run: priors to sample, comma separated; by default all.")
    ] = None,
    features: Annotated[
        str,
        typer.Option(help="Layers that 1nn, knn, svm and logistic read: short (the code), long, or a module's name."),
    ] = "short",
    train_data: Annotated[
        str | None, typer.Option(help="Source of labelled images that probes learn from; by default that of the test.")
    ] = None,
    train_split: Annotated[
        str | None,
        typer.Option(help="Which of them; by default train of the run's and the test's data, all of others."),
    ] = None,
    data_root: DataRoot = None,
    split: Split = None,
    samples: Annotated[
        int | None, typer.Option(help="Samples per prior, by default 10,000; of images: at most.", min=1)
    ] = None,
    seed: Seed = 0,
    size: Annotated[str | None, typer.Option(help="Bring images to this size.")] = None,
    fit: Annotated[str | None, typer.Option(help="How: crop (the default), pad or stretch.")] = None,
    channels: Annotated[int | None, typer.Option(help="Bring images to 1, 3 or 4 channels.")] = None,
    value_range: Annotated[
        str | None, typer.Option(help="LOW,HIGH: which values of an array are black, white.")
    ] = None,
    skip_bad: SkipBad = False,
    format: Annotated[str, typer.Option(help="table, markdown or latex.")] = "table",
    out: Annotated[
        str | None,
        typer.Option(help="File that numbers are appended to; by default metrics.jsonl of the run, or here."),
    ] = None,
) -> None:
    """Measure a run, or any images against others; numbers go to metrics.jsonl with the protocol that made them.

    genae evaluate runs/first
    genae evaluate my-samples --data my-pictures
    """
    from genae import api, distributed
    from genae.data.sources import open_data
    from genae.data.stream import open_stream
    from genae.metrics import METRICS
    from genae.model import is_run
    from genae.reports import tables
    from genae.training.config import parse_range

    expect_format(format)
    wanted, networks = names_of("metrics", metrics), names_of("network", network)
    shape: dict[str, Any] = {"size": size, "fit": fit, "channels": channels, "value_range": value_range}
    if is_run(subject):
        given = [key.replace("_", "-") for key, value in shape.items() if value is not None]
        if given:
            raise GenaeError(
                f"--{given[0]} is for images; the data of a run are brought to what the run was trained on"
            )
        model = load_run(subject)
        source = model.open_data(data, data_root, skip_bad=skip_bad or None)
        if source.labels is None and wanted is None and distributed.rank() == 0:
            note(f"{source.name} has no labels: no classifier to score samples; --metrics fid uses Inception")
        taught = model.open_data(train_data, data_root, skip_bad=skip_bad or None) if train_data else None
        taught_split = "train" if train_data in (None, data) else default_split(model, train_data, "train")
        used = networks or (["inception"] if source.labels is None else ["classifier"])
        files = weight_files(weights or [], wanted or [name for name, entry in METRICS.items() if entry.of_runs], used)
        with Work() as progress:
            records = api.evaluate(
                model, source, metrics=wanted, networks=networks or [], weights=files,
                priors=names_of("prior", prior),
                split=split or default_split(model, data), samples=samples or 10_000, seed=seed,
                features=names_of("features", features) or (),
                train_data=taught, train_split=train_split or taught_split,
                out=Path(out or "metrics.jsonl") if out or not Path(subject).is_dir() else None, progress=progress,
            )  # fmt: skip
    else:
        if data is None:
            raise GenaeError(f"{subject} is not a run; images need --data SOURCE, what they are to be compared with")
        of_runs = {"prior": prior, "train-data": train_data, "train-split": train_split}
        of_runs["features"] = None if features == "short" else features
        if given := [flag for flag, value in of_runs.items() if value is not None]:
            raise GenaeError(f"--{given[0]} is for runs; {subject} is a source of images")
        if skip_bad:
            raise GenaeError("--skip-bad is for runs; among images that are measured none may be missing")
        wanted, networks = (
            wanted or [name for name, entry in METRICS.items() if entry.of_images],
            networks or ["inception"],
        )
        files = weight_files(weights or [], wanted, networks)
        low_high = parse_range(value_range) if value_range else None
        shape |= {"fit": fit or "crop", "value_range": low_high, "data_root": data_root}
        with Work() as progress:
            progress("reading headers", 0, 1)
            images, reference = open_stream(subject, **shape), open_stream(data, split=split or "all", **shape)
            records = api.evaluate_images(
                images, reference, labelled=lambda: open_data(data, **shape), metrics=wanted, networks=networks,
                weights=files, split=split or "all", samples=samples, seed=seed, out=Path(out or "metrics.jsonl"),
                progress=progress,
            )  # fmt: skip
    if distributed.rank() == 0:
        show_table(*tables.table(records), format)
        for remark in tables.cautions(records):
            note(remark)


@app.command()
def probe(
    run: Run,
    data: Data = None,
    data_root: DataRoot = None,
    frozen: Annotated[
        str, typer.Option(help="conv1, conv1-3, conv1-5 (two stages: a trunk of scale 8), all or none.")
    ] = "conv1-5",
    heads: Annotated[
        str, typer.Option(help="Comma separated: mlp, trained with what is not frozen; 1nn, knn, svm, logistic.")
    ] = "mlp",
    trunk: Annotated[str, typer.Option(help="trained, or random: the same trunk with fresh weights.")] = "trained",
    epochs: Annotated[int, typer.Option(help="Passes over the training images.", min=1)] = 90,
    seeds: Annotated[str, typer.Option(help="Comma separated.")] = "0",
) -> None:
    """Recognition: freeze the first layers of an encoder, train the rest and a head on the labels (PatchVAE's tables).

    A random trunk is the row to beat; with --frozen none --trunk random it is supervised training. The mean of several
    seeds and their standard deviation are shown.
    """
    from genae import api
    from genae.reports import tables

    if trunk not in ("trained", "random"):
        raise GenaeError(f"--trunk is {trunk!r}; expected trained or random")
    model = load_run(run)
    source = model.open_data(data, data_root)
    with Work() as progress:
        records = api.probe(
            model, source, frozen=frozen, heads=names_of("heads", heads) or (),
            random_trunk=trunk == "random", epochs=epochs,
            seeds=seeds_of(seeds), progress=progress,
        )  # fmt: skip
    show_table(*tables.table(records), "table")


@app.command()
def anomaly(
    run: Run,
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    count: Annotated[int, typer.Option(help="Images in the picture, the strangest first.", min=1)] = 12,
    skip_bad: SkipBad = False,
    out: Annotated[
        str, typer.Option(help="Picture of the strangest images and where they are strange (.png), or a table (.csv).")
    ] = "anomalies.png",
) -> None:
    """How strange images are to a model: reconstruction error and rarity of the code, beside a threshold that one in a
    hundred held-out images passes."""
    from functools import partial

    from genae.operations import Session
    from genae.operations.anomaly import Anomaly, write_table

    expect_ending(out, ".png", ".csv")
    model = load_run(run)
    source, indices = images_of(model, data, data_root, split, skip_bad)
    session = Session(model, run, partial(model.open_data, None, data_root))
    with Work() as progress:
        detector = session.detector()
        judged = detector.judge_data(source, indices, progress)
    console.print(
        f"{int(judged.anomalous.sum())} of {len(indices)} images are above the threshold {detector.threshold:.2f}"
    )
    if Path(out).suffix == ".csv":
        write_table(judged, source, indices, Path(out))
        console.print(escape(out))
    else:
        strangest = judged.score.argsort(descending=True, stable=True)[:count]
        draw(Anomaly(), session, source.images(indices[strangest]), out)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Run folders.")],
    format: Annotated[str, typer.Option(help="table, markdown or latex.")] = "table",
) -> None:
    """Measurements of several runs side by side; numbers made by different protocols are named."""
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
