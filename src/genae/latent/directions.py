"""Directions of attributes in code space."""

from torch import Tensor

from genae.errors import GenaeError


def direction(codes: Tensor, has: Tensor, name: str = "attribute") -> Tensor:
    """h_pos - h_neg [D]: the mean of codes [N, D] with the attribute minus the mean of those without.

    SWAE Section 4.3, AAAE Fig. 8: x' = G(h + s (h_pos - h_neg)). ``has`` [N] is boolean. `GenaeError` if either group
    is empty.
    """
    has = has.to(codes.device)
    if not has.any() or has.all():
        raise GenaeError(
            f"no direction for {name!r}: {int(has.sum())} of {len(has)} images have it; both kinds are needed"
        )
    return codes[has].mean(0) - codes[~has].mean(0)
