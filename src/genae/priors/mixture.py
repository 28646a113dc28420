"""Gaussian mixture over codes, fitted by expectation-maximisation."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genae.errors import GenaeError
from genae.priors.k_means import k_means, rows_at_once
from genae.progress import Progress, silent
from genae.protocol import ConditionalPrior, Given, at_least
from genae.rows import Rows, Selected, in_parts

EM_ITERATIONS, EM_TOLERANCE, REGULARISATION = 100, 1e-3, 1e-6
"""At most so many iterations; until the mean log likelihood grows by less; added to variances. These are scikit-learn's
defaults."""


class MixturePrior(ConditionalPrior):
    """A mixture of ``components`` Gaussians with full covariances; it has no latent variables.

    The baseline that learned priors have to beat: Ghosh et al. 2020, Table 1. Samples lie ``temperature`` times the
    fitted deviations from their component's mean: below 1 they are more typical and less diverse. With ``classes``,
    each has ``components`` of its own.
    """

    def __init__(
        self, code_dim: int, components: int = 10, temperature: float = 1.0, classes: Sequence[str] = ()
    ) -> None:
        super().__init__(classes)
        at_least(1, components=components)
        at_least(0, temperature=temperature)
        self.components = components
        components *= max(1, len(classes))  # those of class k begin at k times as many as it has
        self.register_buffer("temperature", torch.tensor(temperature))  # with the weights: it decides what is sampled
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, code_dim))
        self.register_buffer("factors", torch.eye(code_dim).repeat(components, 1, 1))  # S_k = F_k F_k^T
        # What `posterior` needs of them, worked out when they change and not for every batch.
        self.register_buffer("inverses", torch.empty_like(self.get_buffer("factors")), persistent=False)
        self.register_buffer("centres", torch.empty(components, code_dim), persistent=False)  # F_k^-1 m_k
        self.register_buffer("volumes", torch.empty(components), persistent=False)  # log |F_k^-1|
        self.weights: Tensor
        self.means: Tensor
        self.factors: Tensor
        self.temperature: Tensor
        self.inverses: Tensor
        self.centres: Tensor
        self.volumes: Tensor
        self._invert()

    def fit(self, codes: Rows, progress: Progress = silent, labels: Tensor | None = None) -> None:
        """Fit to codes [N, D], or to those of each class: k-means for a start, then expectation-maximisation, with
        scikit-learn's defaults.

        Codes are read in parts, many times; what is kept for each of them does not depend on D. Raises `GenaeError` for
        fewer than 2 codes a component, which no covariance can be learned from, and where a component collapses.
        """
        if labels is None or not self.classes:
            self._set(slice(None), _fitted(codes, self.components, progress), 1.0)
        else:
            for number, name in enumerate(self.classes):
                progress(f"fitting {self.components} Gaussians of each class", number, len(self.classes))
                own = Selected(codes, (labels == number).nonzero()[:, 0])
                place = slice(number * self.components, (number + 1) * self.components)
                gaussians = _fitted(own, self.components, silent, f" of class {name!r}")
                self._set(place, gaussians, len(own) / len(codes))
        self._invert()

    def sample(self, count: int, generator: torch.Generator | None, given: Given | None = None) -> Tensor:
        """Draw codes [count, D]: a component each, then its Gaussian."""
        weights = self.weights if given is None or not self.classes else self._own_weights(given.labels)
        components = torch.multinomial(weights.cpu(), count if weights.ndim == 1 else 1, True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], generator=generator)
        return self.place(components.flatten().to(self.means.device), self.temperature * noise.to(self.means.device))

    def place(self, components: Tensor, noise: Tensor) -> Tensor:
        """Codes [B, D] at ``noise`` [B, D] ~ N(0, I) of the components with the numbers ``components`` [B]."""
        return self.means[components] + torch.einsum("nij,nj->ni", self.factors[components], noise)

    def posterior(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """p(component | code), or with ``labels`` [B] p(component | code, class): [B, D] -> [B, components]."""
        weights = self.weights if labels is None or not self.classes else self._own_weights(labels)
        return torch.softmax(self._joint(codes, weights), 1)

    def log_density(self, codes: Tensor) -> Tensor:
        """log sum_k w_k N(c; m_k, S_k), of the mixture that was fitted, whatever the temperature of its samples."""
        return self._joint(codes, self.weights).logsumexp(1) - codes.shape[1] / 2 * math.log(2 * math.pi)

    def _joint(self, codes: Tensor, weights: Tensor) -> Tensor:
        """log p(component, code) + D / 2 log 2 pi: [B, D] -> [B, components]; ``weights`` [components] or [B, ...]."""
        whitened = (codes @ self.inverses.flatten(0, 1).T).unflatten(1, self.centres.shape) - self.centres
        return weights.log() + self.volumes - whitened.square().sum(2) / 2

    def _own_weights(self, labels: Tensor) -> Tensor:
        """[B, components]: 0 for those of other classes."""
        classes = torch.arange(len(self.weights), device=labels.device) // self.components
        return self.weights * (classes == labels[:, None])

    def _set(self, place: slice, gaussians: "_Gaussians", share: float) -> None:
        """Take over Gaussians of a ``share`` of the codes."""
        self.weights[place] = (gaussians.weights * share).float()
        self.means[place] = gaussians.means.float()
        self.factors[place] = gaussians.factors.float()

    def _invert(self) -> None:
        """Bring what `posterior` needs up to date with means and factors."""
        inverses = torch.linalg.inv(self.factors)
        self.inverses.copy_(inverses)
        self.centres.copy_(torch.einsum("kij,kj->ki", inverses, self.means))
        self.volumes.copy_(inverses.diagonal(dim1=1, dim2=2).log().sum(1))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """What `load_state_dict` calls."""
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[no-untyped-call]
        self._invert()


def _fitted(codes: Rows, count: int, progress: Progress, whose: str = "") -> "_Gaussians":
    """``count`` Gaussians of codes [N, D]."""
    if len(codes) < 2 * count:
        raise GenaeError(f"{len(codes)} codes{whose} are too few for {count} components; lower --components")
    centres, nearest = k_means(codes, count, 0, progress)
    own = iter(nearest.split(rows_at_once(codes, count)))  # at first, each code comes from the nearest centre alone
    sums = _expectations(codes, centres, lambda _: (F.one_hot(next(own), count).double(), 0.0))
    gaussians = _Gaussians.of(centres, sums)
    likelihood = -math.inf
    for done in range(EM_ITERATIONS):
        progress(f"fitting {count} Gaussians", done, EM_ITERATIONS)
        before = likelihood
        sums = _expectations(codes, gaussians.means, gaussians.responsibilities)
        likelihood = sums.log_likelihood / len(codes)
        gaussians = _Gaussians.of(gaussians.means, sums)
        if abs(likelihood - before) < EM_TOLERANCE:
            break
    return gaussians


class _Sums(NamedTuple):
    """Over codes c, weighted by the probability r_k that each comes from component k."""

    sizes: Tensor
    """Sum of r_k, [K]."""
    first: Tensor
    """Sum of r_k (c - m_k), [K, D], about some centres m_k."""
    second: Tensor
    """Sum of r_k (c - m_k) (c - m_k)^T, [K, D, D]."""
    log_likelihood: float


class _Gaussians(NamedTuple):
    """What expectation-maximisation improves, in float64."""

    weights: Tensor
    means: Tensor
    factors: Tensor
    """[K, D, D], lower triangular: S_k = F_k F_k^T."""

    @classmethod
    def of(cls, centres: Tensor, sums: _Sums) -> "_Gaussians":
        """The maximisation: of sums about centres [K, D]. Raises `GenaeError` for a covariance of no Gaussian."""
        sizes = sums.sizes + 10 * torch.finfo(torch.float64).eps
        shift = sums.first / sizes[:, None]
        covariances = sums.second / sizes[:, None, None] - shift[:, :, None] * shift[:, None]
        covariances.diagonal(dim1=1, dim2=2).add_(REGULARISATION)
        factors, wrong = torch.linalg.cholesky_ex(covariances)
        if wrong.any():
            raise GenaeError(
                f"component {int(wrong.nonzero()[0])} of {len(sizes)} has no covariance: codes hold NaN or infinity, "
                "or differ too much in size; lower --components, or train the autoencoder again"
            )
        return cls(sizes / sizes.sum(), centres + shift, factors)

    def responsibilities(self, codes: Tensor) -> tuple[Tensor, float]:
        """r [B, K] of codes [B, D], and the sum of their log likelihoods."""
        logs = torch.empty(len(codes), len(self.weights), dtype=torch.float64)
        identity = torch.eye(codes.shape[1], dtype=torch.float64)
        for k, (mean, factor) in enumerate(zip(self.means, self.factors, strict=True)):
            inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
            whitened = (codes - mean) @ inverse.T
            logs[:, k] = inverse.diagonal().log().sum() - whitened.square().sum(1) / 2
        logs += self.weights.log() - codes.shape[1] / 2 * math.log(2 * math.pi)
        total = logs.logsumexp(1, keepdim=True)
        return (logs - total).exp(), float(total.sum())


def _expectations(codes: Rows, centres: Tensor, responsibilities: Callable[[Tensor], tuple[Tensor, float]]) -> _Sums:
    """The sums over all codes about centres [K, D], in one pass over parts of them."""
    count, width = centres.shape
    sizes, first = centres.new_zeros(count), torch.zeros_like(centres)
    second, log_likelihood = centres.new_zeros(count, width, width), 0.0
    for part in in_parts(codes, rows_at_once(codes, count)):
        rows = part.double()
        r, likelihood = responsibilities(rows)
        log_likelihood += likelihood
        sizes += r.sum(0)
        for k in range(count):
            away = rows - centres[k]
            weighted = r[:, k, None] * away
            first[k] += weighted.sum(0)
            second[k] += weighted.T @ away
    return _Sums(sizes, first, second, log_likelihood)
