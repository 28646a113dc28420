"""Adversarial autoencoder on images: stage I of SWAE and AAAE.

Xu, Keshmiri, Wang: Stacked Wasserstein Autoencoder (2019), Section 3, Eq. 2-3; Xu, Keshmiri, Wang: Adversarially
Approximated Autoencoder (2019), Eq. 7. Not Makhzani's AAE, which puts its critic on the codes.
"""

from collections.abc import Iterator

from torch import Tensor

from genae.losses import ADVERSARIAL, critic_loss, generator_loss, mse
from genae.networks.dcgan import ConvDecoder, ConvEncoder, PatchCritic
from genae.protocol import Autoencoder, Update, at_least, frozen


class AdversarialAutoencoder(Autoencoder):
    """Encoder E1: x -> h0, decoder G1: h0 -> x, patch critic D1 on x; no regularisation of the codes.

    ``critic_weight`` is the papers' lambda; 0 is the ablation without critic, which is then never built.
    ``adversarial`` is the decoder's adversarial loss, ``non-saturating`` or ``ratio`` (`losses.generator_loss`).
    ``width`` is the channel count of the first layer (paper: 64), ``norm`` is ``batch`` or ``none``.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        code_dim: int = 128,
        width: int = 64,
        critic_weight: float = 0.001,
        adversarial: str = "non-saturating",
        norm: str = "batch",
        batch_size: int = 64,
        learning_rate: float = 1e-4,
        anneal: int = 0,
    ) -> None:
        super().__init__(image_shape, batch_size, learning_rate, anneal)
        at_least(1, code_dim=code_dim, width=width)
        at_least(0, critic_weight=critic_weight)
        if adversarial not in ADVERSARIAL:
            raise ValueError(f"adversarial is {adversarial!r}; expected one of {', '.join(ADVERSARIAL)}")
        self.code_dim = code_dim
        self.critic_weight = critic_weight
        self.adversarial = adversarial
        self.encoder = ConvEncoder(image_shape, code_dim, width, norm)
        self.decoder = ConvDecoder(image_shape, code_dim, width, norm)
        self.critic = PatchCritic(image_shape, width) if critic_weight else None

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D1; E1 and G1 (SWAE Algorithm 1, lines 5-10)."""
        x = next(batches)
        x_hat = self.decoder(self.encoder(x))  # G1(E1(x)), once for both updates
        reconstruction = mse(x_hat, x)

        if self.critic is None:  # "w/o D1"
            yield Update(reconstruction, [self.encoder, self.decoder], {"mse": reconstruction})
            return

        # D1: softplus(-D1(x)) + softplus(D1(sg[x_hat]))                                          (Eq. 3)
        yield Update(critic_loss(self.critic(x), self.critic(x_hat.detach())), [self.critic])

        # E1, G1: mse(x, x_hat) + lambda softplus(-D1(x_hat))                                     (Eq. 2-3)
        with frozen(self.critic):
            deceit = generator_loss(self.critic(x_hat), self.adversarial)
        loss = reconstruction + self.critic_weight * deceit
        yield Update(loss, [self.encoder, self.decoder], {"mse": reconstruction, "adversarial": deceit})

    def encode(self, x: Tensor) -> Tensor:
        """h0 = E1(x): images [B, C, H, W] in [-1, 1] -> codes [B, code_dim]."""
        return self.encoder(x)

    def decode(self, code: Tensor) -> Tensor:
        """x_hat = G1(h0): codes [B, code_dim] -> images [B, C, H, W] in [-1, 1]."""
        return self.decoder(code)
