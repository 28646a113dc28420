"""The application that the commands belong to."""

import typer

app = typer.Typer(
    help="Generative autoencoders: train, trust, edit.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False, rich_markup_mode="rich",
)  # fmt: skip
