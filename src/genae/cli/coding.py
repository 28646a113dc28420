"""Commands for codes: encode, decode, map, explore."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from genae.cli.app import app
from genae.cli.arguments import Checkpoint, Data, DataRoot, Force, Run, SkipBad, Space, expect_ending, expect_writable
from genae.cli.inputs import images_of, load_run
from genae.cli.outputs import draw, save_figure, save_images
from genae.cli.screen import Work, console
from genae.errors import GenaeError


@app.command()
def encode(
    run: Run,
    checkpoint: Checkpoint = None,
    data: Data = None,
    data_root: DataRoot = None,
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "all",
    space: Space = "code",
    skip_bad: SkipBad = False,
    force: Force = False,
    out: Annotated[str, typer.Option(help="File of codes (.npz, .safetensors or .npy).")] = "codes.npz",
) -> None:
    """Write the codes of images to a file: codes [N, D], indices, and labels and file names if there are any.

    A .npy file holds the codes alone, and the rest stands beside it: codes.npy and codes.rows.npz."""
    from genae.rows import Stream
    from genae.storage import beside, save_arrays

    expect_ending(out, ".npz", ".safetensors", ".npy")
    expect_writable(out, force)
    if out.endswith(".npy"):
        expect_writable(str(beside(Path(out))), force)
    model = load_run(run, checkpoint)
    source, indices = images_of(model, data, data_root, split, skip_bad)
    texts: dict[str, Any] = {"names": [source.names[i] for i in indices.tolist()]} if source.names else {}
    with Work() as progress:
        parts = model.encoded(source, indices, space, progress)
        shape = len(indices), model.width(space)
        labels = {} if source.labels is None else {"labels": source.labels[indices]}
        save_arrays(Path(out), {"codes": Stream(shape, parts), "indices": indices, **labels}, space=space, **texts)
    console.print(f"{shape[0]} codes of {shape[1]} numbers: {escape(out)}")


@app.command()
def decode(
    run: Run,
    codes: Annotated[str, typer.Argument(help="File of codes, as genae encode writes it.")],
    checkpoint: Checkpoint = None,
    space: Annotated[
        str | None, typer.Option(help="code, or the name of a prior; by default the space that the file names.")
    ] = None,
    force: Force = False,
    out: Annotated[str, typer.Option(help="A folder for single pictures, a .png sheet, .npz or .npy.")] = "decoded",
) -> None:
    """Turn codes back into images."""
    from genae.operations.operation import expect_fits
    from genae.reports import figures
    from genae.storage import load_codes

    expect_ending(out, "", ".png", ".npz", ".npy")
    expect_writable(out, force)
    model = load_run(run, checkpoint)
    loaded, said = load_codes(Path(codes))
    space = space or said or "code"
    if Path(out).suffix == ".png":
        expect_fits(len(loaded), "images")
        save_figure(figures.sheet(model.decode(loaded[:], space)), out)
    else:
        with Work() as progress:
            save_images(model, loaded, space, Path(out), progress)


@app.command("map")
def draw_map(
    run: Run,
    data_root: DataRoot = None,
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "test",
    count: Annotated[int, typer.Option(help="Number of images, drawn at random.", min=3)] = 1000,
    method: Annotated[str, typer.Option(help="pca, or umap if umap-learn is installed.")] = "pca",
    colour: Annotated[str, typer.Option(help="label or error.")] = "label",
    force: Force = False,
    out: Annotated[str, typer.Option(help="Picture to write (.png), or codes and places (.npz).")] = "map.png",
) -> None:
    """Draw the codes of the run's data in two dimensions."""
    from functools import partial

    from genae.operations import Session
    from genae.operations.map import Map
    from genae.storage import save_arrays

    expect_ending(out, ".png", ".npz")
    expect_writable(out, force)
    operation = Map(split, count, method, colour)
    model = load_run(run)
    session = Session(model, run, partial(model.open_data, None, data_root))
    if Path(out).suffix == ".png":
        draw(operation, session, None, out)
    else:
        save_arrays(Path(out), operation.arrays(session), space="code")
        console.print(escape(out))


@app.command()
def explore(
    run: Run,
    data_root: DataRoot = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; every address except this machine's own requires a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8765,
    export: Annotated[
        str | None, typer.Option(help="Write a page that opens without a server to this folder, and serve nothing.")
    ] = None,
    force: Force = False,
) -> None:
    """Explore a model with your own images in the browser: reconstruct, sample, interpolate, edit, map, export.

    Ctrl-C ends it."""
    from functools import partial

    from genae.operations import Session

    model = load_run(run)
    session = Session(model, run, partial(model.open_data, None, data_root))
    if export:
        from genae.explorer.static import export_page

        if Path(export).exists() and not Path(export).is_dir():
            raise GenaeError(f"--export is {export!r}, a file; expected a folder")
        expect_writable(str(Path(export) / "index.html"), force, "--export")
        console.print(escape(str(export_page(session, Path(export)))), soft_wrap=True)
        return
    try:
        from genae.explorer.server import serve
        from genae.explorer.service import Explorer
    except ModuleNotFoundError as error:
        raise GenaeError(f"the explorer needs {error.name}: pip install 'genae[explorer]'") from None

    def announce(address: str) -> None:
        console.print(f"[bold]{address}[/bold]  (Ctrl-C ends it)", soft_wrap=True)

    serve(Explorer(session, run, data_root), host, port, announce)
