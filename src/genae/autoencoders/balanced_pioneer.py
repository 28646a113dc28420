"""Balanced PIONEER: PIONEER with a margin between its divergences, and spectral norms alone in both networks.

Heljakka, Solin, Kannala: Towards Photographic Image Manipulation with Balanced Growing of Generative Autoencoders
(2020), Section 3. The deviations are in docs/models/progressive.md.
"""

from typing import Any, ClassVar

from torch import Tensor

from genae.autoencoders.growing import at_level, numbers_by_level
from genae.autoencoders.pioneer import Pioneer


class BalancedPioneer(Pioneer):
    """PIONEER whose E gains nothing from telling images and G's images apart by more than ``margin``.

    ``margin`` is M_gap, in nats per dimension: numbers for the levels from 4 x 4 up, separated by commas; the last one
    holds for those that follow; 0 is no margin. The rest as in `Pioneer`.
    """

    betas: ClassVar[tuple[float, float]] = (0.0, 0.9)
    spectral_decoder: ClassVar[bool] = True

    def __init__(
        self, image_shape: tuple[int, int, int], *, margin: str = "0.2", generator_steps: int = 1, **growing: Any
    ) -> None:
        super().__init__(image_shape, generator_steps=generator_steps, **growing)
        self.margins = numbers_by_level("margin", margin)

    def game(self, real: Tensor, fake: Tensor) -> Tensor:
        """max(-M_gap, Delta(E(x)) - Delta(E(G(z))))."""
        margin = at_level(self.margins, self.now[0])
        return (real - fake).clamp_min(-margin) if margin else real - fake
