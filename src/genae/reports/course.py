"""The course of a training in words: how much was requested, how much was seen, and which weights a report shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from genae.reports.curves import Entry, Log
from genae.storage import read_metadata
from genae.training.checkpoint import AVERAGE, RunFolder

KINDS = {
    "best.safetensors": "which had the lowest validation error",
    AVERAGE: "a moving average of the weights",
}
"""Weights file -> what it holds; other files are the newest checkpoint's."""


@dataclass(frozen=True)
class Course:
    """What a report says of a training."""

    log: Log = ()
    """The readable lines of ``log.jsonl``."""
    unreadable: int = 0
    """How many lines cannot be read."""
    requested: int | None = None
    """Images that the training was to see."""
    weights: str = ""
    """Which weights are shown, as the end of a sentence."""

    @property
    def sentences(self) -> list[str]:
        """How many images were requested and seen, in what time, and which weights are shown."""
        losses = [line for line in self.log if "losses" in line]
        seen = f"{losses[-1]['images']:,}" if losses else ""
        time = f", in {losses[-1]['seconds'] / 60:.1f} minutes" if losses else ""
        sentences = []
        if self.requested is not None:
            trained = f" and it has seen {seen}" if seen else ""
            sentences.append(f"The training was to see {self.requested:,} images{trained}{time}.")
        elif seen:
            sentences.append(f"The training has seen {seen} images{time}.")
        if self.weights:
            sentences.append(f"The pictures show the weights {self.weights}.")
        return sentences

    @property
    def trouble(self) -> str:
        """What is wrong with the log, in a sentence; empty where nothing is."""
        if self.unreadable and not self.log:
            return "The training log (log.jsonl) cannot be read: none of its lines is an entry of a log."
        if self.unreadable:
            lines = "1 line" if self.unreadable == 1 else f"{self.unreadable:,} lines"
            return f"{lines} of the training log (log.jsonl) cannot be read."
        return "" if self.log else "There is no training log."


def course_of(folder: RunFolder) -> Course:
    """The course of a run's training. Raises `GenaeError` for a configuration or weights that cannot be read."""
    config, weights = folder.config, folder.weights
    log, unreadable = _read_log(folder)
    return Course(log, unreadable, config.images if config else None, _in_words(weights) if weights else "")


def _in_words(weights: Path) -> str:
    images = int(read_metadata(weights).get("images", 0))
    kind = KINDS.get(weights.name, "the newest checkpoint")
    return f"after {images:,} images, {kind}" if images else f"of {weights.name}"


def _read_log(folder: RunFolder) -> tuple[Log, int]:
    """Lines that `curves` can draw, and the number of others; a last line that a kill cut short is not counted."""
    lines = [line for line in folder.history() if _is_entry(line)]
    path = folder.path / "log.jsonl"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    written = [line for line in text.split("\n")[:-1] if line.strip()]
    last = text.rpartition("\n")[2]
    read = len(lines) + len(folder.beginnings())
    return lines, max(0, len(written) + (bool(last) and not read) - read)


def _is_entry(line: Mapping[str, object]) -> TypeGuard[Entry]:
    def numbers(values: object) -> bool:
        return isinstance(values, dict) and all(isinstance(value, int | float) for value in values.values())

    losses = line.get("losses", {})
    return (
        numbers({"images": line["images"], "seconds": line.get("seconds", 0)})
        and numbers(line.get("validation", {}))
        and numbers(line.get("diagnostics") or {})
        and isinstance(losses, dict)
        and all(numbers(values) and "loss" in values for values in losses.values())
    )
