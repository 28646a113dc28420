"""Commands that draw what a model does with images."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from genae.cli.app import app
from genae.cli.arguments import (
    Checkpoint,
    Data,
    DataRoot,
    Force,
    Guidance,
    Run,
    Seed,
    SkipBad,
    SolverSteps,
    Space,
    Split,
    Truncation,
    expect_ending,
    expect_writable,
    names_of,
    number_of,
    numbers_of,
    pairs_of,
)
from genae.cli.inputs import default_split, images_of, know_set, load_run, note_conversions, shown, some
from genae.cli.outputs import draw, save_figure, save_images, show_table
from genae.cli.screen import Work, console, note
from genae.errors import GenaeError, nearest

if TYPE_CHECKING:
    from genae.operations import Session
    from genae.operations.transport import Transport


@app.command()
def reconstruct(
    run: Run,
    checkpoint: Checkpoint = None,
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    count: Annotated[int, typer.Option(help="Number of images.", min=1)] = 12,
    truncation: Truncation = 1.0,
    solver_steps: SolverSteps = None,
    skip_bad: SkipBad = False,
    force: Force = False,
    out: Annotated[str, typer.Option(help="Picture to write (.png).")] = "reconstructions.png",
) -> None:
    """Draw images and their reconstructions, through the code and through every prior."""
    expect_ending(out, ".png")
    expect_writable(out, force)
    from genae.operations import Session
    from genae.operations.reconstruct import Reconstruct

    model = load_run(run, checkpoint, solver_steps)
    source, indices = images_of(model, data, data_root, split, skip_bad)
    draw(Reconstruct(truncation=truncation), Session(model, run), source.images(shown(source, indices, count)), out)


@app.command()
def sample(
    run: Run,
    checkpoint: Checkpoint = None,
    count: Annotated[
        int | None, typer.Option(help="Number of samples, 64 by default; of several classes 8 of each.", min=1)
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="Prior to sample; all on a sheet, and the first in a folder or .npz, by default.")
    ] = None,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    solver_steps: SolverSteps = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            help="Class of the samples, for a prior that was fitted with --given; several, or all, are a row each."
        ),
    ] = None,
    guidance: Guidance = 1.0,
    force: Force = False,
    out: Annotated[str, typer.Option(help="A .png sheet, a folder for single pictures, or .npz.")] = "samples.png",
) -> None:
    """Draw new images from the priors.

    A folder of several classes has a folder for each; .npz has their names as labels.
    """
    from genae.operations import Session
    from genae.operations.sample import Sample

    expect_ending(out, "", ".png", ".npz")
    model = load_run(run, checkpoint, solver_steps)
    priors = [prior] if prior else [model.first_prior(conditional=True)] if given else model.priors
    if not priors:
        raise GenaeError(f"{run} ({model.config.model}) has no prior to sample from")
    several = Path(out).suffix == ".png" and len(priors) > 1
    sheets = {name: f"{Path(out).with_suffix('')}-{name.replace('/', '-')}.png" if several else out for name in priors}
    operations = {name: Sample(name, count, seed, truncation, tuple(given or ()), guidance) for name in priors}
    first = operations[priors[0]]
    folders = first.classes(model) if not Path(out).suffix else []
    for target in dict.fromkeys(sheets.values()):
        expect_writable(target, force, folders=folders if len(folders) > 1 else ())
    if Path(out).suffix != ".png":
        if len(priors) > 1:
            note(f"these are samples of the {priors[0]} prior; choose another with --prior: {', '.join(priors[1:])}")
        codes, classes = first.drawn(model)
        with Work() as progress:
            save_images(model, codes, "code", Path(out), progress, classes, model.classes(priors[0]))
        return
    for name, target in sheets.items():
        draw(operations[name], Session(model, run), None, target)


@app.command()
def interpolate(
    run: Run,
    checkpoint: Checkpoint = None,
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    pairs: Annotated[
        str | None, typer.Option(help="Pairs of image numbers in the split: a-b,c-d,...; four pairs by default.")
    ] = None,
    corners: Annotated[
        str | None,
        typer.Option(help="Numbers of four images, a,b,c,d: the square between their codes instead of paths."),
    ] = None,
    space: Space = "code",
    path: Annotated[str, typer.Option(help="linear or spherical; a square is linear.")] = "linear",
    steps: Annotated[int, typer.Option(help="Images per path or side, ends included.", min=2)] = 9,
    skip_bad: SkipBad = False,
    force: Force = False,
    out: Annotated[
        str, typer.Option(help="Picture to write (.png), or an animation of the paths (.gif).")
    ] = "interpolation.png",
) -> None:
    """Draw paths between pairs of images, or the square between four, in code space or in a prior's."""
    from genae.operations import Session
    from genae.operations.interpolate import Interpolate
    from genae.reports.figures import save_animation

    expect_ending(out, ".png", *([] if corners else [".gif"]))
    expect_writable(out, force)
    if corners and (pairs or path != "linear"):
        raise GenaeError(f"--corners draws a bilinear square; leave out {'--pairs' if pairs else '--path'}")
    model = load_run(run, checkpoint)
    source, indices = images_of(model, data, data_root, split, skip_bad)
    if corners:
        numbers = numbers_of("corners", corners, len(indices))
        if len(numbers) != 4:
            raise GenaeError(f"--corners is {corners!r}; expected four numbers of images such as 0,1,2,3")
    else:
        if pairs is None:
            indices = some(source, indices, 8)
        numbers = [number for pair in pairs_of(pairs, len(indices)) for number in pair]
    between = tuple(() if corners else range(len(numbers)))
    operation = Interpolate(space, path, steps, pairs=between, square=bool(corners))
    session, pictures = Session(model, run), source.images(indices[numbers])
    if Path(out).suffix == ".gif":
        save_animation(operation.frames(session, pictures), Path(out))
        console.print(escape(out))
    else:
        draw(operation, session, pictures, out)


@app.command()
def edit(
    run: Run,
    attribute: Annotated[str, typer.Option(help="Name of a class or of a column of the attribute table.")],
    data: Data = None,
    data_root: DataRoot = None,
    attributes: Annotated[str | None, typer.Option(help="Table of attributes: CSV or CelebA's format.")] = None,
    on: Annotated[str, typer.Option(help="images, or samples of a prior.")] = "images",
    prior: Annotated[str | None, typer.Option(help="Prior of the samples.")] = None,
    strengths: Annotated[str, typer.Option(help="Steps along the direction, separated by commas.")] = "-2,-1,0,1,2",
    direction: Annotated[
        str, typer.Option(help="mean (difference of means) or svm (normal of the separating plane).")
    ] = "mean",
    band: Annotated[
        str | None, typer.Option(help="For a model with styles: change only coarse, middle or fine layers, or 4-8, ...")
    ] = None,
    count: Annotated[int, typer.Option(help="Number of images or samples.", min=1)] = 6,
    seed: Seed = 0,
    skip_bad: SkipBad = False,
    force: Force = False,
    out: Annotated[str, typer.Option(help="Picture to write (.png).")] = "edit.png",
) -> None:
    """Move images or samples towards an attribute: G(h + s (mean with - mean without)), SWAE Section 4.3.

    The attribute is a class or a column of the data that are given, or else of the run's own, or a direction that was
    saved in the explorer.
    """
    from genae.operations import Session
    from genae.operations.edit import Edit

    expect_ending(out, ".png")
    expect_writable(out, force)
    model = load_run(run)
    if band:
        model.band_layers(band)  # refuse it before the work
    if on not in ("images", "samples"):
        raise GenaeError(f"--on is {on!r}; expected images or samples")
    steps = tuple(number_of(text, "strengths") for text in strengths.split(","))
    source = model.open_data(data, data_root, attributes=attributes, skip_bad=skip_bad or None)
    if data is not None:
        note_conversions(source)
    own_labels = data is not None and not source.directions()
    session = Session(model, run, lambda: model.open_data(None, data_root) if own_labels else source)
    indices = source.split(default_split(model, data))
    images = source.images(shown(source, indices, count)) if on == "images" else None
    operation = Edit({attribute: 1.0}, direction, band or "", steps, on, prior or "", count, seed)
    draw(operation, session, images, out)


@app.command()
def transport(
    run: Run,
    source: Annotated[
        str, typer.Option("--from", help="Images to carry: a class or attribute of the run's data, or another source.")
    ],
    target: Annotated[str, typer.Option("--to", help="Where to: likewise. 'not NAME' is what lacks an attribute.")],
    by: Annotated[
        str | None,
        typer.Option(
            help="Maps, separated by commas: flow (a prior fitted with --given), gaussian (the optimal map), mean "
            "(the direction between means); all that there are by default."
        ),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option(
            help="Shares of the way from 0 to 1, separated by commas; by default 1, and of one map also its quarters."
        ),
    ] = None,
    prior: Annotated[str | None, typer.Option(help="The flow's prior; the first that knows both by default.")] = None,
    data: Annotated[str | None, typer.Option(help="Images to carry, instead of test images of --from.")] = None,
    data_root: DataRoot = None,
    attributes: Annotated[str | None, typer.Option(help="Table of attributes: CSV or CelebA's format.")] = None,
    count: Annotated[int, typer.Option(help="Number of images in the picture.", min=1)] = 6,
    skip_bad: SkipBad = False,
    force: Force = False,
    out: Annotated[
        str, typer.Option(help="Picture to write (.png), or the carried codes of all images (.npz or .safetensors).")
    ] = "transport.png",
) -> None:
    """Carry images of one class, attribute or source to another, and measure each map on test images.

    genae transport RUN --from 3 --to 8
    genae transport RUN --from cats --to dogs --by gaussian
    """
    from dataclasses import replace
    from functools import partial

    from genae.operations import Session
    from genae.operations.transport import Transport
    from genae.rows import Stream
    from genae.storage import save_arrays

    expect_ending(out, ".png", ".npz", ".safetensors")
    expect_writable(out, force)
    steps = tuple(number_of(text, "strengths") for text in strengths.split(",")) if strengths else ()
    operation = Transport(source, target, tuple(names_of("by", by) or ()), steps, prior or "")
    model = load_run(run)
    session = Session(model, run, partial(model.open_data, None, data_root, attributes=attributes))
    for name in (source, target):
        know_set(session, name, data_root, skip_bad)
    if data is None:
        images, indices = session.sets[source].data, session.sets[source].indices("test")
    else:
        images, indices = images_of(model, data, data_root, None, skip_bad)
    if "flow" not in operation.maps(session) and not by:
        try:
            session.sets.map(source, target, "flow")
        except GenaeError as error:
            note(f"the flow is left out: {error}")
    if Path(out).suffix == ".png":
        draw(operation, session, images.images(shown(images, indices, count)), out)
        if data is None:
            _show_measures(operation, session)
        return
    if not by:
        operation = replace(operation, by=operation.maps(session)[:1])
        note(f"these are codes of the map {operation.by[0]}; choose another with --by")
    with Work() as progress:
        parts = (operation.carried_alone(session, codes) for codes in model.encoded(images, indices, progress=progress))
        codes = Stream((len(indices), model.code_dim), parts)
        save_arrays(Path(out), {"codes": codes, "indices": indices}, space="code")
    console.print(f"{len(indices)} codes of {model.code_dim} numbers: {escape(out)}")


def _show_measures(operation: "Transport", session: "Session") -> None:
    """Measure every map on the source's test images, and print a line for each."""
    from genae.operations.transport import measure

    with Work() as progress:
        classifier = session.sets.classifier(operation.target, progress)
        measured = measure(session, operation, classifier, progress)
    header = ["", f"recognised as {operation.target}", "distance of codes", "MSE", "round trip"]
    rows = []
    for name, values in measured.items():
        texts = ("{:.1%}", "{:.3f}", "{:.4f}", "{:.1e}")
        numbers = ("" if math.isnan(v) else text.format(v) for text, v in zip(texts, values, strict=True))
        rows.append([name, *numbers])
    used = [i for i in range(len(header)) if i == 0 or any(row[i] for row in rows)]
    show_table([header[i] for i in used], [[row[i] for i in used] for row in rows], "table")


@app.command()
def mix(
    run: Run,
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    destinations: Annotated[
        str | None,
        typer.Option(help="Numbers of the images that are changed: a,b,...; by default six of several classes."),
    ] = None,
    sources: Annotated[
        str | None, typer.Option(help="Numbers of the images that give styles; by default the next two for each band.")
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            help="coarse, middle, fine, or resolutions such as 4-8, separated by commas; all bands by default."
        ),
    ] = None,
    skip_bad: SkipBad = False,
    force: Force = False,
    out: Annotated[str, typer.Option(help="Picture to write (.png).")] = "mix.png",
) -> None:
    """Apply coarse, middle or fine styles of some images to others (ALAE Fig. 9), with a model that has styles."""
    import torch

    from genae.latent import mixing
    from genae.operations import Session
    from genae.operations.mix import Mix

    expect_ending(out, ".png")
    expect_writable(out, force)
    model = load_run(run)
    names = bands.split(",") if bands else mixing.bands_of(model.layers)
    for band in names or ["coarse"]:  # refuse them, and models without styles, before the work
        model.band_layers(band)
    if model.autoencoder.resolution < max(model.image_shape[1:]):
        side = model.autoencoder.resolution
        note(f"the model has grown to {side} x {side} pixels so far: until it is trained further, it draws blocks")
    source, indices = images_of(model, data, data_root, split, skip_bad)
    if len(indices) < 2:
        raise GenaeError(f"{source.name} has {len(indices)} images in this split; mixing needs at least 2")
    into, rows = mixing.mixing_example(source.images(shown(source, indices, 12)), model.layers, names)
    if destinations:
        into = source.images(indices[numbers_of("destinations", destinations, len(indices))])
    if sources:
        given = source.images(indices[numbers_of("sources", sources, len(indices))])
        rows = dict.fromkeys(rows, given)
    operation = Mix(tuple(rows), len(next(iter(rows.values()))))
    draw(operation, Session(model, run), torch.cat([into, *rows.values()]), out)


@app.command("parts")
def show_parts(
    run: Run,
    show: Annotated[
        str, typer.Option(help="maps (where parts occur), crops (what they look like), or swaps (of appearances).")
    ] = "maps",
    data: Data = None,
    data_root: DataRoot = None,
    split: Split = None,
    parts: Annotated[str | None, typer.Option(help="Numbers of parts, separated by commas; all by default.")] = None,
    from_part: Annotated[
        int | None,
        typer.Option(help="For swaps: the part of the source whose appearance is taken; the same part by default."),
    ] = None,
    count: Annotated[int, typer.Option(help="Images, or crops of each part.", min=1)] = 10,
    seed: Annotated[
        int | None,
        typer.Option(help="For crops: random images among those where the part is likely, instead of the likeliest."),
    ] = None,
    skip_bad: SkipBad = False,
    force: Force = False,
    out: Annotated[
        str,
        typer.Option(
            help="Picture to write (.png). For crops also a folder, with a table; for maps also numbers (.npz)."
        ),
    ] = "parts.png",
) -> None:
    """Draw the parts of a patch-vae: where they occur, crops around their likeliest places, swapped appearances."""
    from genae.operations import Session
    from genae.operations.parts import Parts, Swap
    from genae.reports import part_figures
    from genae.storage import save_arrays

    kinds = {"maps": (".png", ".npz"), "crops": (".png", ""), "swaps": (".png",)}
    if show not in kinds:
        raise GenaeError(f"--show is {show!r}; {nearest(show, kinds)}")
    expect_ending(out, *kinds[show])
    expect_writable(out, force)
    model = load_run(run)
    source, indices = images_of(model, data, data_root, split, skip_bad)
    images = source.images(indices[:count])
    appearance, occurrence = model.parts(images)
    there = occurrence.shape[1]
    numbers = list(range(there)) if parts is None else numbers_of("parts", parts, there, "parts")
    other = -1 if from_part is None else numbers_of("from-part", str(from_part), there, "parts")[0]
    for flag, given, belongs in (("from-part", from_part, "swaps"), ("seed", seed, "crops")):
        if given is not None and show != belongs:
            raise GenaeError(f"--{flag} is for --show {belongs}, not {show}; leave it out")
    if Path(out).suffix == ".npz":
        save_arrays(Path(out), {"appearance": appearance, "occurrence": occurrence, "indices": indices[:count]})
        console.print(escape(out))
    elif show == "maps":
        draw(Parts(tuple(numbers)), Session(model, run), images, out)
    elif show == "swaps":
        if len(indices) < 2:
            raise GenaeError(f"{source.name} has {len(indices)} images in this split; swapping needs at least 2")
        draw(Swap(tuple(numbers), other), Session(model, run), images, out)
    elif Path(out).suffix:
        save_figure(part_figures.crop_grid(model, source, indices, numbers, count, seed), out)
    else:
        written = part_figures.save_crops(
            part_figures.part_crops(model, source, indices, numbers, count, seed), source, Path(out)
        )
        console.print(f"{written} crops of {len(numbers)} parts, and crops.csv: {escape(out)}")
