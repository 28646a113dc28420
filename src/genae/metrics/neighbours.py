"""Nearest neighbours by chunked matrix products: exact distances, memory that does not grow with the data."""

import math

import torch
from torch import Tensor

from genae.distributed.ahead import loaded_ahead
from genae.rows import Rows

QUERIES, REFERENCES, CANDIDATES = 1024, 8192, 4
VALUES = 16_000_000
"""Numbers of a chunk, at most: of long rows there are fewer at a time."""


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """||a_i - b_j||^2 of rows a [N, D] and b [M, D], [N, M]; never negative."""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_min_(0)


def nearest(queries: Tensor, references: Rows) -> tuple[Tensor, Tensor]:
    """Euclidean distance [N], float64, and index [N] of the nearest reference [M, ...] of every query [N, ...].

    Rows of any dtype and shape; references are read in chunks, twice. Products in float32, of rows less the references'
    mean, find four candidates in each chunk; the distances of those that could be nearer than what was found before are
    then computed in float64, without cancellation. Where rounding could hide a fifth that is nearer, the chunk is
    searched in float64. Ties go to the lowest index.
    """
    queries = queries.flatten(1)
    width = math.prod(references.shape[1:])
    at_once = max(1, VALUES // max(1, width))
    step = min(REFERENCES, at_once)
    chunks = [slice(start, start + step) for start in range(0, len(references), step)]
    mean = torch.zeros(width, dtype=torch.float64)
    for part in loaded_ahead(chunks, references.__getitem__):
        mean += part.flatten(1).double().sum(0).cpu()
    mean = (mean / len(references)).to(queries.device)
    best = torch.full((len(queries),), torch.inf, dtype=torch.float64, device=queries.device)
    where = torch.zeros(len(queries), dtype=torch.long, device=queries.device)
    for number, part in enumerate(loaded_ahead(chunks, references.__getitem__)):
        chunk = part.flatten(1).to(queries.device)
        near = (chunk - mean).float()
        for rows in torch.arange(len(queries), device=queries.device).split(min(QUERIES, at_once)):
            least, index = _nearest_of(queries[rows], chunk, near, mean, best[rows])
            closer = least < best[rows]
            best[rows] = torch.where(closer, least, best[rows])
            where[rows] = torch.where(closer, index + number * step, where[rows])
    return best.sqrt(), where


def _nearest_of(q: Tensor, chunk: Tensor, near: Tensor, mean: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance and index [R] of the row of ``chunk`` [M, D] that is nearest to each query [R, D]; infinity
    where none is nearer than ``best`` [R]. ``near`` are the chunk's rows less the mean, float32."""
    least, index = torch.full_like(best, torch.inf), torch.zeros_like(best, dtype=torch.long)
    rough = (q - mean).float()
    candidates = squared_distances(rough, near).topk(min(CANDIDATES, len(chunk)), largest=False)
    rounding = _rounding(rough, near)
    hopeful = (candidates.values[:, 0].double() - rounding <= best).nonzero()[:, 0]
    if not len(hopeful):
        return least, index
    few, columns = q[hopeful].double(), candidates.indices[hopeful]
    exact = torch.stack([(few - chunk[column].double()).square().sum(1) for column in columns.T], 1)
    least[hopeful] = exact.min(1).values
    index[hopeful] = torch.where(exact == least[hopeful][:, None], columns, len(chunk)).min(1).values
    if len(chunk) > CANDIDATES:
        other = candidates.values[:, -1].double() - rounding  # no other row is nearer than that
        doubtful = (other <= torch.minimum(least, best)).nonzero()[:, 0]
        if len(doubtful):
            least[doubtful], index[doubtful] = _searched(q[doubtful], chunk, mean)
    return least, index


def _searched(q: Tensor, chunk: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance and index [R] of the row of ``chunk`` [M, D] that is nearest to each row of q [R, D]."""
    near, rows = chunk.double() - mean, q.double() - mean
    rough = squared_distances(rows, near)
    within = rough <= (rough.min(1).values + 2 * _rounding(rows, near))[:, None]
    least, index = [], []
    for row, close in zip(q.double(), within, strict=True):
        few = close.nonzero()[:, 0]
        exact = (row - chunk[few].double()).square().sum(1)
        least.append(exact.min())
        index.append(few[exact == least[-1]][0])
    return torch.stack(least), torch.stack(index)


def _rounding(a: Tensor, b: Tensor) -> Tensor:
    """What `squared_distances` of rows a [N, D] and any of b [M, D] can be wrong by, [N]: the bound of dot products."""
    largest = a.norm(dim=1).double() + b.norm(dim=1).max().double()
    return (a.shape[1] + 8) * torch.finfo(a.dtype).eps * largest.square()
