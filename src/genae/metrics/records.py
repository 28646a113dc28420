"""The words of a record: what was measured, by which name, and the fingerprint of how."""

from collections.abc import Mapping
from typing import Any

REAL = "real data"
"""``of`` of numbers about the reference images themselves."""
CODE = "code"
"""``of`` of numbers about reconstructions through the code, and about the code."""
FRESH = "random"
"""``weights`` of a fresh trunk, which belongs to every training of a run."""
SUBJECT = frozenset({"weights", "prior_weights", "files", "part"})
"""The part of a fingerprint that says what was measured, not how."""

Fingerprint = Mapping[str, Any]
"""How a number was made: data, protocol, weights."""
Record = Mapping[str, Any]
"""A line of ``metrics.jsonl``: ``of``, ``metric``, ``value``, perhaps ``deviation``, and ``fingerprint``."""


def short_count(count: int) -> str:
    """10,000 -> ``10k``; other counts as they are."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)
