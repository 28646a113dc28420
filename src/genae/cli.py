"""The command line: one typed function per command, nothing but parsing and printing.

Everything heavy is imported inside the commands, so that ``genae --help`` answers at once.
"""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from genae.errors import GenaeError, nearest
from genae.screen import Progress, Work, console, note, print_footprints, print_settings, print_table

if TYPE_CHECKING:
    from torch import Tensor

    from genae.data.sources import ImageData
    from genae.model import Model

app = typer.Typer(
    help="Generative autoencoders: train, trust, edit.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False, rich_markup_mode="rich",
)  # fmt: skip

Run = Annotated[str, typer.Argument(help="A run folder or a weights file.")]
Data = Annotated[str | None, typer.Option(help="Another source of images; by default the run's own.")]
DataRoot = Annotated[str | None, typer.Option(help="Folder that holds local copies of named data sets.")]
Split = Annotated[
    str | None, typer.Option(help="train, validation, test or all; by default test of the run's data, all of others.")
]
Seed = Annotated[int, typer.Option(help="Seed of what is drawn at random.")]
Space = Annotated[str, typer.Option(help="code, or the name of a prior.")]
Truncation = Annotated[
    float, typer.Option(help="Bring codes nearer to the mean: 1 not at all, 0.7 usual, 0 the mean alone.", min=0, max=1)
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Go on without unreadable files.")]


def main() -> None:
    """Entry point: exit status 0, 2 with one sentence for what the user can mend, 130 after Ctrl-C."""
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        code = app(arguments, standalone_mode=False)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # typer's own errors
        if "--debug" in sys.argv or not (usage or isinstance(error, GenaeError | OSError)):
            raise
        message = str(usage() if usage else error)
        if message:  # none where the help was shown instead
            print(f"genae: error: {message.splitlines()[0]}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


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
    from genae import api, distributed
    from genae.autoencoders import AUTOENCODERS
    from genae.presets import FITTED, PRESETS
    from genae.training.config import resolve
    from genae.training.train import train as start

    settings = _settings(context.args) | ({"data": data} if data else {})
    config = resolve(model, settings, PRESETS, AUTOENCODERS)
    if int(os.environ.get("RANK", 0)) == 0:
        print_settings(config)
        if model in FITTED:
            console.print(f"then a prior is fitted: {', '.join(f'{k} {v}' for k, v in FITTED[model].items())}")
    if dry_run:
        try:
            print_footprints(api.footprint(config))
        except GenaeError as error:
            note(f"memory is not known: {error}")
        return 0
    with Progress(config.images) as progress:
        outcome = start(config, run, progress=progress.show)
    if distributed.rank() == 0:
        how = {
            "finished": "finished",
            "early": "stopped early (no improvement)",
            "interrupted": "interrupted and saved",
        }
        console.print(
            f"{how[outcome.stopped]} at {outcome.images:,} images, {outcome.seconds:.0f} s; "
            + (f"best validation MSE {outcome.best_mse:.4f}; " if outcome.best_mse < float("inf") else "")
            + f"run folder {escape(run)}",
            soft_wrap=True,
        )
    if outcome.stopped == "interrupted":
        return 130
    with Work() as work:
        path = api.fit_preset_prior(model, run, progress=work)
    if path and distributed.rank() == 0:
        console.print(f"{FITTED[model]['kind']} prior: {escape(str(path))}", soft_wrap=True)
    return 0


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
        str, typer.Option(help="Layers that 1nn, svm and logistic read: short (the code), long, or a module's name.")
    ] = "short",
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
    from genae.model import is_run
    from genae.report import tables
    from genae.training.config import parse_range

    _expect_format(format)
    wanted = [name.strip() for name in metrics.split(",")] if metrics else None
    networks = [name.strip() for name in network.split(",")] if network else None
    shape: dict[str, Any] = {"size": size, "fit": fit, "channels": channels, "value_range": value_range}
    if is_run(subject):
        given = [key.replace("_", "-") for key, value in shape.items() if value is not None]
        if given:
            raise GenaeError(
                f"--{given[0]} is for images; the data of a run are brought to what the run was trained on"
            )
        model = _load(subject)
        source = model.open_data(data, data_root, skip_bad=skip_bad or None)
        if source.labels is None and wanted is None and distributed.rank() == 0:
            note(f"{source.name} has no labels: no classifier to score samples; --metrics fid uses Inception")
        used = networks or (["inception"] if source.labels is None else ["classifier"])
        files = _weight_files(weights or [], wanted or api.RUN_METRICS, used)
        with Work() as progress:
            records = api.evaluate(
                subject, source, metrics=wanted, networks=networks, weights=files,
                priors=prior.split(",") if prior else None,
                split=split or _default_split(model, data), samples=samples or 10_000, seed=seed,
                features=features.split(","),
                out=Path(out or "metrics.jsonl") if out or not Path(subject).is_dir() else None, progress=progress,
            )  # fmt: skip
    else:
        if data is None:
            raise GenaeError(f"{subject} is not a run; images need --data SOURCE, what they are to be compared with")
        if skip_bad:
            raise GenaeError("--skip-bad is for runs; among images that are measured none may be missing")
        wanted, networks = wanted or list(api.IMAGE_METRICS), networks or ["inception"]
        files = _weight_files(weights or [], wanted, networks)
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
        _show_table(*tables.table(records), format)
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

    A random trunk is the row to beat; with --frozen none it is supervised training.
    """
    from genae import api
    from genae.report import tables

    if trunk not in ("trained", "random"):
        raise GenaeError(f"--trunk is {trunk!r}; expected trained or random")
    source = _load(run).open_data(data, data_root)
    with Work() as progress:
        records = api.probe(
            run, source, frozen=frozen, heads=heads.split(","), random_trunk=trunk == "random", epochs=epochs,
            seeds=_seeds(seeds), progress=progress,
        )  # fmt: skip
    _show_table(*tables.table(records), "table")


@app.command("prior", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def fit_prior(
    context: typer.Context,
    run: Run,
    kind: Annotated[str, typer.Argument(help="gaussian, mixture, vae, flow, flow-matching, wae-gan or wgan-gp.")],
    name: Annotated[str | None, typer.Option(help="What it is called in the run; by default its kind.")] = None,
    data_root: DataRoot = None,
) -> None:
    """Fit a prior to the frozen codes of a run; sample, evaluate and interpolate then know it.

    Settings are flags: --images 3000000 (codes seen), --batch-size, --learning-rate, --seed, and those of the prior:
    --components 50. The same command goes on where it was interrupted.
    """
    from genae import api

    data = _load(run).open_data(None, data_root) if data_root else None
    with Work() as progress:
        path = api.fit_prior(run, kind, data, name=name, progress=progress, **_settings(context.args))
    console.print(f"{kind} prior: {escape(str(path))}", soft_wrap=True)


@app.command()
def reconstruct(
    run: Run,
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    count: Annotated[int, typer.Option(help="Number of images.", min=1)] = 12,
    truncation: Truncation = 1.0,
    skip_bad: SkipBad = False,
    out: Annotated[str, typer.Option(help="Picture to write (.png).")] = "reconstructions.png",
) -> None:
    """Images and what each path gives back: through the code and through every prior."""
    _expect(out, ".png")
    model = _load(run)
    source, indices = _images(model, data, data_root, split, skip_bad)
    _draw(run, model, "reconstruct", source.images(indices[:count]), {"truncation": truncation}, out)


@app.command()
def sample(
    run: Run,
    count: Annotated[int, typer.Option(help="Number of samples.", min=1)] = 64,
    prior: Annotated[str | None, typer.Option(help="Which prior; by default every one.")] = None,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    out: Annotated[str, typer.Option(help="A .png sheet, a folder for single pictures, or .npz.")] = "samples.png",
) -> None:
    """Draw new images from the priors."""
    _expect(out, "", ".png", ".npz")
    model = _load(run)
    chosen = [prior] if prior else model.priors
    if not chosen:
        raise GenaeError(f"{run} ({model.config.model}) has no prior to sample from")
    for name in chosen:
        target = (
            Path(out)
            if len(chosen) == 1
            else Path(out).with_name(f"{Path(out).stem}-{name.replace('/', '-')}{Path(out).suffix}")
        )
        if target.suffix == ".png":
            settings = {"prior": name, "count": count, "seed": seed, "truncation": truncation}
            _draw(run, model, "sample", None, settings, str(target))
        else:
            _save_images(model.sample(count, seed, name, truncation), target)


@app.command()
def interpolate(
    run: Run,
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    pairs: Annotated[
        str | None, typer.Option(help="Numbers of images in the split: a-b,c-d,...; by default four.")
    ] = None,
    corners: Annotated[
        str | None,
        typer.Option(help="Numbers of four images, a,b,c,d: the square between their codes instead of paths."),
    ] = None,
    space: Space = "code",
    path: Annotated[str, typer.Option(help="linear or spherical; a square is linear.")] = "linear",
    steps: Annotated[int, typer.Option(help="Images per path or side, ends included.", min=2)] = 9,
    skip_bad: SkipBad = False,
    out: Annotated[
        str, typer.Option(help="Picture to write (.png), or an animation of the paths (.gif).")
    ] = "interpolation.png",
) -> None:
    """Paths between pairs of images, or the square between four, in code space or in a prior's."""
    _expect(out, ".png", *([] if corners else [".gif"]))
    if corners and (pairs or path != "linear"):
        raise GenaeError(f"--corners draws a bilinear square; leave out {'--pairs' if pairs else '--path'}")
    model = _load(run)
    source, indices = _images(model, data, data_root, split, skip_bad)
    settings = {"space": space, "steps": steps, "path": path, "square": bool(corners)}
    if corners:
        chosen = _numbers("corners", corners, len(indices))
        if len(chosen) != 4:
            raise GenaeError(f"--corners is {corners!r}; expected four numbers of images such as 0,1,2,3")
    else:
        chosen = [number for pair in _pairs(pairs, len(indices)) for number in pair]
        settings["pairs"] = list(range(len(chosen)))
    _draw(run, model, "interpolate", source.images(indices[chosen]), settings, out)


@app.command()
def edit(
    run: Run,
    attribute: Annotated[str, typer.Option(help="Name of a class or of a column of the attribute table.")],
    data: Data = None,
    data_root: DataRoot = None,
    attributes: Annotated[str | None, typer.Option(help="Table of attributes: CSV or CelebA's format.")] = None,
    on: Annotated[str, typer.Option(help="images, or samples of a prior.")] = "images",
    prior: Annotated[str | None, typer.Option(help="Prior of the samples.")] = None,
    strengths: Annotated[str, typer.Option(help="Steps along the direction, comma separated.")] = "-2,-1,0,1,2",
    direction: Annotated[
        str, typer.Option(help="mean (difference of means) or svm (normal of the separating plane).")
    ] = "mean",
    band: Annotated[
        str | None, typer.Option(help="Of a model with styles: change only coarse, middle or fine layers, or 4-8, ...")
    ] = None,
    count: Annotated[int, typer.Option(help="Number of images or samples.", min=1)] = 6,
    seed: Seed = 0,
    skip_bad: SkipBad = False,
    out: Annotated[str, typer.Option(help="Picture to write (.png).")] = "edit.png",
) -> None:
    """Move images or samples towards an attribute: G(h + s (mean with - mean without)), SWAE Section 4.3.

    The attribute is a class or a column of the data that are given, or else of the run's own, or a direction that was
    saved in the explorer.
    """
    from genae.explorer.render import Renderer
    from genae.report import figures

    _expect(out, ".png")
    model = _load(run)
    if band:
        model.band_layers(band)  # refuse it before the work
    if on not in ("images", "samples"):
        raise GenaeError(f"--on is {on!r}; expected images or samples")
    steps = [_number(text, "strengths") for text in strengths.split(",")]
    source = model.open_data(data, data_root, attributes=attributes, skip_bad=skip_bad or None)
    own_labels = data is not None and not source.directions()
    renderer = Renderer(model, run, lambda: model.open_data(None, data_root) if own_labels else source)
    if on == "images":
        images = source.images(source.split(_default_split(model, data))[:count])
        settings = {"amounts": {attribute: 1.0}, "direction": direction, "band": band or "", "strengths": steps}
        _save(renderer.figure("edit", images, settings), out)
    else:
        along = renderer.direction(attribute, direction)
        _save(figures.edit_grid(model, model.sample_codes(count, seed, prior), along, attribute, steps, band), out)


@app.command()
def mix(
    run: Run,
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    destinations: Annotated[
        str | None, typer.Option(help="Numbers of the images that are changed: a,b,...; by default the first six.")
    ] = None,
    sources: Annotated[
        str | None, typer.Option(help="Numbers of the images that give styles; by default the next two for each band.")
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            help="coarse, middle, fine, or resolutions such as 4-8, comma separated; by default all there are."
        ),
    ] = None,
    skip_bad: SkipBad = False,
    out: Annotated[str, typer.Option(help="Picture to write (.png).")] = "mix.png",
) -> None:
    """Style mixing of real images: coarse, middle or fine styles of one in another (ALAE Fig. 9). Needs styles."""
    import torch

    from genae.report.page import mixing_example

    _expect(out, ".png")
    model = _load(run)
    chosen = bands.split(",") if bands else []
    for band in chosen or ["coarse"]:  # refuse them, and models without styles, before the work
        model.band_layers(band)
    source, indices = _images(model, data, data_root, split, skip_bad)
    if len(indices) < 2:
        raise GenaeError(f"{source.name} has {len(indices)} images in this split; mixing needs at least 2")
    into, rows = mixing_example(model, source.images(indices[:12]), chosen)
    if destinations:
        into = source.images(indices[_numbers("destinations", destinations, len(indices))])
    if sources:
        given = source.images(indices[_numbers("sources", sources, len(indices))])
        rows = dict.fromkeys(rows, given)
    settings = {"bands": list(rows), "sources": len(next(iter(rows.values())))}
    _draw(run, model, "mix", torch.cat([into, *rows.values()]), settings, out)


@app.command("parts")
def show_parts(
    run: Run,
    show: Annotated[str, typer.Option(help="maps (where), crops (what), or swaps (of appearances).")] = "maps",
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    parts: Annotated[str | None, typer.Option(help="Numbers of parts, comma separated; by default all.")] = None,
    count: Annotated[int, typer.Option(help="Images, or crops of each part.", min=1)] = 10,
    skip_bad: SkipBad = False,
    out: Annotated[
        str, typer.Option(help="Picture to write (.png); of crops also a folder; of maps also numbers (.npz).")
    ] = "parts.png",
) -> None:
    """The parts of a patch-vae: where they occur, crops around their likeliest places, swapped appearances."""
    from genae.report import figures
    from genae.storage import save_arrays

    kinds = {"maps": (".png", ".npz"), "crops": (".png", ""), "swaps": (".png",)}
    if show not in kinds:
        raise GenaeError(f"--show is {show!r}; {nearest(show, kinds)}")
    _expect(out, *kinds[show])
    model = _load(run)
    source, indices = _images(model, data, data_root, split, skip_bad)
    images = source.images(indices[:count])
    appearance, occurrence = model.parts(images)
    numbers = _numbers("parts", parts, occurrence.shape[1], "parts") if parts else list(range(occurrence.shape[1]))
    if Path(out).suffix == ".npz":
        save_arrays(Path(out), {"appearance": appearance, "occurrence": occurrence, "indices": indices[:count]})
        console.print(escape(out))
    elif show == "maps":
        _draw(run, model, "parts", images, {"parts": numbers}, out)
    elif show == "swaps":
        if len(indices) < 2:
            raise GenaeError(f"{source.name} has {len(indices)} images in this split; swapping needs at least 2")
        _draw(run, model, "swap", images, {"parts": numbers}, out)
    elif Path(out).suffix:
        _save(figures.crop_grid(model, source, indices, numbers, count), out)
    else:
        found = figures.part_crops(model, source, indices, numbers, count)
        for part, (_, crops) in zip(numbers, found, strict=True):
            for place, image in enumerate(crops):
                figures.save_picture(figures.to_picture(image), Path(out) / f"part-{part:02d}" / f"{place:03d}.png")
        console.print(f"{len(numbers)} parts, up to {count} crops each: {escape(out)}")


@app.command()
def encode(
    run: Run,
    data: Data = None,
    data_root: DataRoot = None,
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "all",
    space: Space = "code",
    skip_bad: SkipBad = False,
    out: Annotated[str, typer.Option(help="File of codes (.npz or .safetensors).")] = "codes.npz",
) -> None:
    """Write the codes of images: codes [N, D], indices, labels and file names where there are any."""
    from genae.storage import save_arrays

    _expect(out, ".npz", ".safetensors")
    model = _load(run)
    source = model.open_data(data, data_root, skip_bad=skip_bad or None)
    indices = source.split(split)
    codes = model.encode_data(source, indices, space)
    arrays = {"codes": codes, "indices": indices}
    if source.labels is not None:
        arrays["labels"] = source.labels[indices]
    texts: dict[str, Any] = {"names": [source.names[i] for i in indices.tolist()]} if source.names else {}
    save_arrays(Path(out), arrays, space=space, **texts)
    console.print(f"{len(codes)} codes of {codes.shape[1]} numbers: {escape(out)}")


@app.command()
def decode(
    run: Run,
    codes: Annotated[str, typer.Argument(help="File of codes, as genae encode writes it.")],
    space: Annotated[
        str | None, typer.Option(help="code, or the name of a prior; by default what the file says.")
    ] = None,
    out: Annotated[str, typer.Option(help="A folder for single pictures, a .png sheet, or .npz.")] = "decoded",
) -> None:
    """Turn codes back into images."""
    from genae.report import figures
    from genae.storage import load_codes

    _expect(out, "", ".png", ".npz")
    model = _load(run)
    loaded, said = load_codes(Path(codes))
    images = model.decode(loaded, space or said or "code")
    if Path(out).suffix == ".png":
        _save(figures.sheet(images), out)
    else:
        _save_images(images, Path(out))


@app.command()
def explore(
    run: Run,
    data_root: DataRoot = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own asks for a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=1, max=65535)] = 8765,
    export: Annotated[
        str | None, typer.Option(help="Folder for a page that opens without a server; nothing is served.")
    ] = None,
) -> None:
    """One's own pictures in the browser: reconstruct, sample, interpolate, edit, map, export. Ctrl-C ends it."""
    from functools import partial

    from genae.explorer.render import Renderer

    model = _load(run)
    open_data = partial(model.open_data, None, data_root)
    if export:
        from genae.explorer.static import export_page

        if Path(export).exists() and not Path(export).is_dir():
            raise GenaeError(f"--export is {export!r}, a file; expected a folder")
        console.print(escape(str(export_page(Renderer(model, run, open_data), Path(export)))), soft_wrap=True)
        return
    try:
        from genae.explorer import server
    except ModuleNotFoundError as error:
        raise GenaeError(f"the explorer needs {error.name}: pip install 'genae[explorer]'") from None
    renderer = Renderer(model, run, open_data, most=server.MOST_IMAGES)

    def announce(address: str) -> None:
        console.print(f"[bold]{address}[/bold]  (Ctrl-C ends it)", soft_wrap=True)

    server.serve(renderer, run, host, port, announce, data_root)


@app.command("map")
def draw_map(
    run: Run,
    data_root: DataRoot = None,
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "test",
    count: Annotated[int, typer.Option(help="Images, drawn at random.", min=3)] = 1000,
    method: Annotated[str, typer.Option(help="pca, or umap if umap-learn is installed.")] = "pca",
    colour: Annotated[str, typer.Option(help="label or error.")] = "label",
    out: Annotated[str, typer.Option(help="Picture to write (.png), or codes and places (.npz).")] = "map.png",
) -> None:
    """The codes of the run's data in two dimensions."""
    from genae.explorer.atlas import COLOURS, Atlas, map_picture
    from genae.storage import save_arrays, write_atomically

    _expect(out, ".png", ".npz")
    if colour not in COLOURS:
        raise GenaeError(f"--colour is {colour!r}; {nearest(colour, COLOURS)}")
    model = _load(run)
    data = model.open_data(None, data_root)
    atlas = Atlas(model, data, split, count, method)
    if Path(out).suffix == ".png":
        write_atomically(Path(out), map_picture(atlas, data.classes, colour))
    else:
        arrays = {"codes": atlas.codes, "places": atlas.places, "indices": atlas.indices}
        save_arrays(Path(out), arrays, space="code")
    console.print(escape(out))


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

    from genae.explorer.anomaly import write_table
    from genae.explorer.render import Renderer

    _expect(out, ".png", ".csv")
    model = _load(run)
    source, indices = _images(model, data, data_root, split, skip_bad)
    renderer = Renderer(model, run, partial(model.open_data, None, data_root))
    with Work() as progress:
        found = renderer.detector().judge_data(source, indices, progress)
    console.print(
        f"{int(found.anomalous.sum())} of {len(indices)} images are above the threshold "
        f"{renderer.detector().threshold:.2f}"
    )
    if Path(out).suffix == ".csv":
        write_table(found, source, indices, Path(out))
        console.print(escape(out))
    else:
        strangest = found.score.argsort(descending=True, stable=True)[:count]
        _save(renderer.figure("anomaly", source.images(indices[strangest]), {}), out)


@app.command()
def report(run: Run, data_root: DataRoot = None, seed: Seed = 0) -> None:
    """Draw every figure of a run and write its report.html."""
    from genae.api import report as write

    data = _load(run).open_data(None, data_root) if data_root else None
    console.print(f"report: {escape(str(write(run, data, seed)))}", soft_wrap=True)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Run folders.")],
    format: Annotated[str, typer.Option(help="table, markdown or latex.")] = "table",
) -> None:
    """Measurements of several runs side by side; numbers made by different protocols are named."""
    from genae.api import compare as side_by_side

    _expect_format(format)
    header, rows, remarks = side_by_side(runs)
    _show_table(header, rows, format)
    for remark in remarks:
        note(remark)


@app.command()
def reproduce(
    table: Annotated[
        str, typer.Argument(help="swae/table1, aaae/table1 and 2, alae/table2 to 4, patchvae/table1 to 7.")
    ],
    budget: Annotated[str, typer.Option(help="smoke (minutes), cpu, or gpu (the papers' settings).")] = "cpu",
    seeds: Annotated[str, typer.Option(help="Comma separated.")] = "0",
    rows: Annotated[str | None, typer.Option(help="Only these rows, comma separated.")] = None,
    columns: Annotated[str | None, typer.Option(help="Only these columns, comma separated.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="NAME=SOURCE, such as celeba=FOLDER.")] = None,
    data_root: DataRoot = None,
    runs: Annotated[str, typer.Option(help="Folder of the runs, which are resumed.")] = "runs/reproduce",
    out: Annotated[str, typer.Option(help="Folder of the tables.")] = "results",
) -> None:
    """A paper's table: train what is missing, measure it, and write paper / measured with the protocol."""
    import shlex

    from genae.reproduce import reproduce as run_table

    sources = {}
    for text in data or []:
        name, equals, source = text.partition("=")
        if not equals:
            raise GenaeError(f"--data is {text!r}; expected NAME=SOURCE such as celeba=FOLDER")
        sources[name] = source
    path = run_table(
        table, budget=budget, seeds=_seeds(seeds), rows=rows.split(",") if rows else None,
        columns=columns.split(",") if columns else None, sources=sources, data_root=data_root, runs=runs, out=out,
        command="genae " + shlex.join(sys.argv[1:]), say=lambda text: console.print(escape(text), soft_wrap=True),
    )  # fmt: skip
    console.print(escape(str(path)), soft_wrap=True)


@app.command("data", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def inspect(
    context: typer.Context, source: Annotated[str, typer.Argument(help="A name, folder, .zip or array.")]
) -> None:
    """Show what a source holds and what will be done to it. Flags: --size, --fit, --channels, --skip-bad, ..."""
    data = _open(source, context.args)
    channels, height, width = data.image_shape
    console.print(
        f"[bold]{escape(source)}[/bold]: {len(data.pixels)} images, {channels} x {height} x {width} (C x H x W)"
    )
    stored = f"{data.pixels.dtype}".removeprefix("torch.")
    lowest, highest = data.pixels.min().item(), data.pixels.max().item()
    console.print(
        f"  in memory as {stored}, {data.pixels.numel() * data.pixels.element_size() / 1e6:.1f} MB; "
        f"values found {lowest:g} to {highest:g}"
    )
    if data.labels is not None:
        counts = data.labels.bincount(minlength=len(data.classes)).tolist()
        shown = ", ".join(f"{name} {n}" for name, n in list(zip(data.classes, counts, strict=True))[:12])
        console.print(f"  {len(data.classes)} classes: {escape(shown)}{', ...' if len(data.classes) > 12 else ''}")
    if data.attributes:
        console.print(f"  attributes: {escape(', '.join(data.attributes))}")
    for fact in data.describe():
        console.print(f"  {escape(fact)}", soft_wrap=True)


@app.command("list")
def list_all() -> None:
    """Autoencoders, presets, metrics and built-in data sets."""
    from genae.autoencoders import AUTOENCODERS
    from genae.data.builtin import NAMES
    from genae.metrics import METRICS
    from genae.presets import PRESETS

    for title, lines in {
        "autoencoders": [f"{name}: {(cls.__doc__ or '').splitlines()[0]}" for name, cls in AUTOENCODERS.items()],
        "presets": list(_preset_lines(PRESETS)),
        "metrics": [
            f"{name}: " + "; ".join(f"{start}, {text}" if start != name else text for start, text in m.records.items())
            for name, m in METRICS.items()
        ],
        "data sets": [", ".join(NAMES) + "; or a folder, a .zip of one, an .npz or .npy array"],
    }.items():
        console.print(f"[bold]{title}[/bold]")
        for line in lines:
            console.print(f"  {escape(line)}", soft_wrap=True)


def _preset_lines(presets: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each preset, with the endings of those that vary it."""
    for name, preset in presets.items():
        if any(name.startswith(f"{other}-") for other in presets):
            continue
        endings = [other.removeprefix(name) for other in presets if other.startswith(f"{name}-")]
        width = f", width {preset['width']}" if "width" in preset else ""
        varied = f"; also {', '.join(endings)}" if endings else ""
        yield f"{name}: {preset['images']:,} images of {preset.get('data', 'your --data')}{width}{varied}"


@app.command("import-alae")
def import_weights(
    file: Annotated[str, typer.Argument(help="A .pth file of https://github.com/podgorskiy/ALAE that you downloaded.")],
    out: Annotated[str, typer.Option(help="Weights file to write (.safetensors).")] = "alae.safetensors",
) -> None:
    """Convert the ALAE authors' StyleALAE weights; encode, decode, mix, ... then take the file as RUN."""
    from genae.importing import import_alae

    _expect(out, ".safetensors")
    console.print(escape(str(import_alae(Path(file).expanduser(), out))), soft_wrap=True)


@app.command("train-classifier", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train_classifier_command(
    context: typer.Context, data: Annotated[str, typer.Option(help="Labelled data.")], seed: Seed = 0
) -> None:
    """Train the classifier that scores samples of a data set; kept in genae's cache. Flags as for genae data."""
    from genae import distributed
    from genae.metrics.classifier import classifier_path, train_classifier

    source = _open(data, context.args)
    with Work() as progress:
        classifier = train_classifier(source, distributed.start("auto"), seed=seed, progress=progress)
    console.print(f"{classifier.name}: test accuracy {classifier.details['accuracy']:.2%}, weights {classifier.digest}")
    console.print(escape(str(classifier_path(source))), soft_wrap=True)


def _open(source: str, arguments: Sequence[str]) -> "ImageData":
    """Open a source with the flags that are arguments of `open_data`."""
    from typing import get_type_hints

    from genae.data.sources import open_data
    from genae.training.config import Config, parse_value

    known = Config(model="", data=source).data_options()
    types = get_type_hints(Config)
    settings = _settings(arguments)
    for key in settings:
        if key not in known:
            raise GenaeError(f"there is no flag --{key.replace('_', '-')}; {nearest(key, known)}")
    options = {key: parse_value(key, value, types[key]) for key, value in settings.items()}
    return open_data(source, **Config(model="", data=source, **options).data_options())


def _settings(arguments: Sequence[str]) -> dict[str, Any]:
    """``--learning-rate 1e-4 --flip`` -> {"learning_rate": "1e-4", "flip": "true"}."""
    settings: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--") or flag == "--":
            raise GenaeError(f"unexpected argument {flag!r}; settings are given as --name value")
        name, equals, value = flag[2:].partition("=")
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        settings[name.replace("-", "_")] = value
    return settings


def _load(run: str) -> "Model":
    from genae.model import load

    return load(run)


def _default_split(model: "Model", data: str | None) -> str:
    return "test" if data is None or data == model.config.data else "all"


def _images(
    model: "Model", data: str | None, data_root: str | None, split: str | None, skip_bad: bool
) -> "tuple[ImageData, Tensor]":
    source = model.open_data(data, data_root, skip_bad=skip_bad or None)
    return source, source.split(split or _default_split(model, data))


def _expect_format(format: str) -> None:
    from genae.report.tables import FORMATS

    if format not in ("table", *FORMATS):
        raise GenaeError(f"--format is {format!r}; {nearest(format, ['table', *FORMATS])}")


def _show_table(header: Sequence[str], rows: Sequence[Sequence[str]], format: str) -> None:
    from genae.report.tables import FORMATS

    if format == "table":
        print_table(header, rows)
    else:
        print(FORMATS[format](header, rows))


def _weight_files(given: Sequence[str], metrics: Sequence[str], networks: Sequence[str]) -> dict[str, Path]:
    """``NETWORK=FILE`` or, where one network alone is downloaded, ``FILE`` -> network and file."""
    from genae.metrics.judges import networks_needed

    names = [name for name in networks_needed(metrics, networks) if name not in ("classifier", "pixels")]
    names += ["vgg16", "lpips"] if {"lpips", "ppl"} & set(metrics) else []
    files = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals and len(names) != 1:
            listed = " or ".join(f"{name}={text}" for name in names) or "no network that has a weight file"
            raise GenaeError(f"--weights {text} does not say which network it is for; expected {listed}")
        if equals and name not in names:
            raise GenaeError(
                f"--weights {text}: {name!r} is not used here; expected one of {', '.join(names) or 'none'}"
            )
        path = Path(file if equals else text).expanduser()
        if not path.is_file():
            raise GenaeError(f"there is no weight file {path}")
        files[name if equals else names[0]] = path
    return files


def _pairs(text: str | None, count: int) -> list[tuple[int, int]]:
    if text is None:
        return [(2 * i, min(2 * i + 1, count - 1)) for i in range(min(4, (count + 1) // 2))]
    try:
        pairs = [(int(a), int(b)) for a, b in (pair.split("-") for pair in text.split(","))]
    except ValueError:
        raise GenaeError(f"--pairs is {text!r}; expected numbers of images such as 0-1,2-3") from None
    if max(map(max, pairs)) >= count:
        raise GenaeError(f"image number {max(map(max, pairs))} was asked for; this split has {count} images, from 0")
    return pairs


def _numbers(flag: str, text: str, count: int, things: str = "images") -> list[int]:
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        raise GenaeError(f"--{flag} is {text!r}; expected numbers of {things} such as 0,1,2,3") from None
    for number in numbers:
        if not 0 <= number < count:
            raise GenaeError(f"--{flag} holds {number}; there are {count} {things}, from 0")
    return numbers


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        raise GenaeError(f"--seeds is {text!r}; expected whole numbers such as 0,1,2") from None


def _number(text: str, flag: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise GenaeError(f"--{flag} holds {text!r}; expected numbers separated by commas")
    return number


def _expect(out: str, *endings: str) -> None:
    """Refuse a name of another kind before the work is done, not after it."""
    if Path(out).suffix not in endings:
        kinds = " or ".join(ending or "a folder" for ending in endings)
        raise GenaeError(f"--out is {out!r}; expected {kinds}")


def _draw(
    run: str, model: "Model", operation: str, images: "Tensor | None", settings: Mapping[str, Any], out: str
) -> None:
    """Write the figure of an operation, or its animation, as the explorer would."""
    import torch

    from genae.explorer.render import Renderer
    from genae.report.figures import save_animation

    renderer = Renderer(model, run)
    pictures = torch.zeros(0, *model.image_shape) if images is None else images
    if Path(out).suffix == ".gif":
        save_animation(renderer.frames(pictures, settings), Path(out))
        console.print(escape(out))
    else:
        _save(renderer.figure(operation, pictures, settings), out)


def _save(picture: Any, out: str) -> None:
    from genae.report.figures import save_picture

    save_picture(picture, Path(out))
    console.print(escape(out))


def _save_images(images: "Tensor", target: Path) -> None:
    from genae.report.figures import save_picture, to_picture
    from genae.storage import save_arrays

    if target.suffix == ".npz":
        save_arrays(target, {"images": images})
    else:
        for number, image in enumerate(images):
            save_picture(to_picture(image), target / f"{number:06d}.png")
    console.print(f"{len(images)} images: {escape(str(target))}")
