"""Progressive growing of GANs: a generator without an encoder.

Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and Variation (2018). The
deviations are in docs/models/progressive.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from genae.autoencoders.growing import Growing
from genae.losses import gradient_penalty, mean
from genae.networks.progressive import ProgressiveCritic, ProgressiveDecoder
from genae.priors.gaussian import GaussianPrior
from genae.protocol import Criteria, Prior, Update, at_least, draw, frozen, normal


class ProgressiveGan(Growing):
    """Generator G: z -> x, z ~ N(0, I), which G brings to the sphere, and a critic D of images.

    ``penalty`` is lambda, ``drift`` is epsilon_drift (appendix A.1). The rest as in `Growing`.
    """

    criteria = Criteria("adversarial", "imposed/adversarial", "none")

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        penalty: float = 10.0,
        drift: float = 0.001,
        learning_rate: str = "0.001",
        **growing: Any,
    ) -> None:
        super().__init__(image_shape, learning_rate=learning_rate, **growing)
        at_least(0, penalty=penalty, drift=drift)
        self.penalty = penalty
        self.drift = drift
        self.decoder = ProgressiveDecoder(image_shape[0], self.code_dim, self.channels)
        self.critic = ProgressiveCritic(image_shape[0], self.channels)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": GaussianPrior(self.code_dim)}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D; G. G does not move in the first update: its fakes are those of the second."""
        x = self.seen(next(batches), images)
        x_new = self.generate(normal(len(x), self.code_dim, like=x))

        # D: D(G(z)) - D(x) + lambda (||grad D(y)|| - 1)^2 + epsilon_drift D(x)^2, y on the line from G(z) to x
        fake = x_new.detach()
        between = torch.lerp(fake.float(), x, draw(torch.rand, len(x), 1, 1, 1, device=x.device))
        real = self.critic(x, *self.now)
        gap = mean(real) - mean(self.critic(fake, *self.now))
        slope = gradient_penalty(self._value, between)
        loss = self.penalty * slope - gap + self.drift * mean(real.float().square())
        yield Update(loss, [self.critic], {"gap": gap, "penalty": slope})

        # G: -D(G(z))
        with frozen(self.critic):
            deceit = -mean(self.critic(x_new, *self.now))
        yield Update(deceit, [self.decoder])

    def _value(self, x: Tensor) -> Tensor:
        """D(x) [B, 1]; never compiled (second derivatives)."""
        return self.critic.forward(x, *self.now)
