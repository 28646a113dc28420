"""Which images come next: a pure function of the images seen, so that resuming needs no state."""

import hashlib
from functools import lru_cache

import torch
from torch import Tensor


def mix_seed(*parts: int | str) -> int:
    """One well-spread 63-bit seed from several numbers or names."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


@lru_cache(maxsize=16)
def _permutation(total: int, seed: int, stream: int, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed(mix_seed("order", seed, stream, epoch))
    return torch.randperm(total, generator=generator).to(torch.int32 if total < 2**31 else torch.int64)


def shuffled(position: int, count: int, total: int, seed: int, stream: int = 0) -> Tensor:
    """Indices [count] at ``position`` of an endless stream: one random permutation of ``total`` items after another.

    Each ``stream`` has its own permutations: an iteration's first batch comes from stream 0, its next one (a prior's
    inner step) from stream 1, and so on, all at the same position.
    """
    pieces = []
    while count > 0:
        epoch, offset = divmod(position, total)
        piece = _permutation(total, seed, stream, epoch)[offset : offset + count]
        pieces.append(piece.long())
        position, count = position + len(piece), count - len(piece)
    return torch.cat(pieces)


def across_classes(indices: Tensor, labels: Tensor | None = None, seed: int = 0) -> Tensor:
    """The same indices [N] in a fixed random order in which classes take turns, so that the first few are of many.

    ``labels`` [N] are the classes of the indices; without them the order is random alone.
    """
    order = shuffled(0, len(indices), len(indices), seed)
    if labels is not None:
        turn = torch.empty_like(order)  # how many of the same class come before
        for label in labels.unique():
            same = labels[order] == label
            turn[same] = torch.arange(int(same.sum()))
        order = order[turn.argsort(stable=True)]
    return indices[order]
