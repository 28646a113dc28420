"""What is lost between codes and a prior's latent variables."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genae.losses import in_float64
from genae.metrics.metric import Batch, Measured, ModelMetric
from genae.metrics.records import CODE
from genae.networks.arithmetic import exact_float32
from genae.progress import Progress, silent
from genae.protocol import Prior
from genae.rows import Collected

if TYPE_CHECKING:
    from genae.metrics.of_model import ModelEvaluation

FIRST = 1000
"""Codes that go there and back."""


class RoundTrip(ModelMetric):
    """``round_trip``: `round_trip_error` of each prior that has an encoder, for 1,000 codes of held-out images."""

    needs = frozenset({"codes"})

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.codes = Collected()

    def see(self, of: str, batch: Batch) -> Mapping[str, Tensor]:
        """The first codes of images."""
        if of != CODE or batch.codes is None or batch.start >= FIRST:
            return {}
        return {"codes": batch.codes[: FIRST - batch.start]}

    def add(self, of: str, seen: Mapping[str, Tensor]) -> None:
        """Keep them."""
        if seen:
            self.codes.add(seen["codes"])

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """A number for every prior that has an encoder."""
        codes = self.codes.rows
        for name in evaluation.priors:
            prior = evaluation.subject.autoencoder.priors[name]
            if prior.has_encoder:
                error = round_trip_error(prior, codes.to(evaluation.device))
                yield Measured(name, "round_trip", error, {"images": len(codes), "code_dim": codes.shape[1]})


@torch.no_grad()
@exact_float32()
def round_trip_error(prior: Prior, codes: Tensor, progress: Progress = silent) -> float:
    """How far codes [N, D] are from themselves after `encode` and `decode`: the root mean square over all numbers, in
    units of the codes' own deviation (the root mean square distance of a number from its mean)."""
    back: list[Tensor] = []
    for part in codes.split(64):
        progress("held-out codes through the prior and back", sum(map(len, back)), len(codes))
        back.append(prior.decode(prior.encode(part)))
    away, spread = in_float64(torch.cat(back) - codes), in_float64(codes - codes.mean(0))
    return float((away.square().mean() / spread.square().mean()).sqrt())
