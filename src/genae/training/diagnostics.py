"""Diagnostics of a training: a few numbers at every validation, and warnings in plain words."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from genae.metrics.code_spread import code_statistics
from genae.metrics.frechet import moments
from genae.protocol import Autoencoder

SAMPLES = 256


def diagnose(model: Autoencoder, batches: Iterable[Tensor]) -> dict[str, float]:
    """Numbers of a model in evaluation mode, from batches of held-out images [B, C, H, W], two images or more.

    ``code_std`` and ``code_rank`` (`code_statistics`); for every prior ``hole_<prior>``, the Fréchet distance between
    codes and as many sampled codes, in units of the codes' total variance (the "prior hole"; 0 is none, 2 is about that
    of unrelated noise), and ``diversity_<prior>``, the spread of sampled images over that of real ones. Samples are
    decoded in batches of the same size. ``bits_per_dim`` are those of models with a likelihood.
    """
    numbers: dict[str, float] = {}
    encoded, bits, real, at_once = [], [], _Spread(), 1
    noise = torch.Generator().manual_seed(0)
    for x in batches:
        at_once = max(at_once, len(x))
        real.add(x)
        if model.has_likelihood:
            bits.append(model.bits_per_dim(x, noise))
        if model.has_encoder:
            encoded.append(model.encode(x).float())
    codes = torch.cat(encoded) if encoded else None
    if codes is not None:
        if not codes.isfinite().all():
            return {"code_std": float("nan")}
        statistics = code_statistics(codes.cpu())
        numbers |= {"code_std": statistics.deviation, "code_rank": statistics.rank}
    if bits:
        numbers["bits_per_dim"] = float(torch.cat(bits).mean())
    for name, prior in model.priors.items():
        drawn = prior.sample(real.count, torch.Generator().manual_seed(0)).float()
        if codes is not None and numbers["code_std"] > 0:
            distance = moments(codes).distance(moments(drawn))
            numbers[f"hole_{name}"] = distance / (numbers["code_std"] ** 2 * codes.shape[1])
        sampled = _Spread()
        for some in drawn.split(at_once):
            sampled.add(model.decode(some))
        numbers[f"diversity_{name}"] = sampled.value / max(real.value, 1e-12)
    return numbers


class _Spread:
    """How much images differ, gathered over batches (Chan, Golub, LeVeque 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, x: Tensor) -> None:
        """A batch [B, C, H, W]."""
        x = x.float()
        centre, whole = x.mean(0), self.count + len(x)
        away = centre - self.mean
        self.squares = self.squares + (x - centre).square().sum(0) + away.square() * (self.count * len(x) / whole)
        self.mean = self.mean + away * (len(x) / whole)
        self.count = whole

    @property
    def value(self) -> float:
        """The deviation of each value over the images, averaged over the values."""
        return float((torch.as_tensor(self.squares) / (self.count - 1)).sqrt().mean())


def warnings(numbers: Mapping[str, float], losses: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What `diagnose`'s numbers and the latest losses say has gone wrong, a sentence each."""
    said = []
    deviation, rank = numbers.get("code_std", 1.0), numbers.get("code_rank", 2.0)
    if not deviation >= 1e-3:
        said.append(f"the codes have collapsed: their standard deviation is {deviation:.1e}; lower the learning rate")
    elif rank < 1.5:
        said.append(f"the codes fill about one dimension (effective rank {rank:.1f})")
    for name, value in numbers.items():
        kind, _, prior = name.partition("_")
        if kind == "diversity" and value < 0.2:
            said.append(f"samples of the {prior} prior are nearly all alike ({value:.0%} of the spread of real images)")
        if kind == "hole" and value > 1:
            said.append(
                f"the {prior} prior does not reach the codes: its samples lie {value:.1f} times their variance away"
            )
    for update, terms in losses.items():
        if "critic" in update and "penalty" not in terms and "+" not in update and terms["loss"] < 0.02:
            said.append(
                f"{update} tells real from generated without error (loss {terms['loss']:.3f}): "
                "what trains against it learns little"
            )
    return said
