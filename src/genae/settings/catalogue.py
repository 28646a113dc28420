"""What can be asked for by name, as a literal table: where each thing is, and what it is for.

A name costs an import only when its class is needed: ``genae list`` reads the whole table without PyTorch.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Generic, NamedTuple, TypeVar, cast

T = TypeVar("T")


class Entry(NamedTuple):
    """One name of a catalogue."""

    home: str
    """Where the class is: ``package.module:Class``."""
    summary: str
    """For people: what it is and when to choose it."""


class Catalogue(Mapping[str, type[T]], Generic[T]):
    """A mapping from names to classes, each imported when it is first asked for.

    Iteration, membership and length read the names alone. ``values()`` and ``items()`` import everything.
    """

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries

    def __getitem__(self, name: str) -> type[T]:
        module, _, cls = self.entries[name].home.partition(":")
        return cast(type[T], getattr(import_module(module), cls))

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __repr__(self) -> str:
        return f"Catalogue({', '.join(self)})"

    def summaries(self) -> dict[str, str]:
        """Every name with what it is for."""
        return {name: entry.summary for name, entry in self.entries.items()}
