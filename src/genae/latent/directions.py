"""Directions of attributes in code space."""

import torch
from torch import Tensor

from genae.errors import GenaeError


def direction(codes: Tensor, has: Tensor, name: str = "attribute") -> Tensor:
    """h_pos - h_neg [D]: the mean of codes [N, D] with the attribute minus the mean of those without.

    SWAE Section 4.3, AAAE Fig. 8: x' = G(h + s (h_pos - h_neg)). ``has`` [N] is boolean. `GenaeError` if either group
    is empty.
    """
    has = _both(has, name)
    return codes[has].mean(0) - codes[~has].mean(0)


def separating_direction(codes: Tensor, has: Tensor, name: str = "attribute") -> Tensor:
    """The normal [D] of the plane that parts codes [N, D] with the attribute from those without best, as long as the
    way between the two means along it.

    A linear support vector machine (C = 1, primal) finds the plane: ALAE Section 7.2's way to attributes in W, with a
    length that makes strengths comparable with those of `direction`. ``has`` [N] is boolean; `GenaeError` as there.
    """
    from sklearn.svm import LinearSVC

    has = _both(has, name)
    machine = LinearSVC(C=1.0, dual=False, max_iter=10_000).fit(codes.double().numpy(), has.numpy())
    normal = torch.as_tensor(machine.coef_[0], dtype=codes.dtype)
    normal = normal / normal.norm()
    return normal * (normal @ direction(codes, has, name))


DIRECTIONS = {"mean": direction, "svm": separating_direction}


def _both(has: Tensor, name: str) -> Tensor:
    has = has.cpu()
    if not has.any() or has.all():
        raise GenaeError(
            f"no direction for {name!r}: {int(has.sum())} of {len(has)} images have it; both kinds are needed"
        )
    return has
