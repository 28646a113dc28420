"""What commands have in common: arguments, and text that becomes numbers, settings and files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from genae.errors import GenaeError, nearest

Run = Annotated[str, typer.Argument(help="A run folder or a weights file.")]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        help="Weights of the run: best, last, or a number of images; the best by default, else the last.",
    ),
]
Data = Annotated[str | None, typer.Option(help="Another source of images; the run's data by default.")]
DataRoot = Annotated[
    str | None, typer.Option(help="Folder that holds local copies of named data sets, at any depth; it is only read.")
]
Split = Annotated[
    str | None,
    typer.Option(help="train, validation, test or all; by default test for the run's data, all for other data."),
]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Space = Annotated[str, typer.Option(help="code, or the name of a prior.")]
Truncation = Annotated[
    float,
    typer.Option(
        help="Move codes towards the mean: 1 leaves them unchanged, 0.7 is usual, 0 gives the mean.", min=0, max=1
    ),
]
Guidance = Annotated[
    float,
    typer.Option(
        help="For flow matching that is told classes: 1 leaves a class as it is, 2 is usual and makes samples more "
        "typical of it, and less varied."
    ),
]
SolverSteps = Annotated[
    int | None,
    typer.Option(help="Steps that flow matching takes between noise and codes; the prior's own by default.", min=1),
]
KeepFeatures = Annotated[
    float,
    typer.Option(
        help="GB of disk, in genae's cache, for features of frozen layers that take more than a quarter of the memory; "
        "with less they are computed again for every batch, which changes no number.",
        min=0,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that genae has not written.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out unreadable files, and images that a table of attributes lacks.")
]


def settings_of(arguments: Sequence[str]) -> dict[str, str]:
    """``--learning-rate 1e-4 --flip`` -> {"learning_rate": "1e-4", "flip": "true"}."""
    settings: dict[str, str] = {}
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


def pairs_of(text: str | None, count: int) -> list[tuple[int, int]]:
    """``0-1,2-3`` -> [(0, 1), (2, 3)], each below ``count``; without text up to four pairs in order."""
    if text is None:
        return [(2 * i, min(2 * i + 1, count - 1)) for i in range(min(4, (count + 1) // 2))]
    try:
        pairs = [(int(a), int(b)) for a, b in (pair.split("-") for pair in text.split(","))]
    except ValueError:
        raise GenaeError(f"--pairs is {text!r}; expected numbers of images such as 0-1,2-3") from None
    if max(map(max, pairs)) >= count:
        raise GenaeError(f"there is no image {max(map(max, pairs))}; this split has {count} images, numbered from 0")
    return pairs


def numbers_of(flag: str, text: str, count: int, things: str = "images") -> list[int]:
    """``0,3`` of ``--flag`` -> [0, 3], each below ``count``."""
    try:
        numbers = [int(number) for number in text.split(",")]
    except ValueError:
        raise GenaeError(f"--{flag} is {text!r}; expected numbers of {things} such as 0,1,2,3") from None
    for number in numbers:
        if not 0 <= number < count:
            raise GenaeError(f"--{flag} holds {number}; there are {count} {things}, numbered from 0")
    return numbers


def names_of(flag: str, text: str | None) -> list[str] | None:
    """``a, b`` of ``--flag`` -> ["a", "b"]; None where the flag is not given."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise GenaeError(f"--{flag} is {text!r}; expected names separated by commas, or no --{flag}")
    return names


def seeds_of(text: str) -> list[int]:
    """``0,1,2`` -> [0, 1, 2]."""
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        raise GenaeError(f"--seeds is {text!r}; expected whole numbers such as 0,1,2") from None


def number_of(text: str, flag: str) -> float:
    """A finite number of ``--flag``."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise GenaeError(f"--{flag} holds {text!r}; expected numbers separated by commas")
    return number


def expect_ending(out: str, *endings: str) -> None:
    """Refuse a name of another kind before the work is done, not after it."""
    if not out or Path(out).suffix not in endings:
        kinds = " or ".join(ending or "a folder" for ending in endings)
        raise GenaeError(f"--out is {out!r}; expected {kinds}")


def expect_writable(out: str, force: bool, flag: str = "--out", folders: Sequence[str] = ()) -> None:
    """Refuse to overwrite a file, or the pictures of a folder, that genae has not written; note what is replaced.

    ``folders`` are the names of those inside ``out`` that pictures are written to.
    """
    from genae.cli.screen import note
    from genae.data.decoding import EXTENSIONS
    from genae.storage import is_file_name, is_ours

    for name in folders:
        if not is_file_name(name) or name.startswith(".") or {*name} & {*'<>:"/\\|?*'}:
            raise GenaeError(f"no folder can be called {name!r}; write an .npz, or one class with --given")
    path = Path(out)
    there = [path] if path.exists() else []
    if path.is_dir() and not path.suffix:
        there = sorted(file for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS)
    foreign = [file for file in there if not file.is_file() or not is_ours(file)]
    if foreign and not force:
        raise GenaeError(f"{foreign[0]} was not written by genae; choose another {flag}, or replace it with --force")
    if there:
        note(f"{out} is replaced")


def expect_format(format: str) -> None:
    """Refuse a ``--format`` that tables do not have."""
    from genae.reports.tables import FORMATS

    if format not in ("table", *FORMATS):
        raise GenaeError(f"--format is {format!r}; {nearest(format, ['table', *FORMATS])}")


def weight_files(given: Sequence[str], metrics: Sequence[str], networks: Sequence[str]) -> dict[str, Path]:
    """``NETWORK=FILE`` or, where one network alone is downloaded, ``FILE`` -> network and file."""
    from genae.metrics.evaluation import opened

    names = list(dict.fromkeys(name for metric in opened(metrics) for name in metric.downloads(networks)))
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
