"""Diagnostics of a training: a few numbers at every validation, and warnings in plain words."""

from collections.abc import Mapping

import torch
from torch import Tensor

from genae.metrics.code_spread import code_statistics
from genae.metrics.frechet import moments
from genae.protocol import Autoencoder

SAMPLES = 256


def diagnose(model: Autoencoder, x: Tensor) -> dict[str, float]:
    """Numbers of a model in evaluation mode, from held-out images x [N, C, H, W], N >= 2.

    ``code_std`` and ``code_rank`` (`code_statistics`); for every prior ``hole_<prior>``, the Fréchet distance between
    codes and as many sampled codes, in units of the codes' total variance (the "prior hole"; 0 is none, 2 is about that
    of unrelated noise), and ``diversity_<prior>``, the spread of sampled images over that of real ones.
    """
    numbers: dict[str, float] = {}
    codes = None
    if model.has_encoder:
        codes = model.encode(x).float()
        if not codes.isfinite().all():
            return {"code_std": float("nan")}
        statistics = code_statistics(codes.cpu())
        numbers |= {"code_std": statistics.deviation, "code_rank": statistics.rank}
    real_spread = float(x.float().std(0).mean())
    for name, prior in model.priors.items():
        drawn = prior.sample(len(x), torch.Generator().manual_seed(0)).float()
        if codes is not None and numbers["code_std"] > 0:
            distance = moments(codes).distance(moments(drawn))
            numbers[f"hole_{name}"] = distance / (numbers["code_std"] ** 2 * codes.shape[1])
        spread = float(model.decode(drawn).float().std(0).mean())
        numbers[f"diversity_{name}"] = spread / max(real_spread, 1e-12)
    return numbers


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
