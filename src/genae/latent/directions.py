"""Directions of attributes in code space."""

import torch
from torch import Tensor

from genae.errors import GenaeError
from genae.rows import Rows, in_parts

MOST_FOR_PLANE = 200_000
"""Codes, at most, that a plane is fitted to: liblinear holds about 20 bytes for each of their numbers."""


def direction(codes: Rows, has: Tensor, name: str = "attribute") -> Tensor:
    """h_pos - h_neg [D]: the mean of codes [N, D] with the attribute minus the mean of those without.

    SWAE Section 4.3, AAAE Fig. 8: x' = G(h + s (h_pos - h_neg)). ``has`` [N] is boolean. `GenaeError` if either group
    is empty.
    """
    has = _both(has, name)
    sums, done = torch.zeros(2, codes.shape[1], dtype=torch.float64), 0
    for part in in_parts(codes):
        sums.index_add_(0, has[done : done + len(part)].long(), part.double())
        done += len(part)
    without, with_it = sums / torch.bincount(has.long(), minlength=2)[:, None]
    return (with_it - without).float()


def separating_direction(codes: Rows, has: Tensor, name: str = "attribute") -> Tensor:
    """The normal [D] of the plane that parts codes [N, D] with the attribute from those without best, as long as the
    way between the two means along it.

    A linear support vector machine (C = 1, primal) finds the plane: ALAE Section 7.2's way to attributes in W, with a
    length that makes strengths comparable with those of `direction`. ``has`` [N] is boolean; `GenaeError` as there. Of
    more than `MOST_FOR_PLANE` codes it takes so many, at random, and if it can as many with the attribute as without.
    """
    from sklearn.svm import LinearSVC

    has = _both(has, name)
    rows, of_rows = _some(codes, has)
    machine = LinearSVC(C=1.0, dual=False, max_iter=10_000).fit(rows.double().numpy(), of_rows.numpy())
    normal = torch.as_tensor(machine.coef_[0], dtype=torch.float32)
    normal = normal / normal.norm()
    return normal * (normal @ direction(codes, has, name))


DIRECTIONS = {"mean": direction, "svm": separating_direction}


def _some(codes: Rows, has: Tensor) -> tuple[Tensor, Tensor]:
    """Up to `MOST_FOR_PLANE` codes, and whether each has the attribute."""
    if len(codes) <= MOST_FOR_PLANE:
        return codes[:], has
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))
    with_it, without = order[has[order]], order[~has[order]]
    of_rarer = min(len(with_it), len(without), MOST_FOR_PLANE // 2)
    rarer, other = sorted((with_it, without), key=len)
    taken = torch.cat([rarer[:of_rarer], other[: MOST_FOR_PLANE - of_rarer]]).sort().values
    return codes[taken], has[taken]


def _both(has: Tensor, name: str) -> Tensor:
    has = has.cpu()
    if not has.any() or has.all():
        raise GenaeError(
            f"no direction for {name!r}: {int(has.sum())} of {len(has)} images have it; both kinds are needed"
        )
    return has
