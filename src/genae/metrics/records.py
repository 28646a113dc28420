"""The words of a record: what was measured, by which name, and the fingerprint of how."""

from collections.abc import Collection, Mapping
from typing import Any

REAL = "real data"
"""``of`` of numbers about the reference images themselves."""
CODE = "code"
"""``of`` of numbers about reconstructions through the code, and about the code."""
FRESH = "random"
"""``weights`` of a fresh trunk, which belongs to every training of a run."""
SUBJECT = frozenset(
    {
        "weights",
        "checkpoint",
        "trained_in",
        "prior_weights",
        "guidance",
        "solver_steps",
        "files",
        "images_split",
        "part",
    }
)
"""The part of a fingerprint that says what was measured, not how."""

EARLIER: Mapping[str, object] = {"float32": "ieee", "values": "clipped to [-1, 1]"}
"""What records mean that were written before their fingerprints had these entries. Numbers measured on a CPU, as all
published ones were, are the same with and without ``float32``. ``values`` belongs to path lengths."""

DIGESTS = {"data": "data_digest", "train_data": "train_digest"}
"""Names of images -> the hashes that tell whether they are the same ones, wherever they lie."""

Fingerprint = Mapping[str, Any]
"""How a number was made: data, protocol, weights."""
Record = Mapping[str, Any]
"""A line of ``metrics.jsonl``: ``of``, ``metric``, ``value``, perhaps ``deviation``, and ``fingerprint``."""


def short_count(count: int) -> str:
    """10,000 -> ``10k``; other counts as they are."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)


def differences(first: Fingerprint, other: Fingerprint, without: Collection[str] = ()) -> list[str]:
    """In what two fingerprints differ, as ``key VALUE / OTHER``; entries ``without`` are not looked at.

    Names of the same images are no difference: a folder, and the file that it was packed into.
    """
    same = {name for name, digest in DIGESTS.items() if digest in first and first[digest] == other.get(digest)}
    pairs = {key: (*(of.get(key, EARLIER.get(key)) for of in (first, other)),) for key in {*first, *other}}
    return [f"{key} {a} / {b}" for key, (a, b) in sorted(pairs.items()) if a != b and key not in {*without, *same}]
