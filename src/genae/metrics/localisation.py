"""How well the parts that a model found are those that there are."""

from typing import NamedTuple

import torch
from torch import Tensor

INSIDE = 0.5  # a cell belongs to a true part that covers this share of it


class Localisation(NamedTuple):
    """Average precisions, a number for each true part [K]."""

    found: Tensor
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
    found, chance, chosen = [], [], []
    for part in range(truth.shape[1]):
        every = [average_precision(o.flatten(), truth[:, part].flatten()) for o in occurrence.unbind(1)]
        best = max(range(len(every)), key=every.__getitem__)
        cells = (test[1][:, part] >= inside).flatten()
        found.append(average_precision(test[0][:, best].flatten(), cells))
        chance.append(float(cells.double().mean()))
        chosen.append(best)
    return Localisation(torch.tensor(found), torch.tensor(chance), torch.tensor(chosen))
