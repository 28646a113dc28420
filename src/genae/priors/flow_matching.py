"""Flow matching on codes: a velocity field that carries noise to codes along straight lines.

Lipman, Chen, Ben-Hamu, Nickel, Le 2023, Eq. 23 (optimal-transport paths, sigma_min = 0); Liu, Gong, Liu 2023. Any
coupling of noise and codes is allowed (Tong et al. 2024, Proposition 3.4): codes are joined to noise of the mixture's
component that they come from, so that lines are short and do not have to tear one Gaussian into many clusters.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector

from genae.losses import mse
from genae.priors.mixture import MixturePrior
from genae.progress import Progress, silent
from genae.protocol import ConditionalPrior, Given, Update, at_least, draw, normal
from genae.rows import Rows


class Flow(ConditionalPrior):
    """dx/dt = v(x, t) from x_0 to codes x_1, solved by ``solver_steps`` steps of the Runge-Kutta rule of order 4.

    What all kinds have in common: a kind makes its velocity, a network of (x [B, D], t [B, 1], y [B] or None), and
    calls `_follow`. x_0 ~ N(0, I), or with ``components`` a Gaussian mixture fitted to the codes, drawn at
    ``temperature`` (see `MixturePrior`). Samples come from an average of the weights with a half-life of ``half_life``
    codes.

    With ``classes`` the velocity is told y, a class or, for a tenth of the codes, none. Given a class and a guidance w
    codes follow v(x, t) + w (v(x, t, y) - v(x, t)): Ho and Salimans 2022, Eq. 6, where this w is 1 + w.
    """

    source: MixturePrior | None
    """What x_0 comes from; None: N(0, I)."""

    source_is_fitted = False

    def _follow(
        self,
        velocity: nn.Module,
        code_dim: int,
        solver_steps: int,
        half_life: int,
        source: MixturePrior | None = None,
    ) -> None:
        """What a kind calls when it is made. Raises ValueError."""
        at_least(1, solver_steps=solver_steps, half_life=half_life)
        self.code_dim = code_dim
        self.solver_steps = solver_steps
        """Each asks for the velocity four times. It may be changed at any time: with more, codes are more exact."""
        self.half_life = half_life
        self.source = source
        self.velocity = velocity
        self.register_buffer("average", parameters_to_vector(velocity.parameters()).detach().clone())
        self.average: Tensor

    @property
    def is_guided(self) -> bool:
        """Whether it knows classes."""
        return bool(self.classes)

    def fit(self, codes: Rows, progress: Progress = silent, labels: Tensor | None = None) -> None:
        """Fit the mixture that x_0 comes from to codes [N, D]; without ``components`` there is nothing to fit."""
        if self.source is not None and self.source_is_fitted:
            self.source.fit(codes, progress, labels)

    def step(self, codes: Iterator[Tensor], images: int, labels: Iterator[Tensor] | None = None) -> Iterator[Update]:
        """v: ||v(x_t, t, y) - (x_1 - x_0)||^2 with x_t = (1 - t) x_0 + t x_1, t ~ U(0, 1).

        ``codes`` may also yield pairs [x_0, x_1] [B, 2 D]: of a flow that is made straight.
        """
        x_1, y = next(codes), None if labels is None else next(labels)
        if x_1.shape[1] == 2 * self.code_dim:
            x_0, x_1 = x_1.chunk(2, 1)
        else:
            x_0 = self._joined_to(x_1, y)
        t = draw(torch.rand, len(x_1), 1, device=x_1.device)
        if y is not None:
            y = self.partly_told(y)
        error = mse(self.velocity(torch.lerp(x_0, x_1, t), t, y), x_1 - x_0)
        yield Update(error, [self.velocity], {"velocity_mse": error})

        with torch.no_grad():
            kept = 0.5 ** (len(x_1) / min(self.half_life, 1 + images / 4))  # a shorter memory at the start
            # Through views: a vector of all parameters would be copied in every step.
            torch._foreach_lerp_(list(self._averages().values()), list(self.velocity.parameters()), 1 - kept)

    def latent(self, count: int, generator: torch.Generator | None = None, given: Given | None = None) -> Tensor:
        """x_0 [count, D]."""
        if self.source is None:
            return normal(count, self.code_dim, like=self.average, generator=generator)
        return self.source.sample(count, generator, given)

    def encode(self, codes: Tensor, given: Given | None = None) -> Tensor:
        """x_0 of codes x_1: the same path backwards."""
        return self._solve(codes, 1.0, 0.0, given)

    def decode(self, z: Tensor, given: Given | None = None) -> Tensor:
        """x_1 of noise x_0: [B, D] -> [B, D]."""
        return self._solve(z, 0.0, 1.0, given)

    @torch.no_grad()
    def _joined_to(self, x_1: Tensor, y: Tensor | None) -> Tensor:
        """x_0 [B, D]: noise of the component that each code comes from."""
        ticket = draw(torch.rand, len(x_1), 1, device=x_1.device)
        noise = normal(*x_1.shape, like=x_1)
        if self.source is None or not self.source_is_fitted:
            return noise
        cumulated = self.source.posterior(x_1, y).cumsum(1)
        component = torch.searchsorted(cumulated, ticket * cumulated[:, -1:])[:, 0]
        return self.source.place(component.clamp_max(cumulated.shape[1] - 1), noise)

    def _averages(self) -> dict[str, Tensor]:
        """The averaged weights of the velocity by name: views of the vector `average`."""
        shapes = {name: p.shape for name, p in self.velocity.named_parameters()}
        parts = self.average.split([shape.numel() for shape in shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    def _solve(self, x: Tensor, start: float, end: float, given: Given | None) -> Tensor:
        """The Runge-Kutta rule of order 4 with the averaged weights, in steps of equal length."""
        weights, length = self._averages(), (end - start) / self.solver_steps

        def slope(x: Tensor, t: float) -> Tensor:
            return self._guided(weights, x, x.new_full((1, 1), t), given)

        for i in range(self.solver_steps):
            t = start + i * length
            first = slope(x, t)
            second = slope(x + length / 2 * first, t + length / 2)
            third = slope(x + length / 2 * second, t + length / 2)
            fourth = slope(x + length * third, t + length)
            x = x + length / 6 * (first + 2 * (second + third) + fourth)
        return x

    def _guided(self, weights: dict[str, Tensor], x: Tensor, t: Tensor, given: Given | None) -> Tensor:
        """v(x, t) + w (v(x, t, y) - v(x, t)): [B, D]."""
        if not self.classes:
            return functional_call(self.velocity, weights, (x, t, None))
        none = torch.full((len(x),), len(self.classes), device=x.device)
        if given is None or given.guidance == 0:
            return functional_call(self.velocity, weights, (x, t, none))
        if given.guidance == 1:
            return functional_call(self.velocity, weights, (x, t, given.labels))
        both = functional_call(self.velocity, weights, (torch.cat([x, x]), t, torch.cat([none, given.labels])))
        without, told = both.chunk(2)
        return torch.lerp(without, told, given.guidance)


def flows_of(prior: nn.Module) -> list[Flow]:
    """The flows among the levels of a prior, or among several priors."""
    return [module for module in prior.modules() if isinstance(module, Flow)]


class FlowMatchingPrior(Flow):
    """A `Flow` whose velocity is a dense network: ``blocks`` residual blocks of ``width``."""

    def __init__(
        self,
        code_dim: int,
        width: int = 512,
        blocks: int = 4,
        solver_steps: int = 16,
        half_life: int = 200_000,
        components: int = 0,
        temperature: float = 1.0,
        classes: Sequence[str] = (),
    ) -> None:
        super().__init__(classes)
        at_least(1, width=width, blocks=blocks)
        at_least(0, components=components)
        if temperature != 1 and not components:
            raise ValueError("temperature is that of a mixture; set components too")
        velocity = _VelocityField(code_dim, width, blocks, len(classes))
        # One component that is never fitted is N(0, I).
        source = MixturePrior(code_dim, max(components, 1), temperature, self.classes if components else ())
        self._follow(velocity, code_dim, solver_steps, half_life, source)
        self.source_is_fitted = components > 0


class _VelocityField(nn.Module):
    """x [B, D], t [B, 1] or [1, 1], y [B] -> velocity [B, D]: residual blocks, each told the time and the class.

    Class number ``classes`` is none.
    """

    def __init__(self, code_dim: int, width: int, blocks: int, classes: int, frequencies: int = 16) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * 2 ** torch.linspace(0, 6, frequencies))
        self.frequencies: Tensor
        self.first = nn.Linear(code_dim, width)
        self.time = nn.Sequential(nn.Linear(2 * frequencies, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
             for _ in range(blocks)]
        )  # fmt: skip
        self.last = nn.Linear(width, code_dim)
        if classes:
            self.label = nn.Embedding(classes + 1, width)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        angles = t * self.frequencies
        when = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        if y is not None:
            when = when + self.label(y)
        h = self.first(x)
        for block in self.blocks:
            h = h + block(h + when)
        return self.last(h)
