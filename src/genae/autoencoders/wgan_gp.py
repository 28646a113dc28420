"""WGAN-GP on images: a generator without an encoder, the baseline of AAAE's Table I.

Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville 2017, Algorithm 1.
"""

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from genae.losses import gradient_penalty, mean
from genae.networks.dcgan import ConvDecoder, PatchCritic
from genae.priors.gaussian import GaussianPrior
from genae.protocol import Autoencoder, Criteria, Prior, Update, at_least, draw, frozen, normal


class WganGp(Autoencoder):
    """Generator G: z -> x, z ~ N(0, I), and a critic on images; `encode` raises NotImplementedError.

    ``penalty`` is lambda, ``critic_steps`` the paper's n_critic; each takes a fresh batch of images. ``width`` and
    ``norm`` are those of `EncoderDecoder` with dcgan networks.
    """

    criteria = Criteria("adversarial", "imposed/adversarial", "none")

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        code_dim: int = 128,
        width: int = 64,
        norm: str = "batch",
        penalty: float = 10.0,
        critic_steps: int = 5,
        batch_size: int = 64,
        learning_rate: float = 1e-4,
        anneal: int = 0,
    ) -> None:
        super().__init__(image_shape, batch_size, learning_rate, anneal)
        at_least(1, code_dim=code_dim, width=width, critic_steps=critic_steps)
        at_least(0, penalty=penalty)
        self.code_dim = code_dim
        self.penalty = penalty
        self.critic_steps = critic_steps
        self.decoder = ConvDecoder(image_shape, code_dim, width, norm)
        self.critic = PatchCritic(image_shape, width)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": GaussianPrior(code_dim)}))

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """n_critic times the critic; the generator (Algorithm 1)."""
        for _ in range(self.critic_steps):
            x = next(batches)
            with torch.no_grad():
                x_new = self.decoder(normal(len(x), self.code_dim, like=x))
            between = torch.lerp(x_new.float(), x, draw(torch.rand, len(x), 1, 1, 1, device=x.device))
            gap = mean(self.critic(x)) - mean(self.critic(x_new))
            slope = gradient_penalty(self._mean_logit, between)
            yield Update(self.penalty * slope - gap, [self.critic], {"gap": gap, "penalty": slope})

        with frozen(self.critic):
            deceit = -mean(self.critic(self.decoder(normal(len(x), self.code_dim, like=x))))
        yield Update(deceit, [self.decoder])

    def decode(self, code: Tensor) -> Tensor:
        """x = G(z): codes [B, code_dim] -> images [B, C, H, W] in [-1, 1]."""
        return self.decoder(code)

    def _mean_logit(self, x: Tensor) -> Tensor:
        """The critic's value of each image, [B]: the mean over its patches; never compiled (second derivatives)."""
        return self.critic.forward(x).flatten(1).mean(1)
