"""What the terminal shows: settings, progress, tables; quiet when piped."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

console = Console(highlight=False)
_notes = Console(highlight=False, stderr=True)


def note(message: str) -> None:
    """A remark beside the result: on standard error, so that a table can be piped."""
    _notes.print(f"note: {escape(message)}", soft_wrap=True)


def print_settings(config: Any) -> None:
    """The resolved configuration."""
    flat = {k: v for k, v in asdict(config).items() if k != "options"} | dict(config.options)
    if not console.is_terminal:
        console.print(" ".join(f"{k.replace('_', '-')}={v}" for k, v in flat.items()), soft_wrap=True, markup=False)
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in flat.items():
        table.add_row(f"[dim]{key.replace('_', '-')}[/dim]", escape(str(value)))
    console.print(table)


def print_footprints(found: Sequence[Any]) -> None:
    """What training takes up: `training.memory.Footprint` of every stage."""
    header = ["pixels", "from image", "batch", "learning rate", "weights, Adam", "activations", "together"]
    rows = [
        [
            str(f.stage.resolution), f"{f.begins:,}", str(f.stage.batch_size), f"{f.stage.learning_rate:g}",
            *(f"{size / 1e6:,.0f} MB" for size in (f.weights, f.activations, f.weights + f.activations)),
        ]
        for f in found
    ]  # fmt: skip
    print_table(header, rows)


class _Line:
    """A line that changes while a ``with`` block lasts; nothing when piped, or in processes that do not write."""

    def __init__(self, *columns: str, total: float) -> None:
        from rich import progress

        first, *rest = (progress.TextColumn(text) for text in columns)
        shown = (first, progress.BarColumn(24), *rest, progress.TimeRemainingColumn())
        silent = not console.is_terminal or int(os.environ.get("RANK", 0)) > 0
        self.line = progress.Progress(*shown, console=console, disable=silent)
        self.task = self.line.add_task("", total=total, rate="-", losses="")

    def __enter__(self) -> Self:
        self.line.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.line.stop()


class Progress(_Line):
    """Of a training: images, images/s, error, time left; a line stays for every validation, also when piped."""

    def __init__(self, total: int) -> None:
        super().__init__(
            "{task.completed:,.0f} / {task.total:,.0f} images", "{task.fields[rate]} images/s  {task.fields[losses]}",
            total=total,
        )  # fmt: skip

    def show(self, event: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        if "validation" in event:
            errors = "  ".join(f"{name} {value:.4f}" for name, value in event["validation"].items())
            line = f"{event['images']:>10,} images  {event['seconds']:6.0f} s  validation {errors or '(no encoder)'}"
            console.print(line, soft_wrap=True)
            for warning in event["warnings"]:
                console.print(f"{'':>10} warning: {escape(warning)}", soft_wrap=True)
        else:
            terms = {key: value for term in event["losses"].values() for key, value in term.items() if key == "mse"}
            losses = "  ".join(f"{key} {value:.4f}" for key, value in terms.items())
            done = min(event["images"], int(self.line.tasks[0].total or 0))
            self.line.update(self.task, completed=done, rate=f"{event['images_per_second']:.0f}", losses=losses)


class Work(_Line):
    """Of anything else: what is being done, how far, time left."""

    def __init__(self) -> None:
        super().__init__("{task.description}", "{task.completed:,.0f} / {task.total:,.0f}", total=1)
        self.message = ""

    def __call__(self, message: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` is done; another message begins another bar."""
        if message != self.message:
            self.message = message
            self.line.reset(self.task, total=total, description=escape(message))
        self.line.update(self.task, completed=done)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table for a person, tab-separated lines for a program."""
    if not console.is_terminal:
        for row in (header, *rows):
            print("\t".join(row))
        return
    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
