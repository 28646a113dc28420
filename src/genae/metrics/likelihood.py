"""How likely held-out images are to a model that knows it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genae import distributed
from genae.data.sampler import mix_seed
from genae.data.transfer import sent
from genae.metrics.metric import Measured, ModelMetric
from genae.metrics.records import CODE

if TYPE_CHECKING:
    from genae.metrics.of_model import ModelEvaluation


class Likelihood(ModelMetric):
    """``bits_per_dim``: the mean over held-out images of -log2 p(x) per value (`Autoencoder.bits_per_dim`)."""

    needs = frozenset({"likelihood"})

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """One number; the noise of each batch is a function of the seed and its place."""
        model, data, indices = evaluation.subject.autoencoder, evaluation.data, evaluation.reference.indices
        seed = evaluation.request.seed

        def load(numbered: tuple[int, Tensor]) -> tuple[int, Tensor]:
            return numbered[0], data.stored(numbered[1])

        def look(numbered: tuple[int, Tensor]) -> Tensor:
            noise = torch.Generator().manual_seed(mix_seed("dequantisation", seed, numbered[0]))
            with torch.no_grad():
                return model.bits_per_dim(data.converted(sent(numbered[1], evaluation.device)), noise).cpu().double()

        parts = list(enumerate(indices.split(evaluation.batch)))
        bits = torch.cat(list(distributed.in_order(parts, load, look)))
        yield Measured(CODE, "bits_per_dim", float(bits.mean()), {"images": len(bits), "seed": seed})
