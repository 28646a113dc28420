"""Precision, recall, density and coverage: which samples lie among the real images, and which real ones among them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from genae.metrics.metric import FeatureMetric, Measured
from genae.metrics.neighbours import QUERIES, squared_distances

if TYPE_CHECKING:
    from genae.metrics.features import FeatureNetwork
    from genae.metrics.tally import Tally

DISTANCES = 64_000_000
NEIGHBOURS = {"precision": 3, "recall": 3, "density": 5, "coverage": 5}


class Prdc(FeatureMetric):
    """``prdc``: the four numbers of `coverage`."""

    keeps = "rows"
    least_images = 6

    def compare(self, images: "Tally", real: "Tally", network: "FeatureNetwork", seed: int) -> Iterator[Measured]:
        """``precision``, ``recall``, ``density`` and ``coverage``."""
        for name, value in coverage(real.rows, images.rows)._asdict().items():
            yield Measured("", name, value, {"neighbours": NEIGHBOURS[name]})


def neighbour_radii(x: Tensor, k: int) -> Tensor:
    """Squared distance of every row of x [N, D] to its k-th nearest other row, [N], float64."""
    if len(x) <= k:
        raise ValueError(f"{len(x)} images have no {k}-th nearest neighbour; expected at least {k + 1}")
    x = x.double()
    own = torch.arange(len(x), device=x.device)
    radii = []
    for rows in own.split(_rows_at_once(len(x))):
        d = squared_distances(x[rows], x)
        d[torch.arange(len(rows)), rows] = torch.inf
        radii.append(d.kthvalue(k).values)
    return torch.cat(radii)


def _rows_at_once(count: int) -> int:
    """How many rows are compared with ``count`` others at a time: their distances take at most half a gigabyte."""
    return max(1, min(QUERIES, DISTANCES // count))


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
    for rows in torch.arange(len(real), device=real.device).split(_rows_at_once(len(fake))):
        d = squared_distances(real[rows], fake)
        precise |= (d <= ball[rows, None]).any(0)
        recalled += int((d <= fake_ball).any(1).sum())
        wide_hits = d <= wide[rows, None]
        inside += int(wide_hits.sum())
        covered += int(wide_hits.any(1).sum())
    return Coverage(
        float(precise.double().mean()), recalled / len(real), inside / (k_coverage * len(fake)), covered / len(real)
    )
