"""Sliced Wasserstein distance between two sets of features."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genae.data.sampler import mix_seed
from genae.metrics.metric import FeatureMetric, Measured

if TYPE_CHECKING:
    from genae.metrics.features import FeatureNetwork
    from genae.metrics.tally import Tally

DIRECTIONS = 512
AT_ONCE = 64  # directions


class Swd(FeatureMetric):
    """``swd``: `sliced_wasserstein_distance` of features."""

    keeps = "rows"

    def compare(self, images: "Tally", real: "Tally", network: "FeatureNetwork", seed: int) -> Iterator[Measured]:
        """One number."""
        distance = sliced_wasserstein_distance(images.rows, real.rows, DIRECTIONS, seed)
        yield Measured("", "swd", distance, {"directions": DIRECTIONS})


def sliced_wasserstein_distance(x: Tensor, y: Tensor, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """SW_2 = (mean over directions t of W_2(t x, t y)^2)^(1/2) of features x [N, D] and y [M, D], in their units.

    Directions are uniform on the sphere. On a line the Wasserstein distance has a closed form: the root mean square
    difference of the quantile functions; both are steps, so that it is exact for any N and M. Rabin, Peyré, Delon and
    Bernot 2011; Bonneel, Rabin, Peyré and Pfister 2015, Eq. 9. Raises ValueError for empty sets or unlike widths.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not (len(x) and len(y)):
        raise ValueError(
            f"sliced_wasserstein_distance: shapes {list(x.shape)}, {list(y.shape)}; expected [N, D], [M, D]"
        )
    x, y = x.double(), y.double()
    generator = torch.Generator().manual_seed(mix_seed("swd", seed))
    along = torch.randn(directions, x.shape[1], generator=generator, dtype=torch.float64)
    along = (along / along.norm(dim=1, keepdim=True)).to(x.device)
    # Levels at which either quantile function steps, and the step of each in which a level lies.
    n, m = len(x), len(y)
    levels = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()  # in 1 / (n m)
    widths = torch.diff(levels, prepend=levels.new_zeros(1)).double() / (n * m)
    of_x, of_y = (levels - 1) // m, (levels - 1) // n
    total = 0.0
    for t in along.split(AT_ONCE):
        a, b = (rows @ t.T for rows in (x, y))
        gaps = a.sort(0).values[of_x] - b.sort(0).values[of_y]
        total += float((gaps.square() * widths[:, None].to(gaps.device)).sum())
    return (total / directions) ** 0.5
