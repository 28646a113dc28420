"""Nearest neighbours by chunked matrix products: exact distances, memory that does not grow with the data."""

import torch
from torch import Tensor

QUERIES, REFERENCES, CANDIDATES = 1024, 8192, 4


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """||a_i - b_j||^2 of rows a [N, D] and b [M, D], [N, M]; never negative."""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_min_(0)


def nearest(queries: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """Euclidean distance [N], float64, and index [N] of the nearest reference [M, D] of every query [N, D].

    Rows of any dtype. Products in float32, of rows less the references' mean, find four candidates in each chunk of
    references; their distances are then computed in float64, without cancellation. Where rounding could hide a fifth
    that is nearer, the chunk is searched in float64. Ties go to the lowest index.
    """
    distances, indices = [], []
    parts = [part.double().sum(0) for part in references.split(REFERENCES)]
    mean = (torch.stack(parts).sum(0) / len(references)).to(queries.device)
    for q in queries.split(QUERIES):
        rough = (q - mean).float()
        best = torch.full((len(q),), torch.inf, dtype=torch.float64, device=q.device)
        where = torch.zeros(len(q), dtype=torch.long, device=q.device)
        for start in range(0, len(references), REFERENCES):
            chunk = references[start : start + REFERENCES].to(q.device)
            near = (chunk - mean).float()
            candidates = squared_distances(rough, near).topk(min(CANDIDATES, len(chunk)), largest=False)
            exact = torch.stack(
                [(q.double() - chunk[column].double()).square().sum(1) for column in candidates.indices.T], 1
            )
            least = exact.min(1).values
            index = torch.where(exact == least[:, None], candidates.indices, len(references)).min(1).values
            if len(chunk) > CANDIDATES:
                other = candidates.values[:, -1].double() - _rounding(rough, near)  # no other row is nearer than that
                doubtful = (other <= torch.minimum(least, best)).nonzero()[:, 0]
                if len(doubtful):
                    least[doubtful], index[doubtful] = _searched(q[doubtful], chunk, mean)
            closer = least < best
            best, where = torch.where(closer, least, best), torch.where(closer, index + start, where)
        distances.append(best.sqrt())
        indices.append(where)
    return torch.cat(distances), torch.cat(indices)


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
