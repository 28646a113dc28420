"""Adversarial autoencoder on images: stage I of SWAE and AAAE.

Xu, Keshmiri, Wang: Stacked Wasserstein Autoencoder (2019), Section 3, Eq. 2-3; Xu, Keshmiri, Wang: Adversarially
Approximated Autoencoder (2019), Eq. 7. Not Makhzani's AAE, which puts its critic on the codes.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from genae.autoencoders.ae import EncoderDecoder
from genae.losses import ADVERSARIAL, balanced, critic_loss, generator_loss, mse, perceptual_term, with_gradient
from genae.protocol import Criteria, Update, at_least, frozen, normal


class AdversarialAutoencoder(EncoderDecoder):
    """Encoder E1: x -> h0, decoder G1: h0 -> x, patch critic D1 on x; no regularisation of the codes.

    ``critic_weight`` is the papers' lambda; 0 is the ablation without critic, which is then never built.
    ``adversarial`` is the decoder's adversarial loss, ``non-saturating`` or ``ratio`` (`losses.generator_loss`).
    ``code_noise`` is no part of the papers: noise on the codes before they are decoded, as a share of each dimension's
    deviation in the batch, so that near codes give near images. Nor are these: with ``balanced_critic`` the weight is
    one of gradients (`losses.balanced`); ``perceptual`` adds the distance in the features of a frozen network
    (`PerceptualTerm`), with ``perceptual_weight``. ``plain`` are the options of `EncoderDecoder`.
    """

    criteria = Criteria("similarity", "free", "data")

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        critic_weight: float = 0.001,
        adversarial: str = "non-saturating",
        code_noise: float = 0.0,
        balanced_critic: bool = False,
        perceptual: str | None = None,
        perceptual_weight: float = 0.0,
        **plain: Any,
    ) -> None:
        super().__init__(image_shape, **plain)
        at_least(0, critic_weight=critic_weight, code_noise=code_noise)
        if adversarial not in ADVERSARIAL:
            raise ValueError(f"adversarial is {adversarial!r}; expected one of {', '.join(ADVERSARIAL)}")
        self.critic_weight = critic_weight
        self.code_noise = code_noise
        self.balanced_critic = balanced_critic
        self.perceptual = perceptual_term(perceptual, perceptual_weight)
        self.adversarial = adversarial
        self.critic = self.family.critic(image_shape, self.width) if critic_weight else None

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D1; E1 and G1 (SWAE Algorithm 1, lines 5-10)."""
        x = next(batches)
        h0 = self.encoder(x)
        if self.code_noise:
            h0 = h0 + self.code_noise * h0.detach().std(0) * normal(*h0.shape, like=h0)
        x_hat = self.decoder(h0)  # G1(E1(x)), once for both updates

        if self.critic is None:  # "w/o D1"
            reconstruction = mse(x_hat, x)
            loss, terms = self.with_perceptual(reconstruction, x_hat, x)
            yield Update(loss, [self.encoder, self.decoder], {"mse": reconstruction, **terms})
            return

        # D1: softplus(-D1(x)) + softplus(D1(sg[x_hat]))                                          (Eq. 3)
        yield Update(critic_loss(self.critic(x), self.critic(x_hat.detach())), [self.critic])

        # E1, G1: mse(x, x_hat) + lambda softplus(-D1(x_hat))                                     (Eq. 2-3)
        at = x_hat.detach().requires_grad_() if self.balanced_critic else x_hat
        reconstruction = mse(at, x)
        error, terms = self.with_perceptual(reconstruction, at, x)
        with frozen(self.critic):
            deceit = generator_loss(self.critic(at), self.adversarial)
        terms = {"mse": reconstruction, "adversarial": deceit, **terms}
        loss = error + self.critic_weight * deceit
        if self.balanced_critic:
            gradient, weight = balanced(error, deceit, at, self.critic_weight)
            loss = with_gradient(error + weight * deceit, gradient, x_hat)
            terms["critic_weight"] = weight
        yield Update(loss, [self.encoder, self.decoder], terms)
