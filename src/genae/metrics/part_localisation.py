"""Localisation: how well the parts of a model match the true ones."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from genae.data.builtin import SHAPES, shape_places
from genae.errors import GenaeError
from genae.metrics.metric import Measured, ModelMetric
from genae.metrics.records import CODE

if TYPE_CHECKING:
    from genae.metrics.evaluation import Evaluation
    from genae.metrics.of_model import ModelEvaluation

INSIDE = 0.5  # a cell belongs to a true part that covers this share of it
UNKNOWING = "a map without knowledge"


class Localised(ModelMetric):
    """``localisation-circle``, ...: how well a part of the model detects every kind of shape, and any, beside what a
    map without knowledge reaches. The model's parts are chosen on training images."""

    needs = frozenset({"parts"})

    def check(self, evaluation: "Evaluation") -> None:
        """Refuse data other than `shapes`, whose parts are not known. Raises `GenaeError`."""
        if evaluation.reference.name != "shapes":
            raise GenaeError(f"localisation needs data whose parts are known: shapes, not {evaluation.reference.name}")

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """Two numbers for each kind."""
        data, indices = evaluation.data, evaluation.reference.indices

        def occurrence(part: Tensor) -> Tensor:
            with torch.no_grad():
                codes = evaluation.subject.autoencoder.encode(data.images(part, evaluation.device))
                return evaluation.parts.split(codes)[1].cpu()

        learn = data.split("train")
        maps = [
            torch.cat([occurrence(batch) for batch in images.split(evaluation.batch)]) for images in (learn, indices)
        ]
        height, width = maps[0].shape[2:]
        if height != width:
            raise GenaeError(
                f"localisation needs square images of shapes; this model has a grid of {height} x {width} cells"
            )
        kinds = shape_places(height, len(data))
        places = torch.cat([kinds, kinds.sum(1, keepdim=True)], 1)
        precisions = localisation((maps[0], places[learn]), (maps[1], places[indices]))
        for kind, name in enumerate((*SHAPES, "any")):
            metric, more = f"localisation-{name}", {"train": len(learn), "inside": INSIDE, "grid": height}
            part = {"part": int(precisions.parts[kind])}
            yield Measured(CODE, metric, float(precisions.best[kind]), {**more, **part})
            yield Measured(UNKNOWING, metric, float(precisions.chance[kind]), more)


class Localisation(NamedTuple):
    """Average precisions, a number for each true part [K]."""

    best: Tensor
    """Of the model's part that fits it best."""
    chance: Tensor
    """Of a map that knows nothing: the share of cells in which the true part is."""
    parts: Tensor
    """The number of that part of the model."""


def average_precision(scores: Tensor, truth: Tensor) -> float:
    """Area under precision over recall, as steps: scores [M] and booleans [M]; scikit-learn's definition."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth.numpy(), scores.double().numpy()))


def localisation(learn: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], inside: float = INSIDE) -> Localisation:
    """Occurrence probabilities [M, N, h, w] as detectors of the cells that true parts [M, K, h, w] cover.

    A cell is true where at least the share ``inside`` of it is covered. For every true part, the model's part of the
    highest average precision on ``learn`` is chosen, and scored on ``test``: a choice among N parts is no credit.
    """
    occurrence, truth = learn[0], learn[1] >= inside
    precisions, chance, parts = [], [], []
    for part in range(truth.shape[1]):
        every = [average_precision(o.flatten(), truth[:, part].flatten()) for o in occurrence.unbind(1)]
        best = max(range(len(every)), key=every.__getitem__)
        cells = (test[1][:, part] >= inside).flatten()
        precisions.append(average_precision(test[0][:, best].flatten(), cells))
        chance.append(float(cells.double().mean()))
        parts.append(best)
    return Localisation(torch.tensor(precisions), torch.tensor(chance), torch.tensor(parts))
