"""What a code distribution looks like: spread, effective dimension, distance to what a prior samples."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from genae.errors import GenaeError
from genae.metrics.frechet import moments
from genae.metrics.metric import Batch, Measured, ModelMetric
from genae.metrics.records import CODE, short_count
from genae.rows import Collected

if TYPE_CHECKING:
    from genae.metrics.evaluation import Evaluation
    from genae.metrics.of_model import ModelEvaluation


class Codes(ModelMetric):
    """``code_std`` and ``code_rank`` of held-out images' codes, ``code_fd`` between them and those of each prior."""

    needs = frozenset({"codes"})

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.codes: dict[str, Collected] = {}

    def check(self, evaluation: "Evaluation") -> None:
        """Refuse what has no covariance. Raises `GenaeError`."""
        images, samples = len(evaluation.reference), evaluation.request.samples
        if min(images, samples) < 2:
            raise GenaeError(f"codes: expected at least 2 images and 2 samples; there are {images} and {samples}")

    def see(self, of: str, batch: Batch) -> Mapping[str, Tensor]:
        """The codes."""
        return {} if batch.codes is None else {"codes": batch.codes}

    def add(self, of: str, seen: Mapping[str, Tensor]) -> None:
        """Keep them."""
        if seen:
            self.codes.setdefault(of, Collected()).add(seen["codes"])

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """A distance for every prior, and two numbers of the codes."""
        codes = {of: collected.rows for of, collected in self.codes.items()}
        real = codes.pop(CODE)
        for prior, drawn in codes.items():
            more = {**evaluation.sampling(prior), "images": len(drawn), "seed": evaluation.request.seed}
            more["code_dim"] = drawn.shape[1]
            yield Measured(prior, f"code_fd{short_count(len(drawn))}", moments(drawn).distance(moments(real)), more)
        statistics = code_statistics(real)
        yield Measured(CODE, "code_std", statistics.deviation, {"code_dim": real.shape[1]})
        yield Measured(CODE, "code_rank", statistics.rank, {"code_dim": real.shape[1]})


class CodeStatistics(NamedTuple):
    """Of codes [N, D]."""

    deviation: float
    """Root mean square over dimensions of the standard deviation; 0 is a collapsed encoder."""
    rank: float
    """Effective rank: exp of the entropy of the covariance's normalised eigenvalues; 1 to D."""


def code_statistics(codes: Tensor) -> CodeStatistics:
    """Spread and effective rank (Roy and Vetterli 2007, Eq. 2, on the covariance) of codes [N, D], N >= 2."""
    centred = codes.double() - codes.double().mean(0)
    variances = torch.linalg.svdvals(centred).square() / (len(codes) - 1)
    total = variances.sum()
    shares = variances / total if total > 0 else torch.ones(1, dtype=torch.float64)
    return CodeStatistics(float((total / codes.shape[1]).sqrt()), float(torch.special.entr(shares).sum().exp()))
