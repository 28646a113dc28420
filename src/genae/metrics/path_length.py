"""Perceptual path length: how abruptly images change along paths between codes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genae.data.sampler import mix_seed
from genae.latent.paths import lerp, slerp
from genae.losses import in_float64
from genae.metrics.backbones import Networks
from genae.metrics.evaluation import check_finite
from genae.metrics.features import FeatureNetwork
from genae.metrics.lpips import LPIPS_SIDE, WEIGHTS, Lpips
from genae.metrics.metric import Measured, ModelMetric
from genae.metrics.records import short_count
from genae.protocol import Prior

if TYPE_CHECKING:
    from genae.metrics.of_model import ModelEvaluation

STEP = 1e-4
BATCH = 16  # pairs
UNCLIPPED = "not clipped"
"""Images as the generator gives them, neither clipped nor rounded, as the authors of StyleGAN and ALAE measure."""


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

    suffix: str
    """How they end: the network's name; empty for LPIPS with its published weights."""
    protocol: Mapping[str, object]
    """Its part of a fingerprint."""
    distance: Callable[[Tensor, Tensor], Tensor]
    """Images [B, C, H, W] in [-1, 1], two of them -> [B]."""


def by_lpips(lpips: Lpips) -> Perceiver:
    """LPIPS, on images reduced to at most 256 pixels by averaging."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        times = max(1, min(x.shape[2:]) // 256)
        return lpips(*(F.avg_pool2d(image, times) if times > 1 else image for image in (x, y)))

    return Perceiver(lpips.name.removeprefix("lpips").removeprefix("-"), lpips.protocol, distance)


def by_features(network: FeatureNetwork) -> Perceiver:
    """A stand-in where LPIPS' weights cannot be had: the mean squared difference of a network's features.

    Its numbers begin with ``fpl``: they order spaces of one model, and are no perceptual path lengths.
    """

    def distance(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            a, b = (network.compute((image + 1) * 127.5)[0] for image in (x, y))
        return (in_float64(a) - in_float64(b)).square().flatten(1).mean(1)

    return Perceiver(network.suffix, network.protocol, distance)


class PathMetric(ModelMetric):
    """Path lengths of each prior with latent variables: four numbers, as `prior_path_lengths` names them."""

    needs = frozenset({"paths"})
    perceivers: Sequence[Perceiver] = ()

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """Four numbers for every prior and perceiver."""
        priors = evaluation.subject.autoencoder.priors
        for prior in (name for name in evaluation.priors if priors[name].has_latent):
            for perceiver in self.perceivers:
                yield from self.lengths(evaluation, prior, perceiver)

    def lengths(self, evaluation: "ModelEvaluation", prior: str, perceiver: Perceiver) -> Iterator[Measured]:
        """The four numbers of one."""
        model, request = evaluation.subject.autoencoder, evaluation.request
        lengths: dict[str, list[Tensor]] = {}
        with torch.no_grad():
            for kind, values in prior_path_lengths(
                model.priors[prior], model.decode_unclipped, perceiver.distance, request.samples, request.seed
            ):
                check_finite(values[:, None], f"{prior} path lengths")
                lengths.setdefault(kind, []).append(values)
                evaluation.progress(f"paths of {prior}", sum(map(len, lengths[kind])), request.samples)
        more = {"images": request.samples, "seed": request.seed, "step": STEP, "crop": "none",
                "values": UNCLIPPED, **perceiver.protocol}  # fmt: skip
        ending = f"-{perceiver.suffix}" if perceiver.suffix else ""
        for kind, parts in lengths.items():
            name = f"{self.name}_{kind}{short_count(request.samples)}{ending}"
            yield Measured(prior, name, trimmed_mean(torch.cat(parts)), more)


class Ppl(PathMetric):
    """``ppl``: perceptual path length, with LPIPS."""

    least_side = LPIPS_SIDE
    stand_in = "fpl"

    def downloads(self, chosen: Sequence[str]) -> Sequence[str]:
        """LPIPS' weights."""
        return WEIGHTS

    def open(self, networks: Networks, chosen: Sequence[str]) -> None:
        """Read them."""
        self.perceivers = [by_lpips(networks.lpips)]


class Fpl(PathMetric):
    """``fpl``: the same in the features of the networks that were chosen."""

    def networks(self, chosen: Sequence[str]) -> Sequence[str]:
        """Those that were chosen."""
        return chosen

    def open(self, networks: Networks, chosen: Sequence[str]) -> None:
        """Open them."""
        self.perceivers = [by_features(networks[name]) for name in chosen]


def prior_path_lengths(
    prior: Prior,
    decode: Callable[[Tensor], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    count: int,
    seed: int,
) -> Iterator[tuple[str, Tensor]]:
    """Path lengths between samples of a prior, in batches: (``z_full``, [B]), ..., until each has ``count``.

    Four kinds: along great circles in the prior's z and along straight lines in codes w, over the whole path (``full``)
    and at its start (``end``). ``decode`` maps codes [B, D] to images, in [-1, 1] or about. ALAE Table 4;
    Karras et al. 2019, Section 4.1. Paths are computed in float64.
    """
    generator = torch.Generator().manual_seed(mix_seed("paths", seed))
    device = next(iter(prior.state_dict().values())).device

    def from_z(z: Tensor) -> Tensor:
        return decode(prior.decode(z.float().to(device)))

    def from_w(w: Tensor) -> Tensor:
        return decode(w.float().to(device))

    for start in range(0, count, BATCH):
        n = min(BATCH, count - start)
        a, b = (prior.latent(n, generator).cpu().double() for _ in range(2))
        u, v = (in_float64(prior.decode(z.float().to(device))) for z in (a, b))
        t = torch.rand(n, generator=generator, dtype=torch.float64)
        for end, at in (("full", t), ("end", torch.zeros_like(t))):
            yield f"z_{end}", path_lengths(from_z, distance, slerp, a, b, at).cpu()
            yield (
                f"w_{end}",
                path_lengths(from_w, distance, lerp, u, v, at.to(u.device)).cpu(),
            )
