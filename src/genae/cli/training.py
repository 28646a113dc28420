"""Commands that train: models, priors, classifiers, the runs of a paper's table."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from genae.cli.app import app
from genae.cli.arguments import (
    DataRoot,
    Force,
    KeepFeatures,
    Run,
    Seed,
    expect_ending,
    expect_writable,
    names_of,
    seeds_of,
    settings_of,
)
from genae.cli.inputs import load_run, open_source
from genae.cli.screen import Progress, Work, console, note, print_footprints, print_settings
from genae.errors import GenaeError


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="An autoencoder, or a preset such as stacked-wae/mnist: see genae list.")
    ],
    run: Annotated[str, typer.Option(help="Folder of the run; the same command again resumes it.")],
    data: Annotated[str | None, typer.Option(help="digits, shapes, mnist, ..., a folder, a .zip or an array.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved configuration and the memory it needs, and stop.")
    ] = False,
) -> int:
    """Train a model, or resume it. Every setting of the model and the run is a flag: --images 200000, --width 32, ...

    genae train stacked-wae --dry-run --data digits --run x  lists the settings with their values.
    """
    from genae import api
    from genae.autoencoders import AUTOENCODERS
    from genae.settings.presets import FITTED, PRESETS
    from genae.training.config import anneals_to_the_end, resolve

    settings = settings_of(context.args) | ({"data": data} if data else {})
    config = resolve(model, settings, PRESETS, AUTOENCODERS)
    print_settings(config)
    if "images" in settings and "anneal" not in settings and anneals_to_the_end(PRESETS.get(model, {})):
        note(f"anneal is {config.options['anneal']:,}: the learning rate falls until the end, as --images sets it")
    if model in FITTED:
        console.print(f"then a prior is fitted: {', '.join(f'{k} {v}' for k, v in FITTED[model].items())}")
    if dry_run:
        try:
            images = api.image_stream(config)
        except GenaeError as error:  # the data may be on the machine that will train
            note(f"memory is not known: {error}")
        else:
            print_footprints(api.footprint(config, images.image_shape), config.precision, images)
        return 0
    with Progress(config.images) as progress:

        def fitting() -> Work:
            progress.close()  # one line at a time
            return Work()

        outcome, prior = api.train_with_prior(model, config, run, progress=progress.show, fitting=fitting)
    how = {
        "finished": "finished",
        "early": "stopped early (no improvement)",
        "interrupted": "interrupted and saved",
    }
    console.print(
        f"{how[outcome.stopped]} at {outcome.images:,} images, {outcome.seconds:.0f} s; "
        + (f"lowest validation MSE {outcome.best_mse:.4f}; " if outcome.best_mse < float("inf") else "")
        + f"run folder {escape(run)}",
        soft_wrap=True,
    )
    if outcome.stopped == "interrupted":
        return 130
    if prior:
        console.print(f"{FITTED[model]['kind']} prior: {escape(str(prior))}", soft_wrap=True)
    return 0


@app.command("prior", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def fit_prior(
    context: typer.Context,
    run: Run,
    kind: Annotated[
        str, typer.Argument(help="gaussian, mixture, vae, flow, flow-matching, flow-transformer, wae-gan or wgan-gp.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the prior in the run; its kind by default.")] = None,
    data: Annotated[str | None, typer.Option(help="Images to fit it to, instead of the run's own.")] = None,
    attributes: Annotated[
        str | None, typer.Option(help="Table of attributes, CSV or CelebA's format, for --given NAME.")
    ] = None,
    data_root: DataRoot = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a prior that has other settings.")] = False,
) -> None:
    """Fit a prior to the frozen codes of a run, for sample, evaluate and interpolate.

    Settings are flags: --images 3000000 (codes seen), --batch-size, --learning-rate, --seed, and those of the prior:
    --components 50. With --given label, or --given and the name of an attribute, the prior learns to be told classes.
    Run the same command again to continue after an interruption.
    """
    from genae import api
    from genae.storage import load_tensors

    settings: dict[str, Any] = dict(settings_of(context.args))
    images = load_run(run).open_data(data, data_root, attributes=attributes) if data or attributes else None
    try:
        with Work() as progress:
            path = api.fit_prior(
                run, kind, images, name=name, data_root=data_root, force=force, progress=progress, **settings
            )
    except KeyboardInterrupt:
        note("interrupted; the same command goes on from what is kept")
        raise
    console.print(f"{kind} prior: {escape(str(path))}", soft_wrap=True)
    said = load_tensors(path)[1]
    if "lost" in said:
        codes, error = int(said["held_out"]), float(said["lost"])
        console.print(f"{codes:,} held-out codes through it and back: {error:.1e} of their deviation is lost")


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(help="A table or a figure of a paper, or a lab: see genae list.")],
    budget: Annotated[str, typer.Option(help="smoke (minutes), cpu, or gpu (the papers' settings).")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32, or bfloat16: another table, with its own runs.")] = "float32",
    seeds: Annotated[str, typer.Option(help="Whole numbers, separated by commas.")] = "0",
    rows: Annotated[str | None, typer.Option(help="Only these rows, separated by commas.")] = None,
    columns: Annotated[str | None, typer.Option(help="Only these columns, separated by commas.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="NAME=SOURCE, such as celeba=FOLDER.")] = None,
    data_root: DataRoot = None,
    runs: Annotated[str, typer.Option(help="Folder of the runs; runs that exist are resumed.")] = "runs/reproduce",
    out: Annotated[str, typer.Option(help="Folder to write tables to.")] = "results",
    keep_features: KeepFeatures = 0,
) -> None:
    """Reproduce a paper's table: train and measure what is missing, and write results beside the paper's.

    A lab, such as lab/mnist, is no paper's: its rows are autoencoders, its columns priors on their codes.
    """
    from genae.reproduction.table import reproduce as run_table

    sources = {}
    for text in data or []:
        name, equals, source = text.partition("=")
        if not equals:
            raise GenaeError(f"--data is {text!r}; expected NAME=SOURCE such as celeba=FOLDER")
        sources[name] = source
    with Work() as progress:
        path = run_table(
            table, budget=budget, precision=precision, seeds=seeds_of(seeds), rows=names_of("rows", rows),
            columns=names_of("columns", columns), sources=sources, data_root=data_root, runs=runs, out=out,
            keep_features=keep_features, progress=progress,
            say=lambda text: console.print(escape(text), soft_wrap=True),
        )  # fmt: skip
    console.print(escape(str(path)), soft_wrap=True)


@app.command("import-alae")
def import_weights(
    file: Annotated[
        str,
        typer.Argument(help="A .pth file of https://github.com/podgorskiy/ALAE, or the folder of a training there."),
    ],
    force: Force = False,
    out: Annotated[str, typer.Option(help="Weights file to write (.safetensors).")] = "alae.safetensors",
) -> None:
    """Convert the ALAE authors' StyleALAE weights; pass the file as RUN to encode, decode, mix, ..."""
    from genae.importing.alae_weights import import_alae

    expect_ending(out, ".safetensors")
    expect_writable(out, force)
    console.print(escape(str(import_alae(Path(file).expanduser(), out))), soft_wrap=True)


@app.command("import-autoencoder", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def import_others(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="diffusers:FOLDER, diffusers:ID of huggingface.co, or taesd:FOLDER.")],
    run: Annotated[str, typer.Option(help="Folder of the run to make.")],
    data: Annotated[str, typer.Option(help="Your images: whatever genae data opens.")],
    revision: Annotated[str | None, typer.Option(help="Of an ID: a branch, a tag or a commit.")] = None,
) -> None:
    """Make a run of an autoencoder that others trained, for your own images. Flags: --size, --fit, as for genae data.

    Nothing is trained. Then fit a prior: genae prior RUN flow-matching.
    """
    from genae.importing.imported_run import import_autoencoder

    model = import_autoencoder(source, run, data, revision=revision, **settings_of(context.args))
    console.print(f"{escape(run)}: {escape(model.autoencoder.origin)}", soft_wrap=True)
    images, codes = (" x ".join(map(str, shape)) for shape in (model.image_shape, model.code_shape))
    console.print(f"images {images}, codes {codes}", soft_wrap=True)


@app.command("train-classifier", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train_classifier_command(
    context: typer.Context, data: Annotated[str, typer.Option(help="Labelled data.")], seed: Seed = 0
) -> None:
    """Train the classifier that scores samples of a data set, and keep it in genae's cache. Flags as for genae data."""
    from genae import distributed
    from genae.metrics.data_classifier import classifier_path, train_classifier

    source = open_source(data, context.args)
    with Work() as progress:
        classifier = train_classifier(source, distributed.start("auto"), seed=seed, progress=progress)
    console.print(f"{classifier.name}: test accuracy {classifier.details['accuracy']:.2%}, weights {classifier.digest}")
    console.print(escape(str(classifier_path(source))), soft_wrap=True)
