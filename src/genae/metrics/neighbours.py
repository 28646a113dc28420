"""Nearest neighbours by chunked matrix products: exact distances, memory that does not grow with the data."""

from typing import NamedTuple

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
            found = squared_distances(rough, near).topk(min(CANDIDATES, len(chunk)), largest=False)
            exact = torch.stack(
                [(q.double() - chunk[column].double()).square().sum(1) for column in found.indices.T], 1
            )
            least = exact.min(1).values
            index = torch.where(exact == least[:, None], found.indices, len(references)).min(1).values
            if len(chunk) > CANDIDATES:
                other = found.values[:, -1].double() - _rounding(rough, near)  # no other row is nearer than that
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


def neighbour_radii(x: Tensor, k: int) -> Tensor:
    """Squared distance of every row of x [N, D] to its k-th nearest other row, [N], float64."""
    if len(x) <= k:
        raise ValueError(f"{len(x)} images have no {k}-th nearest neighbour; expected at least {k + 1}")
    x = x.double()
    own = torch.arange(len(x), device=x.device)
    radii = []
    for rows in own.split(QUERIES):
        d = squared_distances(x[rows], x)
        d[torch.arange(len(rows)), rows] = torch.inf
        radii.append(d.kthvalue(k).values)
    return torch.cat(radii)


class Coverage(NamedTuple):
    """What `coverage` measures; each in [0, 1] but the density, which can be larger."""

    precision: float
    recall: float
    density: float
    coverage: float


def coverage(real: Tensor, fake: Tensor, k: int = 3, k_coverage: int = 5) -> Coverage:
    """Precision and recall (Kynkäänniemi et al. 2019, k = 3), density and coverage (Naeem et al. 2020, k = 5).

    Features real [N, D] and fake [M, D]. Around each real (fake) row lies a ball that reaches to its k-th nearest other
    real (fake) row. precision: share of fake rows in some real ball; recall: share of real rows in some fake ball;
    density: how many real balls hold a fake row, divided by k; coverage: share of real balls that hold a fake row.
    """
    real, fake = real.double(), fake.double()
    ball, wide, fake_ball = neighbour_radii(real, k), neighbour_radii(real, k_coverage), neighbour_radii(fake, k)
    precise = torch.zeros(len(fake), dtype=torch.bool, device=real.device)
    inside, covered, recalled = 0, 0, 0
    for rows in torch.arange(len(real), device=real.device).split(QUERIES):
        d = squared_distances(real[rows], fake)
        precise |= (d <= ball[rows, None]).any(0)
        recalled += int((d <= fake_ball).any(1).sum())
        wide_hits = d <= wide[rows, None]
        inside += int(wide_hits.sum())
        covered += int(wide_hits.any(1).sum())
    return Coverage(
        float(precise.double().mean()), recalled / len(real), inside / (k_coverage * len(fake)), covered / len(real)
    )


class Memory(NamedTuple):
    """What `memorisation` measures."""

    nearest: float
    """Median distance of a sample to its nearest training image, root mean square per value."""
    held_out: float
    """The same of held-out images."""
    copies: float
    """Share of samples nearer to a training image than 99 % of held-out images are; 0.01 is what honest ones have."""


def memorisation(samples: Tensor, held_out: Tensor, train: Tensor, honest: Tensor | None = None) -> Memory:
    """Whether samples [N, D] repeat training images [T, D], against how near unseen real images [H, D] come to them.

    Rows of pixels or features, any dtype, in the same units. ``honest`` saves time where the distances [H] of the
    held-out images, from `training_distances`, are known.
    """
    ours = training_distances(samples, train)
    honest = training_distances(held_out, train) if honest is None else honest
    copies = (ours < honest.quantile(0.01)).double().mean()
    return Memory(float(ours.median()), float(honest.median()), float(copies))


def training_distances(rows: Tensor, train: Tensor) -> Tensor:
    """Distance [N] of every row [N, D] to the nearest training row [T, D], root mean square per value."""
    return nearest(rows, train)[0] / rows.shape[1] ** 0.5
