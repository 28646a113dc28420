"""PatchVAE's heads on the maps of its trunk: where parts are, and what they look like."""

import torch
from torch import Tensor, nn


class PartHeads(nn.Module):
    """Maps [B, channels, h, w] -> appearance mean and log variance [B, N, d, h, w] and occurrence logits [B, N, h, w].

    The three heads of PatchVAE, Fig. 2, in one 3 x 3 convolution: Q^A's mean and log variance, Q^O's logit.
    """

    def __init__(self, channels: int, parts: int, part_dim: int) -> None:
        super().__init__()
        self.parts, self.part_dim = parts, part_dim
        self.convolution = nn.Conv2d(channels, parts * (2 * part_dim + 1), 3, 1, 1)
        nn.init.kaiming_normal_(self.convolution.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, log variance, logits."""
        sizes = [self.parts * self.part_dim] * 2 + [self.parts]
        mean, log_variance, logits = self.convolution(maps).float().split(sizes, 1)
        shape = (self.parts, self.part_dim)
        return mean.unflatten(1, shape), log_variance.unflatten(1, shape), logits


def pooled(maps: Tensor, weights: Tensor, absent: float) -> Tensor:
    """Averages [B, N, d] of maps [B, N, d, h, w] over their cells, weighted by [B, N, h, w] (PatchVAE Eq. 7).

    Of a part that is nowhere it is ``absent``: 0 for means and 1 for variances, so that its appearance costs nothing.
    """
    total = weights.sum((2, 3))[:, :, None]
    return (torch.einsum("bndhw,bnhw->bnd", maps, weights) + absent * 1e-7) / (total + 1e-7)


def placed(appearance: Tensor, occurrence: Tensor) -> Tensor:
    """The patch code [B, N d, h, w]: appearances [B, N, d] in the cells where the parts occur [B, N, h, w]."""
    return (appearance[:, :, :, None, None] * occurrence[:, :, None]).flatten(1, 2)
