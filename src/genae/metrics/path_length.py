"""Perceptual path length: how abruptly images change along paths between codes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genae.data.sampler import mix_seed
from genae.latent.interpolate import lerp, slerp
from genae.metrics.features import FeatureNetwork
from genae.metrics.lpips import Lpips
from genae.protocol import Prior

STEP = 1e-4
BATCH = 16  # pairs


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


class Perceiver(NamedTuple):
    """What perceives the differences along paths."""

    metric: str
    """How its numbers begin: ``ppl`` with LPIPS, ``fpl`` with any other network."""
    suffix: str
    """How they end: the network's name; empty for LPIPS with its published weights."""
    protocol: Mapping[str, Any]
    """Its part of a fingerprint."""
    distance: Callable[[Tensor, Tensor], Tensor]
    """Images [B, C, H, W] in [-1, 1], two of them -> [B]."""


def by_lpips(lpips: Lpips) -> Perceiver:
    """LPIPS, on images reduced to at most 256 pixels by averaging."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        times = max(1, min(x.shape[2:]) // 256)
        return lpips(*(F.avg_pool2d(image, times) if times > 1 else image for image in (x, y)))

    return Perceiver("ppl", lpips.name.removeprefix("lpips").removeprefix("-"), lpips.protocol, distance)


def by_features(network: FeatureNetwork) -> Perceiver:
    """A stand-in where LPIPS' weights cannot be had: the mean squared difference of a network's features.

    Its numbers begin with ``fpl``: they order spaces of one model, and are no perceptual path lengths.
    """

    def distance(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            a, b = (network.compute((image + 1) * 127.5)[0] for image in (x, y))
        return (a.double() - b.double()).square().flatten(1).mean(1)

    return Perceiver("fpl", network.suffix, network.protocol, distance)


def prior_path_lengths(
    prior: Prior,
    decode: Callable[[Tensor], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    count: int,
    seed: int,
) -> Iterator[tuple[str, Tensor]]:
    """Path lengths between samples of a prior, in batches: (``z_full``, [B]), ..., until each has ``count``.

    Four kinds: along great circles in the prior's z and along straight lines in codes w, over the whole path (``full``)
    and at its start (``end``). ``decode`` maps codes [B, D] to images in [-1, 1]. ALAE Table 4; Karras et al. 2019,
    Section 4.1. Paths are computed in float64.
    """
    generator = torch.Generator().manual_seed(mix_seed("paths", seed))
    device = next(iter(prior.state_dict().values())).device

    def through(z: Tensor) -> Tensor:
        return decode(prior.decode(z.float().to(device)))

    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        a, b = (prior.latent(n, generator).double().cpu() for _ in range(2))
        u, v = (prior.decode(z.float().to(device)).double() for z in (a, b))
        t = torch.rand(n, generator=generator, dtype=torch.float64)
        for end, at in (("full", t), ("end", torch.zeros_like(t))):
            yield f"z_{end}", path_lengths(through, distance, slerp, a, b, at).cpu()
            yield f"w_{end}", path_lengths(lambda w: decode(w.float()), distance, lerp, u, v, at.to(u.device)).cpu()
