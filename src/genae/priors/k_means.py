"""K-means in parts, so that memory grows by 32 bytes a code, whatever its dimensions.

The method, and the random numbers, of scikit-learn's `KMeans`: greedy k-means++ (Arthur and Vassilvitskii 2007), then
Lloyd's iterations. The centres are its own but for rounding.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from genae.progress import Progress, silent
from genae.rows import Rows, in_parts, mean_and_covariance

AT_ONCE = 2_000_000
"""Float64 numbers of a part's codes and distances."""
ITERATIONS, TOLERANCE = 300, 1e-4


def k_means(codes: Rows, count: int, seed: int, progress: Progress = silent) -> tuple[Tensor, Tensor]:
    """Centres [K, D], float64, and for each of the codes [N, D] the number of its centre [N]."""
    mean, covariance = mean_and_covariance(codes)
    variance = float(covariance.diagonal().mean()) * (len(codes) - 1) / len(codes)
    centres = _first_centres(codes, count, np.random.RandomState(seed), mean)
    labels = torch.full((len(codes),), -1)
    for iteration in range(ITERATIONS):
        progress(f"finding {count} centres", iteration, ITERATIONS)
        before, centres_before = labels, centres
        labels, centres = _moved(codes, centres, mean)
        if torch.equal(labels, before):
            return centres + mean, labels
        if float((centres - centres_before).square().sum()) <= TOLERANCE * variance:
            break
    return centres + mean, _moved(codes, centres, mean)[0]


def centred_parts(codes: Rows, mean: Tensor, count: int) -> Iterator[Tensor]:
    """Codes less ``mean``, float64, so many at a time that ``count`` numbers for each take little memory."""
    for part in in_parts(codes, rows_at_once(codes, count)):
        yield part.double() - mean


def rows_at_once(codes: Rows, count: int) -> int:
    """How many codes are worked on at a time, with ``count`` numbers for each."""
    return max(256, AT_ONCE // (codes.shape[1] + count))


def _first_centres(codes: Rows, count: int, random: np.random.RandomState, mean: Tensor) -> Tensor:
    """Centres [K, D] among the codes, each far from those before; the best of a few candidates."""
    trials = 2 + int(math.log(count))
    first = min(int(random.random_sample() * len(codes)), len(codes) - 1)
    centres = [codes[torch.tensor([first])][0].double() - mean]
    least = torch.full((len(codes),), torch.inf, dtype=torch.float64)
    potential = float(_lowered(codes, centres[0][None], mean, least, keep=True)[0])
    for _ in range(1, count):
        tickets = torch.from_numpy(random.uniform(size=trials) * potential)
        numbers = torch.searchsorted(least.cumsum(0), tickets).clamp_max(len(codes) - 1)
        candidates = codes[numbers].double() - mean
        potentials = _lowered(codes, candidates, mean, least)
        best = int(potentials.argmin())
        centres.append(candidates[best])
        potential = float(potentials[best])
        _lowered(codes, candidates[best][None], mean, least, keep=True)
    return torch.stack(centres)


def _lowered(codes: Rows, candidates: Tensor, mean: Tensor, least: Tensor, keep: bool = False) -> Tensor:
    """Sum [C] over codes of the squared distance to the nearest centre, if each candidate [C, D] were one more.

    ``least`` [N] is that to the centres so far; ``keep`` lowers it to that with the one candidate.
    """
    sums, done = torch.zeros(len(candidates), dtype=torch.float64), 0
    for part in centred_parts(codes, mean, len(candidates)):
        here = least[done : done + len(part)]
        lower = torch.minimum(_squared_distances(candidates, part), here)
        sums += lower.sum(1)
        if keep:
            here.copy_(lower[0])
        done += len(part)
    return sums


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_min_(0)


def _moved(codes: Rows, centres: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre [N] of each code, and the means [K, D] of the codes of each centre."""
    labels = torch.empty(len(codes), dtype=torch.long)
    sums, done = torch.zeros_like(centres), 0
    for part in centred_parts(codes, mean, len(centres)):
        nearest = torch.addmm(centres.square().sum(1), part, centres.T, alpha=-2).argmin(1)
        labels[done : done + len(part)] = nearest
        sums.index_add_(0, nearest, part)
        done += len(part)
    sizes = torch.bincount(labels, minlength=len(centres)).double()
    empty = (sizes == 0).nonzero()[:, 0]
    if len(empty):  # they move to the codes that are farthest from their own centres
        parts = zip(centred_parts(codes, mean, 0), labels.split(rows_at_once(codes, 0)), strict=True)
        away = torch.cat([(part - centres[of]).square().sum(1) for part, of in parts])
        farthest = away.topk(len(empty)).indices
        lonely = codes[farthest].double() - mean
        sums.index_add_(0, labels[farthest], -lonely)
        sizes.index_add_(0, labels[farthest], -torch.ones(len(empty), dtype=torch.float64))
        sums[empty], sizes[empty] = lonely, torch.ones(len(empty), dtype=torch.float64)
    return labels, sums / sizes.clamp_min(1)[:, None]
