"""What the terminal shows: settings, progress, tables.

Results go to standard output, notes and progress to standard error.

On a terminal progress is a line that changes; in a log it is a line at the start of a piece of work, another after
`FIRST_REPORT` seconds, and then one every `REPORT_EVERY` seconds.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genae.cli.processes import rank
from genae.progress import screen

if TYPE_CHECKING:
    from genae.data.stream import ImageStream
    from genae.training.config import Config
    from genae.training.memory import Footprint

FIRST_REPORT = 10.0
REPORT_EVERY = 60.0

console = Console(highlight=False)
_stderr = Console(highlight=False, stderr=True, quiet=rank() > 0)


def note(message: str) -> None:
    """A remark beside the result: on standard error, so that a table can be piped."""
    _stderr.print(f"note: {escape(message)}", soft_wrap=True)


def print_settings(config: "Config") -> None:
    """The resolved configuration."""
    flat = {k: v for k, v in asdict(config).items() if k != "options"} | dict(config.options)
    if not console.is_terminal:
        console.print(" ".join(f"{k.replace('_', '-')}={v}" for k, v in flat.items()), soft_wrap=True, markup=False)
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in flat.items():
        table.add_row(f"[dim]{key.replace('_', '-')}[/dim]", escape(str(value)))
    console.print(table)


def print_footprints(footprints: "Sequence[Footprint]", precision: str, images: "ImageStream") -> None:
    """What training takes up, a row for every stage, and what its images do."""
    from genae.data.transfer import SHARE

    header = ["pixels", "from image", "batch", "learning rate", "weights, Adam", "iteration", "validation", "together"]
    rows = [
        [
            str(f.stage.resolution), f"{f.begins:,}", str(f.stage.batch_size), f"{f.stage.learning_rate:g}",
            *(f"{size / 1e6:,.0f} MB" for size in (f.weights, f.iteration, f.validation)),
            f"{(f.weights + max(f.iteration, f.validation)) / 1e6:,.0f} MB",
        ]
        for f in footprints
    ]  # fmt: skip
    print_table(header, rows)
    counted = "counted in float32" + ("" if precision == "float32" else ": with bfloat16 an iteration takes less")
    note(f"the memory of one process, {counted}; work space of convolutions and networks of metrics come on top")
    size = len(images) * math.prod(images.image_shape) / 1e6
    note(
        f"{len(images):,} images with 8 bits a value are {size:,.0f} MB; a GPU keeps them if that is at most "
        f"{SHARE:.0%} of its free memory, else they stay in memory or in their file, and batches are sent"
    )


def duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class _Log:
    """Progress as lines in a log, from a thread of its own: a long step that reports nothing gets its lines too."""

    def __init__(self) -> None:
        self.message, self.unit, self.extra = "", "", ""
        self.done: int | None = None
        """None until it is known: a training that is resumed does not begin at 0."""
        self.total = 0
        self.begun = self.due = 0.0
        self.baseline: tuple[int, float] | None = None
        """What was done at which time, from where the speed is counted."""
        self.ended = Event()
        self.lock = Lock()
        self.thread = Thread(target=self._watch, daemon=True)

    def begin(self, message: str, total: int, unit: str = "") -> None:
        """A piece of work that is announced elsewhere: its first line comes after `FIRST_REPORT` seconds."""
        self.message, self.total, self.unit, self.extra = message, total, unit, ""
        self.done = self.baseline = None
        self.begun = time.monotonic()
        self.due = self.begun + FIRST_REPORT

    def update(self, message: str, done: int, total: int, extra: str = "") -> None:
        """Take what is known; a new message gets a line at once."""
        with self.lock:
            if new := message != self.message:
                self.begin(message, total)
            self.done, self.total, self.extra = done, total, extra
            self.baseline = self.baseline or (done, time.monotonic())
            if new:
                _print_progress(f"{message}: {self._count()}" if total > 1 else f"{message} ...")

    def _count(self) -> str:
        if self.total <= 1:
            return ""
        total = f"{self.total:,}{self.unit}"
        return total if self.done is None else f"{self.done:,} of {total}"

    def _line(self, now: float) -> str:
        """What is done, how far it is, and the time that it has left at the speed of so far."""
        first, since = self.baseline or (0, now)
        done = self.done or 0
        left = (now - since) * (self.total - done) / (done - first) if done > first else None
        time_left = f"{duration(now - self.begun)} so far" if left is None else f"about {duration(left)} left"
        return f"{self.message}: {', '.join(part for part in (self._count(), self.extra, time_left) if part)}"

    def _watch(self) -> None:
        while not self.ended.wait(min(1.0, FIRST_REPORT, REPORT_EVERY)):
            with self.lock:
                now = time.monotonic()
                if self.message and now >= self.due:
                    self.due = now + REPORT_EVERY
                    _print_progress(self._line(now))


def _print_progress(line: str) -> None:
    _stderr.print(escape(line), soft_wrap=True)


class _Line:
    """Progress while a ``with`` block lasts: a bar on a terminal, lines in a log; only the first process shows it."""

    def __init__(self, *columns: str, total: float) -> None:
        from rich import progress

        first, *rest = (progress.TextColumn(text) for text in columns)
        shown = (first, progress.BarColumn(24), *rest, progress.TimeRemainingColumn())
        self.log = _Log() if rank() == 0 and not _stderr.is_terminal else None
        # Only what goes to the same terminal may be drawn above the bar: a piped result must stay in its pipe.
        self.bar = progress.Progress(
            *shown, console=_stderr, disable=rank() > 0 or self.log is not None, redirect_stdout=console.is_terminal
        )
        self.task = self.bar.add_task("", total=total, rate="-", losses="")

    def __enter__(self) -> Self:
        self.bar.start()
        if self.log:
            self.log.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the line before the block does, so that another one can begin."""
        self.bar.stop()
        if self.log:
            self.log.ended.set()
            self.log.thread.join()


class Progress(_Line):
    """Of a training: images, images/s, error, time left; a line stays for every validation, also when piped."""

    def __init__(self, total: int) -> None:
        super().__init__(
            "{task.completed:,.0f} / {task.total:,.0f} images", "{task.fields[rate]} images/s  {task.fields[losses]}",
            total=total,
        )  # fmt: skip
        self.total = total

    def __enter__(self) -> Self:
        if self.log:
            self.log.begin("training", self.total, " images")
        return super().__enter__()

    def show(self, event: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        if "precision" in event:
            console.print(f"precision {event['precision']}: {escape(event['reason'])}", soft_wrap=True)
            return
        if "validation" in event:
            errors = "  ".join(f"{name} {value:.4f}" for name, value in event["validation"].items())
            line = f"{event['images']:>10,} images  {event['seconds']:6.0f} s  validation {errors or '(no encoder)'}"
            console.print(line, soft_wrap=True)
            for warning in event["warnings"]:
                console.print(f"{'':>10} warning: {escape(warning)}", soft_wrap=True)
            return
        terms = {key: value for term in event["losses"].values() for key, value in term.items() if key == "mse"}
        losses = "  ".join(f"{key} {value:.4f}" for key, value in terms.items())
        done, rate = min(event["images"], self.total), f"{event['images_per_second']:.0f}"
        self.bar.update(self.task, completed=done, rate=rate, losses=losses)
        if self.log:
            self.log.update("training", done, self.total, f"{rate} images/s")


class Work(_Line):
    """Of anything else: what is being done, how far, time left; and how many ``units`` a second, if they are named."""

    def __init__(self, units: str = "") -> None:
        super().__init__("{task.description}", "{task.completed:,.0f} / {task.total:,.0f}{task.fields[rate]}", total=1)
        self.message, self.units = "", units
        self.begun = (0, 0.0)
        """What was done of this message's work when it began, and when."""

    def __call__(self, message: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` is done; another message begins another bar."""
        if message != self.message:
            self.message, self.begun = message, (done, time.monotonic())
            self.bar.reset(self.task, total=total, description=escape(message))
        rate = ""
        if self.units:
            first, since = self.begun
            rate = f"{(done - first) / max(time.monotonic() - since, 1e-3):,.0f} {self.units}/s"
        self.bar.update(self.task, completed=done, rate=rate and f"  {rate}")
        if self.log:
            self.log.update(message, done, total, rate)


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


screen.note, screen.work = note, Work
