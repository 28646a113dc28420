"""Commands about what there is: data, models, metrics; and packing data."""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from genae.cli.app import app
from genae.cli.inputs import open_source, source_options
from genae.cli.screen import Work, console, duration, note, print_table

if TYPE_CHECKING:
    from genae.settings.presets import Preset


SOURCE = "A name, a folder, or a .zip, .tar, .parquet, picture, array or packed file."


@app.command("data", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def inspect(context: typer.Context, source: Annotated[str, typer.Argument(help=SOURCE)]) -> None:
    """Show what a source holds and how it will be prepared. Flags: --size, --fit, --channels, --skip-bad, ..."""
    from genae.data.packed import ENDING, PackedStore

    data = open_source(source, context.args)
    channels, height, width = data.image_shape
    console.print(
        f"[bold]{escape(source)}[/bold]: {len(data):,} images, {channels} x {height} x {width} (C x H x W)",
        soft_wrap=True,
    )
    lowest, highest = data.store.range()
    console.print(
        f"  {escape(data.store.described)}, {data.store.nbytes / 1e6:,.1f} MB; stored values {lowest:g} to {highest:g}",
        soft_wrap=True,
    )
    if data.labels is not None:
        counts = data.labels.bincount(minlength=len(data.classes)).tolist()
        shown = ", ".join(f"{name} {n}" for name, n in list(zip(data.classes, counts, strict=True))[:12])
        more = ", ..." if len(data.classes) > 12 else ""
        console.print(f"  {len(data.classes)} classes: {escape(shown)}{more}", soft_wrap=True)
    if data.attributes:
        console.print(f"  attributes: {escape(', '.join(data.attributes))}", soft_wrap=True)
    for fact in data.describe():
        console.print(f"  {escape(fact)}", soft_wrap=True)
    if isinstance(data.store, PackedStore) and source.lower().endswith(ENDING):  # the cache's are read in passing
        with Work() as progress:
            blocks = data.store.check(progress)
        many, one = f"all {blocks:,} blocks are as they were packed", "its one block is as it was packed"
        console.print(f"  {many if blocks > 1 else one}", soft_wrap=True)


@app.command("pack", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def pack_source(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help=SOURCE)],
    out: Annotated[str, typer.Option(help="The packed file, NAME.genae.")],
    levels: Annotated[
        bool, typer.Option("--levels", help="Add halved images, down to 4 pixels, for models that grow.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Decode a source once into a file that opens at once and needs no memory. Flags: those of genae data.

    If it is interrupted, the same command goes on where it was.
    """
    from genae.data.packed import PackedStore
    from genae.data.sources import pack

    begun = time.monotonic()
    options = source_options("genae pack", source, context.args)
    with Work("images") as progress:
        data = pack(source, out, levels=levels, force=force, progress=progress, **options)
    channels, height, width = data.image_shape
    assert isinstance(data.store, PackedStore)
    size, seconds = data.store.path.stat().st_size, time.monotonic() - begun
    console.print(
        f"{escape(out)}: {len(data):,} images, {channels} x {height} x {width}{data.store.halved}, "
        f"{size / 1e6:,.1f} MB, packed in {duration(seconds)}",
        soft_wrap=True,
    )
    note(f"train with it: genae train MODEL --data {out}")


@app.command("list")
def list_all(
    properties: Annotated[
        bool, typer.Option("--properties", help="Only the table of what trains each autoencoder (ALAE, Table 1).")
    ] = False,
) -> None:
    """Autoencoders, priors, presets, tables, labs, metrics and built-in data sets, each with what it is for."""
    from genae.autoencoders import AUTOENCODERS, IMPORTED
    from genae.data.names import DOWNLOADED, OFFLINE
    from genae.priors import PRIORS
    from genae.reproduction.labs import LABS
    from genae.reproduction.published import TABLES
    from genae.settings.presets import PRESETS

    if properties:
        rows = [[name, *model.criteria] for name, model in AUTOENCODERS.items()]
        print_table(["autoencoder", "data are matched by", "distribution of codes", "reciprocity in"], rows)
        return
    _section("autoencoders", "genae train NAME", AUTOENCODERS.summaries())
    _section("autoencoders of others", "genae import-autoencoder NAME:SOURCE", IMPORTED.summaries())
    _section("priors", "genae prior RUN NAME", PRIORS.summaries())
    _section("presets", "genae train NAME", dict(_preset_lines(PRESETS)))
    tables = {name: table.title for name, table in sorted(TABLES.items(), key=lambda entry: _by_number(entry[0]))}
    _section("tables and figures of the papers", "genae reproduce NAME", tables)
    labs = {name: lab.title for name, lab in LABS.items()}
    _section("labs: every autoencoder with every prior", "genae reproduce NAME", labs)
    _section("metrics", "genae evaluate RUN --metrics NAME", _metric_lines())
    data_sets = {
        ", ".join(OFFLINE): "need no files and no network",
        ", ".join(DOWNLOADED): "read from --data-root, or downloaded by torchvision",
        "your own": "a folder, a .zip or .tar of one, tar shards, parquet files, an lmdb database, an .npz or .npy, "
        "a packed .genae",
    }
    _section("data sets", "genae data NAME", data_sets)


def _by_number(table: str) -> tuple[str, int]:
    """``aaae/figure10`` behind ``aaae/figure2``."""
    name = table.rstrip("0123456789")
    return name, int(table.removeprefix(name))


def _section(title: str, command: str, entries: Mapping[str, str]) -> None:
    """A title with the command that takes these names, and a line for each."""
    console.print(f"[bold]{title}[/bold]  [dim]{command}[/dim]")
    for name, text in entries.items():
        console.print(f"  [bold]{escape(name)}[/bold]: {escape(text)}", soft_wrap=True)


def _metric_lines() -> dict[str, str]:
    """Every metric with what its numbers say."""
    from genae.metrics import METRICS

    return {
        name: "; ".join(f"{start}, {text}" if start != name else text for start, text in metric.records.items())
        for name, metric in METRICS.items()
    }


def _preset_lines(presets: "Mapping[str, Preset]") -> Iterator[tuple[str, str]]:
    """A line for each preset and its variants, with the endings of those that vary it."""
    for name, preset in presets.items():
        if any(name.startswith(f"{other}-") for other in presets):
            continue
        endings = [other.removeprefix(name) for other in presets if other.startswith(f"{name}-")]
        width = f", width {preset['width']}" if "width" in preset else ""
        varied = f"; also {', '.join(endings)}" if endings else ""
        yield name, f"{preset['images']:,} images of {preset.get('data', 'your --data')}{width}{varied}"
