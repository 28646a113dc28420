"""The application that the commands belong to."""

from typing import Annotated

import typer

from genae.version import VERSION

NO_CACHE = "--no-cache"
"""Stands anywhere in the arguments, and is taken out before they are read."""

app = typer.Typer(
    help="Train generative autoencoders, measure them, and edit images with them.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
)  # fmt: skip


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"genae {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and stop.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option(NO_CACHE, help="Decode pictures without keeping them in genae's cache.")
    ] = False,
) -> None:
    """Options of genae itself."""
