"""What a person can ask of a trained model: settings, an answer, a figure, and the command line that repeats it."""

from collections.abc import Mapping

from genae.errors import GenaeError, nearest
from genae.operations.anomaly import Anomaly
from genae.operations.edit import Edit
from genae.operations.interpolate import Interpolate
from genae.operations.map import Map
from genae.operations.mix import Mix
from genae.operations.operation import Answer, Operation
from genae.operations.parts import Parts, Swap
from genae.operations.reconstruct import Reconstruct
from genae.operations.sample import Sample
from genae.operations.session import Session, described
from genae.operations.transport import Transport
from genae.settings.parser import options_of, parse_settings

OPERATIONS: dict[str, type[Operation]] = {
    "reconstruct": Reconstruct, "sample": Sample, "interpolate": Interpolate, "edit": Edit, "mix": Mix,
    "parts": Parts, "swap": Swap, "anomaly": Anomaly, "map": Map,
    "transport": Transport,
}  # fmt: skip

LONGEST = 1000
"""Entries of a list in a request."""

__all__ = ["OPERATIONS", "Answer", "Operation", "Session", "command", "described", "operation"]


def operation(name: str, settings: Mapping[str, object], most: int | None = None) -> Operation:
    """The operation of a name, with settings as JSON holds them; ``most`` limits the images that they ask for.

    Raises `GenaeError` for what is unknown or misshapen.
    """
    if name not in OPERATIONS:
        raise GenaeError(f"operation is {name!r}; {nearest(name, OPERATIONS)}")
    for key, value in settings.items():
        if isinstance(value, list | tuple | dict) and len(value) > LONGEST:
            raise GenaeError(f"{key} holds {len(value)} entries; expected at most {LONGEST}")
    made = OPERATIONS[name](**parse_settings(name, settings, options_of(OPERATIONS[name]), text=False))
    if most is not None:
        made.limit(most)
    return made


def command(run: str, wanted: Operation, pictures: int, out: str, data_root: str | None = None) -> list[str]:
    """The command line that writes the figure (or animation) ``out`` of ``pictures`` pictures, in their order in
    pictures.zip. Raises `GenaeError`."""
    verb, *flags = wanted.command(pictures)
    source = ["--data", "pictures.zip"] if pictures else []
    root = ["--data-root", data_root] if data_root and wanted.reads_data else []
    return ["genae", verb, run, *source, *root, *flags, "--out", out]
