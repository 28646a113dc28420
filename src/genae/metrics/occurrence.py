"""How much passes through the soft maps of a model with parts: errors with hard instead of soft occurrences."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genae.metrics.metric import Measured, ModelMetric
from genae.metrics.reconstruction import mse
from genae.metrics.records import CODE

if TYPE_CHECKING:
    from genae.metrics.of_model import ModelEvaluation


class Occurrence(ModelMetric):
    """``occurrence-probability``, ``occurrence-drawn``, ``occurrence-threshold``: the MSE in [-1, 1] of reconstructions
    whose parts occur with their probability, as drawn from it, and there or not at 1/2."""

    needs = frozenset({"parts"})

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """The three numbers."""
        model, data, indices = evaluation.subject.autoencoder, evaluation.data, evaluation.reference.indices
        parts, device, seed = evaluation.parts, evaluation.device, evaluation.request.seed
        generator = torch.Generator().manual_seed(seed)
        ways: dict[str, Callable[[Tensor], Tensor]] = {
            "probability": lambda p: p,
            "drawn": lambda p: (torch.rand(p.shape, generator=generator).to(device) < p).to(p.dtype),
            "threshold": lambda p: (p > 0.5).to(p.dtype),
        }
        errors = dict.fromkeys(ways, 0.0)
        for part in indices.split(evaluation.batch):
            x = data.images(part, device)
            with torch.no_grad():
                appearance, probability = parts.split(model.encode(x))
                for name, way in ways.items():
                    errors[name] += float(mse(model.decode(parts.join(appearance, way(probability))), x).sum())
        for name, total in errors.items():
            more = {"images": len(indices), "range": "[-1, 1]"} | ({"seed": seed} if name == "drawn" else {})
            yield Measured(CODE, f"occurrence-{name}", total / len(indices), more)
