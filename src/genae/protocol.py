"""The protocol that every algorithm of genae follows.

A model's ``step`` is a generator that reads like the paper's algorithm box: it computes a loss, yields it together
with the networks that this loss trains, and continues after the loop has stepped them. See `Autoencoder.step` for the
rules.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import torch
from torch import Tensor, nn

from genae.losses import PerceptualTerm
from genae.progress import Progress, silent
from genae.rows import Rows


class ProtocolError(RuntimeError):
    """A model's ``step`` broke a rule of the protocol. The message names the update and the rule."""


class Update(NamedTuple):
    """One optimiser step that an algorithm asks for."""

    loss: Tensor
    """Scalar that the networks below minimise."""
    trains: Sequence[nn.Module]
    """The networks that this step changes; every other one stays as it is."""
    terms: Mapping[str, Tensor] = {}
    """Scalars to log beside the loss."""
    keep_graph: bool = False
    """True when a later update differentiates a part of this forward pass again."""


class Stage(NamedTuple):
    """What a schedule fixes: a pure function of the number of images seen."""

    resolution: int
    """Longer side of the images, in pixels."""
    batch_size: int
    """Images of one iteration, over all processes."""
    learning_rate: float
    """Adam's step size, the same for every network."""


class Criteria(NamedTuple):
    """What an autoencoder is trained by, in the words of ALAE, Table 1."""

    data: str
    """How real and synthetic data are matched: ``similarity``, ``adversarial`` or, of flows, ``likelihood``."""
    latent: str
    """How the distribution of codes comes about: ``imposed`` or ``learned``, by a ``divergence`` or an ``adversarial``
    game; ``free`` where no distribution is sampled."""
    reciprocity: str
    """Where codes and images are made to agree: in ``data`` space, in ``latent`` space, by an ``adversarial`` game of
    both; ``exact`` where the decoder is the encoder's inverse; ``none`` without an encoder."""


class Autoencoder(nn.Module):
    """Images [B, C, H, W] in [-1, 1] <-> codes [B, D], which may be maps (`code_shape`).

    With ``layers`` above 1, `decode` also takes a code for each layer, [B, layers, D]. ``betas`` are Adam's; a subclass
    overrides them where its paper does. ``image_shape`` is (C, H, W). With ``anneal`` the learning rate falls to zero
    over that many images, along half a cosine; with 0 it is constant.
    """

    betas: ClassVar[tuple[float, float]] = (0.5, 0.9)
    minimises_error: ClassVar[bool] = True
    """Whether training lowers the reconstruction error. Then the weights with the lowest validation error are the
    trained model; else the last ones are."""

    earlier: ClassVar[Mapping[str, Any]] = {}
    """Options that the class did not always have, and how it was without them, where that is not their default: so a
    run is read that does not name them."""

    criteria: ClassVar[Criteria]
    """What it is trained by; `genae list --properties` shows it."""

    steady: ClassVar[bool] = True
    """Whether `step` computes the same after any number of images, so that an iteration can be captured and replayed.
    (The learning rate of `stage` may change.)"""

    def __init__(
        self, image_shape: tuple[int, int, int], batch_size: int, learning_rate: float, anneal: int = 0
    ) -> None:
        super().__init__()
        at_least(0, learning_rate=learning_rate, anneal=anneal)
        at_least(1, batch_size=batch_size)
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.anneal = anneal
        self.layers = 1
        self.code_dim: int
        """D, the numbers of a code."""
        self.priors: Mapping[str, Prior] = {}
        """The priors that were trained with this autoencoder, by name; they can be sampled."""
        self.perceptual: PerceptualTerm | None = None
        """A part of the objective whose network has to be opened before the first step."""

    @property
    def has_encoder(self) -> bool:
        """Whether images can be mapped to codes: False for generators such as WGAN-GP."""
        return type(self).encode is not Autoencoder.encode

    @property
    def has_likelihood(self) -> bool:
        """Whether images have a probability that can be computed (`bits_per_dim`)."""
        return type(self).bits_per_dim is not Autoencoder.bits_per_dim

    @property
    def begins_with_data(self) -> bool:
        """Whether its initial weights depend on images (`initialise`)."""
        return type(self).initialise is not Autoencoder.initialise

    @property
    def code_shape(self) -> tuple[int, ...]:
        """(D,), or (c, h, w) where a code is a map: then its numbers stand in this order in the rows [B, D]."""
        return (self.code_dim,)

    @property
    def resolution(self) -> int:
        """Longer side, in pixels, of what `decode` draws by now: below that of the images while a model grows."""
        return max(self.image_shape[1:])

    @property
    def parts(self) -> "PartCoder | None":
        """How codes say which parts occur where; None for models without parts."""
        return None

    @property
    def origin(self) -> str:
        """Whose weights these are, in words, where they were imported; empty where genae trained them."""
        return ""

    def stage(self, images: int) -> Stage:
        """The schedule after ``images`` images."""
        done = min(1.0, images / self.anneal) if self.anneal else 0.0
        return Stage(max(self.image_shape[1:]), self.batch_size, annealed(self.learning_rate, done))

    def changes(self) -> list[int]:
        """Numbers of images at which the resolution or batch size of `stage` changes, from 0 up."""
        return [0]

    @property
    def full_size_batch(self) -> int:
        """How many images of full size are worked on at once: the batch of the last stage, over all processes."""
        return self.stage(self.changes()[-1]).batch_size

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """One iteration of the algorithm, as a generator of updates.

        ``batches`` yields image batches [B, C, H, W] in [-1, 1], at the resolution of ``stage(images)``; ``images`` is
        the number of images seen so far.

        Rules, each checked by the loop, by ``tests/test_protocol.py`` or ``tests/training/test_device_reads.py``:

        1. Never ``yield`` inside a ``with`` block.
        2. After a yield, reuse a tensor only if the networks just trained are not on the path that will be
           differentiated; yield with ``keep_graph=True`` when a later update goes through this forward pass again.
        3. Losses and gradient penalties are float32. The loop enters autocast afresh for each part between yields.
        4. A network that only passes gradients through is frozen with ``with frozen(network):`` around its forward
           pass, not around a yield.
        5. Random numbers come from `draw`, so that two processes or two accumulated parts draw what one whole batch
           would.
        6. Nothing is read from the device (``.item()``, an ``if`` on a tensor, a mask as an index), and no tensor is
           made there of Python's numbers (``torch.tensor(..., device=)``): a GPU would wait. Constants are buffers.
        """
        raise NotImplementedError

    def initialise(self, x: Tensor) -> None:
        """Choose initial weights by the first batch of images [B, C, H, W] of a training: called once, before its first
        step, by process 0 and for all; without gradients. Only where a class defines it."""
        raise NotImplementedError

    def bits_per_dim(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """-log2 p(x) divided by the number of values, [B], of images [B, C, H, W] in [-1, 1] with discrete values.

        Only for models with a likelihood (`has_likelihood`). Noise comes from the generator, or else from `draw`.
        """
        raise NotImplementedError

    def encode(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] -> codes [B, D]."""
        raise NotImplementedError

    def decode(self, code: Tensor) -> Tensor:
        """Codes [B, D] -> images [B, C, H, W] in [-1, 1]."""
        raise NotImplementedError

    def decode_unclipped(self, code: Tensor) -> Tensor:
        """As `decode`, but without its clipping, where the decoder's output is not bounded."""
        return self.decode(code)

    def on_shapes(self) -> Self:
        """This model moved to PyTorch's device ``meta``, where `step` runs on shapes alone."""
        return self.to("meta")

    def follow(self, model: Self) -> None:
        """Take over what another model of this class keeps beside its parameters: buffers that training changes."""
        for mine, its in zip(_changing_buffers(self), _changing_buffers(model), strict=True):
            mine.copy_(its)

    def encode_frozen(self, x: Tensor) -> Tensor:
        """Codes [B, D] as a trained model gives them: evaluation mode (stored batch statistics), no gradient."""
        with torch.no_grad(), evaluating(self):
            return self.encode(x)


class PartCoder(Protocol):
    """Codes [B, D] that are made of the appearance of N parts and their occurrence on a grid of h x w cells."""

    @property
    def part_count(self) -> int:
        """N."""
        ...

    def split(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [B, D] -> appearances [B, N, d] and probabilities of occurrence [B, N, h, w]."""
        ...

    def join(self, appearance: Tensor, occurrence: Tensor) -> Tensor:
        """Undo `split`."""
        ...


class Prior(nn.Module):
    """A distribution over codes [B, D] that can be sampled.

    Learned priors have ``step``, closed-form ones ``fit``. Priors with latent variables z [B, d] of their own (`encode`
    and `decode` between codes and z) can be stacked on one another.
    """

    spatial: ClassVar[bool] = False
    """Whether its class takes the ``code_shape`` (c, h, w) of codes that are maps, and not their ``code_dim`` D."""

    betas: ClassVar[tuple[float, float]] = (0.5, 0.9)
    """Adam's, while it is trained."""

    fitted_with: ClassVar[Mapping[str, float | str]] = {}
    """Settings of `training.prior_fit.Fit` that suit it better than the usual ones."""

    @property
    def has_encoder(self) -> bool:
        """Whether codes can be mapped to z."""
        return defines(type(self), "encode")

    @property
    def has_latent(self) -> bool:
        """Whether there is a z that is mapped to codes: False for mixtures."""
        return defines(type(self), "latent")

    @property
    def has_density(self) -> bool:
        """Whether codes have a density in closed form (`log_density`)."""
        return defines(type(self), "log_density")

    @property
    def has_volume(self) -> bool:
        """Whether codes and z are mapped to each other one to one, with a known change of volume."""
        return defines(type(self), "encode_with_volume")

    def step(self, codes: Iterator[Tensor], images: int) -> Iterator[Update]:
        """One iteration, under the rules of `Autoencoder.step`; ``codes`` yields detached batches [B, D]."""
        raise NotImplementedError

    def fit(self, codes: Rows, progress: Progress = silent) -> None:
        """Fit a closed-form prior to codes [N, D], which are read in parts."""
        raise NotImplementedError

    def latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw z [count, d] from the explicit distribution p_Z; without a generator, by the loop's `draw`."""
        raise NotImplementedError

    def encode(self, codes: Tensor) -> Tensor:
        """Codes [B, D] -> z [B, d]."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """z [B, d] -> codes [B, D]."""
        raise NotImplementedError

    def encode_with_volume(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [B, D] -> z [B, D], and log |det dz/dc| [B]."""
        raise NotImplementedError

    def log_density(self, codes: Tensor) -> Tensor:
        """log p(c) [B] of codes [B, D], in nats."""
        raise NotImplementedError

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes [count, D]."""
        return self.decode(self.latent(count, generator))


NO_CLASS = 0.1
"""Share of the codes whose class is not told in training."""


class Given(NamedTuple):
    """What a prior is told of the codes that it makes or reads."""

    labels: Tensor
    """The class of each, [B] int64: a place in `ConditionalPrior.classes`."""
    guidance: float = 1.0
    """How strongly a flow is drawn to the class (`priors.flow_matching`): 1 is the class's own distribution."""


class ConditionalPrior(Prior):
    """A prior that can be told which class a code is of.

    ``classes`` are their names. Without them it is a prior like any other, and what it is given is ignored. With them
    its methods follow p(c|y) for what is given, and p(c) where nothing is.
    """

    def __init__(self, classes: Sequence[str] = ()) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.shares: Tensor
        if classes:
            self.register_buffer("shares", torch.full((len(classes),), 1 / len(classes)))

    @property
    def is_guided(self) -> bool:
        """Whether `Given.guidance` changes what it makes."""
        return False

    def step(self, codes: Iterator[Tensor], images: int, labels: Iterator[Tensor] | None = None) -> Iterator[Update]:
        """One iteration, as `Prior.step`; ``labels`` yields the classes [B] of each batch of codes, in step with it."""
        raise NotImplementedError

    def fit(self, codes: Rows, progress: Progress = silent, labels: Tensor | None = None) -> None:
        """Fit what has a closed form to codes [N, D] and, with ``classes``, to their labels [N]."""
        raise NotImplementedError

    def latent(self, count: int, generator: torch.Generator | None = None, given: Given | None = None) -> Tensor:
        """Draw z [count, d], as `Prior.latent`."""
        raise NotImplementedError

    def encode(self, codes: Tensor, given: Given | None = None) -> Tensor:
        """Codes [B, D] -> z [B, d]."""
        raise NotImplementedError

    def decode(self, z: Tensor, given: Given | None = None) -> Tensor:
        """z [B, d] -> codes [B, D]."""
        raise NotImplementedError

    def sample(self, count: int, generator: torch.Generator, given: Given | None = None) -> Tensor:
        """Draw codes [count, D]; where nothing is given, of classes as frequent as in training."""
        given = self.drawn_classes(count, generator) if given is None else given
        return self.decode(self.latent(count, generator, given), given)

    def partly_told(self, labels: Tensor) -> Tensor:
        """Labels [B] with a tenth of them replaced by K, which stands for no class: what a prior learns from that is to
        know the codes of all classes too (Ho and Salimans 2022, Algorithm 1)."""
        return labels.masked_fill(draw(torch.rand, len(labels), device=labels.device) < NO_CLASS, len(self.classes))

    def drawn_classes(self, count: int, generator: torch.Generator) -> Given | None:
        """Classes [count] as frequent as in training; None for a prior without classes."""
        if not self.classes:
            return None
        labels = torch.multinomial(self.shares.cpu(), count, replacement=True, generator=generator)
        return Given(labels.to(self.shares.device))


def defines(prior: type[Prior], method: str) -> bool:
    """Whether a prior's class has a method of its own, and not only the declaration."""
    return getattr(prior, method) not in (getattr(Prior, method, None), getattr(ConditionalPrior, method))


def annealed(learning_rate: float, done: float) -> float:
    """The learning rate after the share ``done`` of a training: down to zero along half a cosine."""
    return learning_rate * (1 + math.cos(math.pi * done)) / 2


def at_least(smallest: float, **values: float) -> None:
    """Raise ValueError for a value below ``smallest``, infinite or NaN, by name."""
    for name, value in values.items():
        if not smallest <= value < math.inf:
            wanted = f"at least {smallest}" if math.isfinite(value) else "a finite number"
            raise ValueError(f"{name.replace('_', '-')} is {value}; expected {wanted}")


def _changing_buffers(model: nn.Module) -> Iterator[Tensor]:
    """Those that weights files keep. The others are constants, or training could not be resumed."""
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                yield buffer


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Let gradients pass through the networks without computing any for their parameters."""
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; each module's own mode is restored after it."""
    training = [module for network in networks for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def networks_of(model: nn.Module) -> dict[str, nn.Module]:
    """The networks of a model by dotted name: each is trained by an optimiser of its own.

    Autoencoders, priors and containers are opened; any other module with parameters is a network.
    """
    networks: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        if isinstance(child, Autoencoder | Prior | nn.ModuleDict | nn.ModuleList):
            networks |= {f"{name}.{inner}": network for inner, network in networks_of(child).items()}
        elif any(True for _ in child.parameters()):
            networks[name] = child
    return networks


class Part(NamedTuple):
    """Which part of the whole batch is being worked on: part ``number`` of ``parts``."""

    number: int = 0
    parts: int = 1
    batch: int = 0
    """Images of the whole batch. Where ``parts`` does not divide it, some parts have one more than others; 0: they are
    equal."""

    def rows(self, batch: int) -> slice:
        """Its rows of a batch."""
        return slice(self.number * batch // self.parts, (self.number + 1) * batch // self.parts)

    @property
    def weight(self) -> float:
        """Of this part's mean in the mean over all parts: 1 where they are equal."""
        if self.batch % self.parts == 0:
            return 1.0
        rows = self.rows(self.batch)
        return (rows.stop - rows.start) * self.parts / self.batch


_WHOLE = Part()
_part = ContextVar("part", default=_WHOLE)


@contextmanager
def working_on(part: Part) -> Iterator[None]:
    """Set by the loop: `draw` cuts this part out of every draw made inside the block, in this thread."""
    token = _part.set(part)
    try:
        yield
    finally:
        _part.reset(token)


def reseed(seed: int, device: torch.device) -> None:
    """Start the random numbers of the CPU and of ``device`` anew, and of no other device."""
    # torch.manual_seed would reach for every GPU, and queue a call with its stack trace where none is in use.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def normal(count: int, *shape: int, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """N(0, 1) numbers [count, *shape] on the device of ``like``: from a generator, or else by `draw`."""
    return _numbers(torch.randn, (count, *shape), like, generator)


def uniform(count: int, *shape: int, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """As `normal`, but numbers of U(0, 1)."""
    return _numbers(torch.rand, (count, *shape), like, generator)


def _numbers(
    random: Callable[..., Tensor], shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None
) -> Tensor:
    if generator is None:
        return draw(random, *shape, device=like.device)
    return random(*shape, generator=generator, device=generator.device).to(like.device)


def draw(random: Callable[..., Tensor], count: int, *shape: int, device: torch.device | str | None = None) -> Tensor:
    """Random numbers [count, *shape] for the part of the batch at hand.

    ``random`` (`torch.randn`, `torch.rand`) draws for the whole batch and this part's rows are cut out, so that the
    result does not depend on how the batch was divided over processes or accumulated parts.
    """
    part = _part.get()
    number, parts = part.number, part.parts
    if part.batch % parts == 0:
        return random(count * parts, *shape, device=device)[number * count : (number + 1) * count]
    rows = part.rows(part.batch)
    times = count // (rows.stop - rows.start)  # an algorithm may draw several times for each image
    return random(times * part.batch, *shape, device=device)[times * rows.start : times * rows.stop]
