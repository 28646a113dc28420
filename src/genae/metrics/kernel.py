"""Kernel distance (KID): the squared maximum mean discrepancy under a cubic kernel, float64."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genae.data.sampler import mix_seed
from genae.metrics.metric import FeatureMetric, Measured

if TYPE_CHECKING:
    from genae.metrics.features import FeatureNetwork
    from genae.metrics.tally import Tally


class Kid(FeatureMetric):
    """``kid``: kernel distance, over 100 subsets of at most 1,000 images; over all at once where there are no more."""

    keeps = "rows"
    least_images = 2

    def compare(self, images: "Tally", real: "Tally", network: "FeatureNetwork", seed: int) -> Iterator[Measured]:
        """One number and its deviation over subsets."""
        size = min(1000, images.count, real.count)
        subsets = 1 if size == images.count == real.count else 100  # one is all there are
        value, deviation = kernel_distance(images.rows, real.rows, subsets, size, seed)
        yield Measured("", "kid", value, {"subsets": subsets, "subset_size": size}, deviation)


def kernel_distance(
    x: Tensor, y: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and population deviation of `polynomial_mmd` over random subsets of features x [N, D] and y [M, D].

    Every subset is drawn without replacement, by a generator of its own: no global random state. Binkowski et al.
    2018, Section 4. Raises ValueError where a set is smaller than a subset.
    """
    if min(len(x), len(y)) < subset_size or subset_size < 2:
        raise ValueError(f"kernel_distance: subsets of {subset_size} out of {len(x)} and {len(y)} rows")
    generator = torch.Generator().manual_seed(mix_seed("kid", seed))
    values = torch.empty(subsets, dtype=torch.float64)
    for i in range(subsets):
        a, b = (rows[torch.randperm(len(rows), generator=generator)[:subset_size]] for rows in (x, y))
        values[i] = polynomial_mmd(a, b)
    return float(values.mean()), float(values.std(correction=0))


def polynomial_mmd(x: Tensor, y: Tensor) -> float:
    """Unbiased squared MMD with the kernel k(a, b) = (a b / D + 1)^3 of features x [N, D] and y [M, D].

    mean of k over pairs of different x + the same of y - 2 mean of k over all (x, y). Binkowski et al. 2018, Eq. 4.
    It can be negative: it is zero on average for equal distributions.
    """
    x, y = x.double(), y.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        k = kernel(a, a)
        return (k.sum() - k.trace()) / (len(a) * (len(a) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())
