"""Paths between codes."""

import torch
from torch import Tensor


def lerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Linear: a + (b - a) t. Codes [..., D]."""
    return a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Spherical: sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b, w the angle between a and b. Codes [..., D].

    Shoemake 1985, with the end points as they are, not normalised. For (nearly) parallel, opposite or zero vectors,
    where no great circle is defined, it is linear.
    """
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    cosine = (a * b).sum(-1, keepdim=True) / (length_a * length_b).clamp_min(torch.finfo(a.dtype).tiny)
    straight = (cosine.abs() > 1 - 1e-7) | (torch.minimum(length_a, length_b) < 1e-7)
    angle = torch.acos(cosine.clamp(-1, 1).masked_fill(straight, 0.0))
    arc = torch.sin((1 - t) * angle) / torch.sin(angle) * a + torch.sin(t * angle) / torch.sin(angle) * b
    return torch.where(straight, lerp(a, b, t), arc)


PATHS = {"linear": lerp, "spherical": slerp}


def path(a: Tensor, b: Tensor, steps: int, kind: str = "linear") -> Tensor:
    """``steps`` codes [steps, ..., D] from a to b, equally spaced, both ends included."""
    return torch.stack([PATHS[kind](a, b, float(t)) for t in torch.linspace(0, 1, steps, dtype=torch.float64)])


def grid(corners: Tensor, rows: int, columns: int) -> Tensor:
    """Bilinear grid [rows, columns, D] between four codes [4, D]: top left, top right, bottom left, bottom right.

    SWAE Fig. 6.
    """
    left = path(corners[0], corners[2], rows)
    right = path(corners[1], corners[3], rows)
    return path(left, right, columns).transpose(0, 1)
