"""Perceptual path length: how abruptly images change along paths between codes."""

from collections.abc import Callable

from torch import Tensor

STEP = 1e-4


def path_lengths(
    image_at: Callable[[Tensor], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    path: Callable[[Tensor, Tensor, Tensor], Tensor],
    a: Tensor,
    b: Tensor,
    t: Tensor,
) -> Tensor:
    """d(G(I(a, b, t)), G(I(a, b, t + e))) / e^2 of every pair of codes a, b [N, D] at t [N], [N]; e = 1e-4.

    ``image_at`` is the generator G, ``path`` the interpolation I(a, b, t [N, 1]), ``distance`` gives [N] squared
    perceptual distances. t ~ U(0, 1) is the full path length, t = 0 that of its end. Karras et al. 2019, Eq. 2 and 3.
    Give float64: in float32 the difference over so small a step is noise.
    """
    x, y = (image_at(path(a, b, at[:, None])) for at in (t, t + STEP))
    return distance(x, y) / STEP**2


def trimmed_mean(lengths: Tensor) -> float:
    """Mean of the lengths [N] between their 1st and 99th percentile (the nearest values outwards, both kept)."""
    low = lengths.quantile(0.01, interpolation="lower")
    high = lengths.quantile(0.99, interpolation="higher")
    return float(lengths[(lengths >= low) & (lengths <= high)].mean())
