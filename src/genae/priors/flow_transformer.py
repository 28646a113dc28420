"""Flow matching on maps: a transformer over their cells carries noise to codes.

Lipman et al. 2023, Eq. 23; Peebles and Xie 2023 (DiT), Section 3.2.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from genae.networks.transformer import CellTransformer
from genae.priors.flow_matching import Flow
from genae.protocol import at_least


class FlowTransformerPrior(Flow):
    """A `Flow` of codes (c, h, w) from N(0, I), whose velocity is a transformer: ``blocks`` blocks of ``width``.

    ``patch`` x ``patch`` cells are one token: with 2 it works four times as fast as with 1, and each token has four
    cells to draw. The weights of one grid can be loaded into a prior of any other grid of the same channels; see
    `CellTransformer`. Raises ValueError for codes that are vectors.
    """

    spatial: ClassVar[bool] = True
    betas: ClassVar[tuple[float, float]] = (0.9, 0.99)
    fitted_with: ClassVar[Mapping[str, float | str]] = {
        "images": 1_000_000, "batch_size": 64, "learning_rate": 5e-4, "precision": "auto",
    }  # fmt: skip

    def __init__(
        self,
        code_shape: tuple[int, ...],
        width: int = 256,
        blocks: int = 6,
        patch: int = 2,
        solver_steps: int = 8,
        half_life: int = 200_000,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__(classes)
        at_least(1, width=width, blocks=blocks, patch=patch)
        if len(code_shape) != 3:
            raise ValueError(
                f"codes are vectors of {code_shape[0]} numbers; a flow-transformer is for maps (c, h, w): "
                "choose flow-matching"
            )
        channels, height, columns = code_shape
        velocity = CellTransformer((channels, height, columns), width, blocks, patch, len(classes))
        self._follow(velocity, math.prod(code_shape), solver_steps, half_life)
