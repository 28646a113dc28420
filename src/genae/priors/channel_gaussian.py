"""A Gaussian of maps that knows its channels alone: what spatial priors stand on."""

import torch
from torch import Tensor

from genae.progress import Progress, silent
from genae.protocol import Prior, normal
from genae.rows import Rows, in_parts


class ChannelGaussianPrior(Prior):
    """Maps (c, h, w) whose numbers are independent: each channel has a mean m and a deviation s, the same in all cells.

    z = (code - m) / s are standardised codes. `GaussianPrior` whitens codes, which mixes the cells of a map: where
    cells are neighbours could not be seen any more. A channel that never changes is zero in z.
    """

    def __init__(self, code_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.code_shape = code_shape
        self.register_buffer("mean", torch.zeros(code_shape[0]))
        self.register_buffer("deviation", torch.ones(code_shape[0]))
        self.mean: Tensor
        self.deviation: Tensor

    def fit(self, codes: Rows, progress: Progress = silent) -> None:
        """m and s of codes [N, c h w], over all cells; float64, in two passes."""
        cells = len(codes) * (codes.shape[1] // len(self.mean))
        mean, variance = (torch.zeros(len(self.mean), dtype=torch.float64) for _ in range(2))
        for part in in_parts(codes):
            mean += self._by_channel(part).sum(1) / cells
        for part in in_parts(codes):
            variance += (self._by_channel(part) - mean[:, None]).square().sum(1) / (cells - 1)
        self.mean.copy_(mean)
        self.deviation.copy_(variance.sqrt())

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """z [count, c h w] ~ N(0, I)."""
        return normal(count, torch.Size(self.code_shape).numel(), like=self.mean, generator=generator)

    def encode(self, codes: Tensor) -> Tensor:
        """z = (code - m) / s: [B, c h w] -> [B, c h w]."""
        scale = torch.where(self.deviation > 0, 1 / self.deviation, 0)
        return ((self._maps(codes) - self.mean[:, None]) * scale[:, None]).flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        """code = m + s z: [B, c h w] -> [B, c h w]."""
        return (self.mean[:, None] + self.deviation[:, None] * self._maps(z)).flatten(1)

    def _maps(self, codes: Tensor) -> Tensor:
        """[B, c, h w]."""
        return codes.unflatten(1, (len(self.mean), -1))

    def _by_channel(self, codes: Tensor) -> Tensor:
        """[c, B h w], in float64."""
        return self._maps(codes.double()).transpose(0, 1).flatten(1)
