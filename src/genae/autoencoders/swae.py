"""Stacked Wasserstein Autoencoder.

Xu, Keshmiri, Wang: Stacked Wasserstein Autoencoder (2019). `step` is its Algorithm 1; the equation-to-line map and the
deviations are in docs/models/stacked-wae.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from genae.autoencoders.adversarial import AdversarialAutoencoder
from genae.priors.stack import StackedPrior
from genae.priors.wae_gan import WaeGanPrior
from genae.protocol import Criteria, Prior, Update, at_least


class StackedWassersteinAutoencoder(AdversarialAutoencoder):
    """Stage I (E1, G1, D1) on images and one or several stage-II priors (E2, G2, D2) on its codes h0.

    ``priors`` names the distributions p_Z, trained at once on the same encoded batches (Fig. 3): ``normal,uniform``;
    a slash stacks one on the latent variables of another: ``uniform/normal``.
    Their z have ``prior_dim`` dimensions, their networks hidden layers of ``prior_width``.
    ``inner_steps`` is the paper's k, ``prior_weight`` the weight of the adversarial term in stage II (paper: 1), and
    ``prior_initial`` the initial weights of its networks (`networks.dense.Dense`).
    ``stage_one`` are the options of `AdversarialAutoencoder`.
    """

    criteria = Criteria("similarity", "learned/adversarial", "data")

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        priors: str = "normal,uniform",
        inner_steps: int = 2,
        prior_dim: int = 64,
        prior_width: int = 512,
        prior_weight: float = 1.0,
        prior_initial: str = "normal",
        **stage_one: Any,
    ) -> None:
        super().__init__(image_shape, **stage_one)
        at_least(1, inner_steps=inner_steps)
        self.inner_steps = inner_steps

        def stack(distributions: list[str]) -> Prior:
            inputs = [self.code_dim] + [prior_dim] * (len(distributions) - 1)
            levels = [
                WaeGanPrior(dim, prior_dim, distribution, prior_weight, prior_width, prior_initial)
                for dim, distribution in zip(inputs, distributions, strict=True)
            ]
            return levels[0] if len(levels) == 1 else StackedPrior(levels)

        names = priors.split(",")
        if len(set(names)) < len(names):
            raise ValueError(f"priors are {priors!r}; expected each name once")
        stacks = {name: stack(name.split("/")) for name in names}
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict(stacks))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """Algorithm 1."""
        yield from super().step(batches, images)  # D1; E1 and G1                (Algorithm 1, lines 5-10)
        for _ in range(self.inner_steps):  # k                                   (lines 12-19)
            h0 = self.encode_frozen(next(batches))
            for prior in self.priors.values():  # D2; E2 and G2 of each prior
                yield from prior.step(iter([h0]), images)
