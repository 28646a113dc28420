"""PatchVAE: a variational autoencoder whose bottleneck says which parts occur where, and what they look like.

Gupta, Singh, Shrivastava: PatchVAE: Learning Local Latent Codes for Recognition (2020). Also its baseline, a VAE on the
same trunk. The equation-to-line map and the deviations are in docs/models/patch-vae.md.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from genae.losses import bernoulli_kl, critic_loss, edge_weights, gaussian_kl, generator_loss, mean, mse
from genae.networks.patch import PartHeads, placed, pooled
from genae.networks.residual import GridCritic, Pyramid, ResidualDecoder, ResidualEncoder, ResidualTrunk
from genae.networks.variational import posterior, reparameterise
from genae.priors.gaussian import GaussianPrior
from genae.priors.parts import PartsPrior
from genae.protocol import Autoencoder, Criteria, PartCoder, Prior, Update, at_least, draw, frozen

ANNEALING = ("plain", "reference")
FURTHEST = math.log(1e7)  # of the logarithm of a variance from 0


class Pass(NamedTuple):
    """One way through a model."""

    x_hat: Tensor
    """Reconstructions [B, C, H, W]."""
    divergence: Tensor
    """What the prior costs, in nats, weighted: a scalar, the mean over images."""
    terms: Mapping[str, Tensor]
    """To log."""


class TrunkAutoencoder(Autoencoder):
    """What PatchVAE and the VAE on its trunk share: the objective.

    The squared error is a sum over the values of an image; with ``edges`` its weights follow the strength of edges
    in blocks of 8 x 8 pixels (L_w, Section 3.4; 4 x 4 at scale 4). ``critic_weight`` above 0 adds a critic on
    reconstructions (-GAN, Section 3.4). ``scale`` is how many times smaller than the image the trunk's maps are,
    ``blocks`` the residual blocks of each of its stages, ``width`` the channels of its first; ``norm`` is ``batch`` or
    ``none``.
    """

    criteria = Criteria("similarity", "imposed/divergence", "data")
    betas = (0.5, 0.999)

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        edges: bool = False,
        critic_weight: float = 0.0,
        scale: int = 8,
        width: int = 64,
        blocks: int = 2,
        norm: str = "batch",
        batch_size: int = 128,
        learning_rate: float = 1e-4,
        anneal: int = 0,
    ) -> None:
        super().__init__(image_shape, batch_size, learning_rate, anneal)
        at_least(0, critic_weight=critic_weight)
        at_least(1, width=width, blocks=blocks)
        self.edges = edges
        self.critic_weight = critic_weight
        self.scale = scale
        self.width = width
        self.blocks = blocks
        self.norm = norm
        self.critic = GridCritic(image_shape, width, scale, norm) if critic_weight else None

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """D, if there is one; then the autoencoder, with one pass through it for both."""
        x = next(batches)
        x_hat, divergence, terms = self.through(x, images)
        if self.critic is not None:
            # D: softplus(-D(x)) + softplus(D(x_hat))
            yield Update(critic_loss(self.critic(x), self.critic(x_hat.detach())), [self.critic])

        # sum_i w_i (x_i - x_hat_i)^2 + divergences + weight softplus(-D(x_hat))                  (Eq. 8 and 11, L_w)
        error = (x_hat.float() - x.float()).square()
        if self.edges:
            error = error * edge_weights(x, min(8, self.scale))
        loss = math.prod(self.image_shape) * mean(error) + divergence
        if self.critic is not None:
            with frozen(self.critic):
                deceit = generator_loss(self.critic(x_hat))
            loss, terms = loss + self.critic_weight * deceit, {**terms, "adversarial": deceit}
        yield Update(loss, self.own_networks(), {"mse": mse(x_hat, x), **terms})

    def through(self, x: Tensor, images: int) -> Pass:
        """Encode, draw a code, decode it."""
        raise NotImplementedError

    def own_networks(self) -> list[nn.Module]:
        """All but the critic."""
        raise NotImplementedError


class PatchVae(TrunkAutoencoder):
    """``parts`` parts of ``part_dim`` numbers each.

    Codes [B, N d + N h w] are the appearances z_app, then for every part and cell of the grid the probability z_occ
    that the part is there; `split` takes them apart. ``occurrence_rate`` is the prior probability of a part in a cell,
    0 for 1 / N. ``beta_appearance`` and ``beta_occurrence`` weight the divergences of what they name: the paper's Eq. 9
    and 11 print them swapped. The temperature of the relaxed Bernoulli falls from 1 to ``coldest`` by
    exp(-``cooling`` x iterations); ``annealing`` ``reference`` compounds it, as the authors' code does.
    ``trained_pooling`` lets gradients through the weights with which appearances are averaged. The rest as in
    `TrunkAutoencoder`.
    """

    steady: ClassVar[bool] = False

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        parts: int = 16,
        part_dim: int = 6,
        beta_appearance: float = 1.0,
        beta_occurrence: float = 10.0,
        occurrence_rate: float = 0.0,
        cooling: float = 3e-5,
        coldest: float = 0.1,
        annealing: str = "plain",
        trained_pooling: bool = False,
        **objective: Any,
    ) -> None:
        super().__init__(image_shape, **objective)
        at_least(1, parts=parts, part_dim=part_dim)
        at_least(0, beta_appearance=beta_appearance, beta_occurrence=beta_occurrence, cooling=cooling)
        if not 0 <= occurrence_rate < 1:
            raise ValueError(f"occurrence-rate is {occurrence_rate}; expected 0 (1 / parts) or more, below 1")
        if not 0 < coldest <= 1:
            raise ValueError(f"coldest is {coldest}; expected above 0, at most 1")
        if annealing not in ANNEALING:
            raise ValueError(f"annealing is {annealing!r}; expected {' or '.join(ANNEALING)}")
        self.beta_appearance, self.beta_occurrence = beta_appearance, beta_occurrence
        self.rate = occurrence_rate or (1 / parts if parts > 1 else 1 / (1 + 1e-6))  # below 1: its logarithm is taken
        self.cooling, self.coldest, self.annealing = cooling, coldest, annealing
        self.trained_pooling = trained_pooling
        self.encoder = ResidualTrunk(image_shape, self.width, self.scale, self.blocks, self.norm)
        self.heads = PartHeads(self.encoder.channels, parts, part_dim)
        self.decoder = Pyramid(image_shape, parts * part_dim, self.width, self.scale, self.norm)
        self.grid = (image_shape[1] // self.scale, image_shape[2] // self.scale)
        self.code_dim = parts * (part_dim + math.prod(self.grid))
        prior = PartsPrior(parts * part_dim, parts * math.prod(self.grid), self.rate)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"parts": prior}))

    def through(self, x: Tensor, images: int) -> Pass:
        """z_app ~ Q^A, one draw for each part; z_occ ~ relaxed Q^O, one for each part and cell (Eq. 4-7)."""
        mean, log_variance, logits = self.heads(self.encoder(x))
        probability = logits.sigmoid()
        mean, variance = self._appearance(mean, log_variance, probability)
        appearance = mean + variance.sqrt() * draw(torch.randn, *mean.shape, device=x.device)
        uniform = draw(torch.rand, *logits.shape, device=x.device).clamp(1e-6, 1 - 1e-6)
        occurrence = ((logits + uniform.logit()) / self.temperature(images)).sigmoid()
        x_hat = self.decoder(placed(appearance, occurrence))

        looks = gaussian_kl(mean.flatten(1), variance.log().flatten(1))  # Eq. 9
        places = bernoulli_kl(logits.flatten(1), self.rate)
        divergence = self.beta_appearance * looks + self.beta_occurrence * places
        terms = {"kl_appearance": looks, "kl_occurrence": places, "occurrence": probability.detach().mean()}
        return Pass(x_hat, divergence, terms)

    def temperature(self, images: int) -> float:
        """Of the relaxed Bernoulli after ``images`` images (Maddison et al. 2017; Jang et al. 2017)."""
        iterations = images // self.batch_size
        if self.annealing == "reference" and iterations:
            # T <- T exp(-cooling x iteration) in iterations 1, 1001, 2001, ...
            updates = (iterations - 1) // 1000 + 1
            iterations = 1000 * updates * (updates - 1) // 2 + updates
        return max(self.coldest, math.exp(-self.cooling * iterations))

    @property
    def parts(self) -> PartCoder:
        """Itself."""
        return self

    @property
    def part_count(self) -> int:
        """N."""
        return self.heads.parts

    def split(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [B, N d + N h w] -> appearances [B, N, d] and occurrences [B, N, h, w]."""
        parts, part_dim = self.heads.parts, self.heads.part_dim
        appearance, occurrence = code.split([parts * part_dim, parts * math.prod(self.grid)], 1)
        return appearance.unflatten(1, (parts, part_dim)), occurrence.unflatten(1, (parts, *self.grid))

    def join(self, appearance: Tensor, occurrence: Tensor) -> Tensor:
        """Undo `split`."""
        return torch.cat([appearance.flatten(1), occurrence.flatten(1)], 1)

    def encode(self, x: Tensor) -> Tensor:
        """Means of the appearances, and probabilities of the occurrences: images in [-1, 1] -> [B, N d + N h w]."""
        mean, log_variance, logits = self.heads(self.encoder(x))
        probability = logits.sigmoid()
        return self.join(self._appearance(mean, log_variance, probability)[0], probability)

    def decode(self, code: Tensor) -> Tensor:
        """Codes [B, N d + N h w] -> images [B, C, H, W] in [-1, 1]."""
        return self.decoder(placed(*self.split(code)))

    def own_networks(self) -> list[nn.Module]:
        """Trunk, heads, decoder."""
        return [self.encoder, self.heads, self.decoder]

    def _appearance(self, mean: Tensor, log_variance: Tensor, probability: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance [B, N, d] of each part's appearance: averages over the cells where it is likely."""
        weights = probability if self.trained_pooling else probability.detach()
        variance = log_variance.clamp(-FURTHEST, FURTHEST).exp()
        return pooled(mean, weights, 0.0), pooled(variance, weights, 1.0)


class TrunkVae(TrunkAutoencoder):
    """The paper's beta-VAE: the same trunk and decoder with a Gaussian code of ``code_dim`` = N d numbers.

    ``beta`` weights the divergence. The rest as in `TrunkAutoencoder`.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], *, code_dim: int = 96, beta: float = 1.0, **objective: Any
    ) -> None:
        super().__init__(image_shape, **objective)
        at_least(1, code_dim=code_dim)
        at_least(0, beta=beta)
        self.beta = beta
        self.code_dim = code_dim
        self.encoder = ResidualEncoder(image_shape, 2 * code_dim, self.width, self.norm, self.scale, self.blocks)
        self.decoder = ResidualDecoder(image_shape, code_dim, self.width, self.norm, self.scale)
        self.priors = cast(Mapping[str, Prior], nn.ModuleDict({"normal": GaussianPrior(code_dim)}))

    def through(self, x: Tensor, images: int) -> Pass:
        """z ~ q(z|x), a Gaussian."""
        mean, log_variance = posterior(self.encoder(x))
        divergence = gaussian_kl(mean, log_variance)
        return Pass(self.decoder(reparameterise(mean, log_variance)), self.beta * divergence, {"kl": divergence})

    def encode(self, x: Tensor) -> Tensor:
        """The mean of q(z|x): images [B, C, H, W] in [-1, 1] -> codes [B, code_dim]."""
        return posterior(self.encoder(x))[0]

    def decode(self, code: Tensor) -> Tensor:
        """Codes [B, code_dim] -> images [B, C, H, W] in [-1, 1]."""
        return self.decoder(code)

    def own_networks(self) -> list[nn.Module]:
        """Encoder and decoder."""
        return [self.encoder, self.decoder]
