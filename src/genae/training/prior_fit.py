"""A prior on frozen codes: closed-form ones are fitted, learned ones trained, after the autoencoder."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genae.data.sampler import mix_seed, shuffled
from genae.data.transfer import has_room, sent
from genae.errors import GenaeError, nearest
from genae.priors import PRIORS
from genae.priors.channel_gaussian import ChannelGaussianPrior
from genae.priors.flow_matching import Flow
from genae.priors.gaussian import GaussianPrior
from genae.priors.stack import StackedPrior
from genae.progress import Progress, silent
from genae.protocol import ConditionalPrior, Part, Prior, annealed, defines
from genae.rows import HELD, Rows, Through, bytes_of, filled, in_parts
from genae.settings.parser import dashed, options_of, parse_settings
from genae.storage import load_tensors, load_weights, save_tensors
from genae.training.checkpoint import optimiser_tensors, restore_optimisers
from genae.training.loop import Loop
from genae.training.precision import multiplies_bfloat16

SAVE_EVERY = 60.0  # seconds
LABEL = "label"
"""What `Fit.given` calls the classes of the images."""
PRECISIONS = ("float32", "bfloat16", "auto")
NOT = "not "
"""What stands before the name of an attribute for the images that lack it."""
OF_CODES = ("code_dim", "code_shape", "classes")
"""Arguments of a prior's class that are read off the codes, and are no settings."""


class Labels(NamedTuple):
    """What a prior is told of each of the codes [N, D]."""

    numbers: Tensor
    """[N] int64: a place in ``names``."""
    names: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """How a prior is fitted to codes; the fields beside ``kind`` and ``options`` are for learned priors."""

    kind: str
    """A name in `PRIORS`."""
    images: int = 3_000_000
    """Codes to see, over all passes."""
    batch_size: int = 512
    learning_rate: float = 1e-3
    """Adam's step size, which falls to zero along half a cosine."""
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the prior's class."""
    given: str = ""
    """What the prior is told of each code: `LABEL`, the class of its image, or the name of an attribute."""
    precision: str = "float32"
    """``float32``, ``bfloat16`` (autocast while it is trained), or ``auto``, which `on` decides."""
    reflow_from: str = ""
    """The name of a prior of the run: a flow that is made straight (`training.reflow`)."""

    def __post_init__(self) -> None:
        if self.kind not in PRIORS:
            raise GenaeError(f"there is no prior {self.kind!r}; {nearest(self.kind, PRIORS)}")
        for name in ("images", "batch_size"):
            if getattr(self, name) < 1:
                raise GenaeError(f"{name.replace('_', '-')} is {getattr(self, name)}; expected at least 1")
        if self.seed < 0:
            raise GenaeError(f"seed is {self.seed}; expected a whole number of 0 or more")
        if self.precision not in PRECISIONS:
            raise GenaeError(f"precision is {self.precision!r}; {nearest(self.precision, PRECISIONS)}")
        if self.reflow_from and not issubclass(PRIORS[self.kind], Flow):
            raise GenaeError(f"a {self.kind} prior has no flow to make straight; leave out --reflow-from")
        if self.given and not issubclass(PRIORS[self.kind], ConditionalPrior):
            able = [kind for kind in PRIORS if issubclass(PRIORS[kind], ConditionalPrior)]
            raise GenaeError(f"a {self.kind} prior cannot be told a class; expected one of {', '.join(able)}")

    def said(self) -> dict[str, Any]:
        """The fields, as a prior's file keeps them: what earlier versions did not have only where it is set."""
        added = {"given": "", "precision": "float32", "reflow_from": ""}
        return {name: value for name, value in asdict(self).items() if name not in added or value != added[name]}

    def on(self, device: torch.device) -> "Fit":
        """With the precision that ``auto`` is on a device: bfloat16 if it multiplies that faster. A prior's file says
        it."""
        if self.precision != "auto":
            return self
        return replace(self, precision="bfloat16" if multiplies_bfloat16(device)[0] else "float32")

    @property
    def learned(self) -> bool:
        """Whether it is trained; else it has a closed form."""
        return defines(PRIORS[self.kind], "step")

    def build(self, code_shape: tuple[int, ...], classes: Sequence[str] = ()) -> Prior:
        """The prior of codes (D,) or (c, h, w), unfitted; ``classes`` are the names of what it is told.

        A learned one works on whitened codes: its networks see unit variance in every run. Maps keep their cells: a
        spatial one works on standardised channels.
        """
        cls = PRIORS[self.kind]
        code_dim = math.prod(code_shape)
        shape = {"code_shape": code_shape} if cls.spatial else {"code_dim": code_dim}
        told = {"classes": tuple(classes)} if classes else {}
        try:
            prior = cls(**shape, **told, **self.options)
        except ValueError as error:
            raise GenaeError(str(error)) from None
        if not self.learned:
            return prior
        return StackedPrior([ChannelGaussianPrior(code_shape) if cls.spatial else GaussianPrior(code_dim), prior])


def prior_options(kind: str, settings: Mapping[str, object]) -> dict[str, Any]:
    """Settings, perhaps text, as arguments of a prior's class. Unknown ones raise `GenaeError`."""
    return parse_settings(f"a {kind} prior", settings, options_of(PRIORS[kind], without=OF_CODES))


def fit_of(kind: str, settings: Mapping[str, object]) -> Fit:
    """The `Fit` of a prior's name and settings, perhaps text: fields of `Fit` and arguments of the prior's class.

    Raises `GenaeError`, also for a setting of training that a prior in closed form does not have.
    """
    learned = Fit(kind).learned  # refuses an unknown prior
    own = options_of(Fit, without=("kind", "options"))
    of_training = parse_settings("", {key: value for key, value in settings.items() if key in own}, own)
    needless = sorted(of_training.keys() - {"seed", "given"})
    if needless and not learned:
        raise GenaeError(f"a {kind} prior has a closed form and no {dashed(needless[0])}; leave it out")
    options = prior_options(kind, {key: value for key, value in settings.items() if key not in own})
    of_training = dict(PRIORS[kind].fitted_with) | of_training
    return Fit(kind, **of_training, options=dict(sorted(options.items())))


def fit_to_codes(
    codes: Rows,
    settings: Fit,
    partial: Path,
    progress: Progress = silent,
    device: torch.device | str = "cpu",
    code_shape: tuple[int, ...] | None = None,
    labels: Labels | None = None,
) -> tuple[Prior, float]:
    """Fit a prior to codes [N, D] on the CPU; returns it, there too, and the seconds that it took.

    ``code_shape`` is (c, h, w) where codes are maps, by default (D,); ``labels`` is what `Fit.given` names.

    Codes are read when they are needed: memory does not grow with their number beyond `rows.HELD` bytes. A learned
    prior is trained on ``device``, where a GPU holds them if they take at most half of its free memory; what has a
    closed form is fitted on the CPU, in float64. A training is saved
    in ``partial`` once a minute and when it is interrupted: the same call goes on from there, bit for bit. Raises
    `GenaeError`.
    """
    if settings.learned and settings.batch_size > len(codes):
        raise GenaeError(f"a batch of {settings.batch_size} is larger than the {len(codes)} codes; lower --batch-size")
    if labels:
        _expect_codes(labels)
    torch.manual_seed(mix_seed("prior", settings.seed))
    prior = settings.build(code_shape or codes.shape[1:], labels.names if labels else ())
    begun = time.perf_counter()
    if not settings.learned:
        progress(f"fitting {settings.kind}", 0, 1)
        _fit(prior, codes, labels, progress)
        return prior.eval(), time.perf_counter() - begun
    assert isinstance(prior, StackedPrior)
    prior.levels[0].fit(codes)
    whitened: Rows = Through(codes, prior.levels[0].encode, codes.shape[1])
    if bytes_of(whitened) <= HELD:
        whitened = filled(in_parts(whitened), len(whitened))
    if defines(type(prior.levels[1]), "fit"):  # it has a part in closed form
        progress(f"fitting the source of {settings.kind}", 0, 1)
    _fit(prior.levels[1], whitened, labels, progress)
    before = time.perf_counter() - begun
    seconds = before + train_prior(prior.levels[1].to(device), whitened, labels, settings, partial, progress)
    return prior.cpu().eval(), seconds


def _expect_codes(labels: Labels) -> None:
    """Raise `GenaeError` for a class with fewer than two codes."""
    counts = torch.bincount(labels.numbers, minlength=len(labels.names)).tolist()
    for name, codes in zip(labels.names, counts, strict=True):
        if codes < 2:
            raise GenaeError(
                f"class {name!r} has {codes} training image{'' if codes == 1 else 's'}; a prior that is told classes "
                "needs at least 2 of each: add images of it, or leave the class out of the data"
            )


def _fit(prior: Prior, codes: Rows, labels: Labels | None, progress: Progress) -> None:
    """What is in closed form."""
    if labels and isinstance(prior, ConditionalPrior):
        prior.shares.copy_(torch.bincount(labels.numbers, minlength=len(labels.names)) / len(labels.numbers))
        if defines(type(prior), "fit"):
            prior.fit(codes, progress, labels.numbers)
    elif defines(type(prior), "fit"):
        prior.fit(codes, progress)


def train_prior(
    prior: Prior, codes: Rows, labels: Labels | None, settings: Fit, partial: Path, progress: Progress
) -> float:
    """Train a prior, on the device where it is, on whitened codes [N, D], on the CPU; returns the seconds."""
    device = next(prior.parameters()).device
    there = codes
    if device.type != "cpu" and has_room(device, bytes_of(codes)):
        there = filled(in_parts(codes), len(codes), device)
    held_at = there.device if isinstance(there, Tensor) else torch.device("cpu")

    def batches(images: int, _: Part) -> Iterator[Tensor]:
        for draw in count():
            yield sent(there[indices(images, draw).to(held_at)], device)

    def indices(images: int, draw: int) -> Tensor:
        return shuffled(images, settings.batch_size, len(codes), settings.seed, draw)

    told = _batches_of(labels, indices, device) if labels else None
    precision = settings.on(device).precision
    loop = Loop(prior, batches, betas=prior.betas, seed=settings.seed, precision=precision, labels=told)
    what = _hash_of(settings, codes, labels)
    images, before = _restore(prior, loop, what, partial)
    begun = saved = time.perf_counter()
    progress(f"training {settings.kind}", images, settings.images)

    def save() -> None:
        elapsed = before + time.perf_counter() - begun
        tensors = {f"model/{name}": value for name, value in prior.state_dict().items()}
        tensors |= {f"optimiser/{name}": value for name, value in optimiser_tensors(loop).items()}
        save_tensors(partial, tensors, {"what": what, "images": str(images), "seconds": repr(elapsed)})

    try:
        while images < settings.images:
            records = loop.iteration(images, annealed(settings.learning_rate, images / settings.images))
            images += settings.batch_size
            if images // settings.batch_size % 50 == 0:
                for record in records:
                    if not all(value.isfinite() for value in record.values.values()):
                        raise GenaeError(
                            f"the {settings.kind} prior diverged at code {images:,}; lower --learning-rate"
                        )
                progress(f"training {settings.kind}", min(images, settings.images), settings.images)
            if time.perf_counter() - saved > SAVE_EVERY:
                save()
                saved = time.perf_counter()
    except KeyboardInterrupt:
        save()
        raise
    return before + time.perf_counter() - begun


def _batches_of(
    labels: Labels, indices: Callable[[int, int], Tensor], device: torch.device
) -> Callable[[int, Part], Iterator[Tensor]]:
    """Labels [B] of the codes with the ``indices`` of each draw."""
    there = labels.numbers.to(device)

    def batches(images: int, _: Part) -> Iterator[Tensor]:
        for draw in count():
            yield there[indices(images, draw).to(device)]

    return batches


def _hash_of(settings: Fit, codes: Rows, labels: Labels | None) -> str:
    """What a training was begun with."""
    sha = hashlib.sha256(repr(sorted(settings.said().items())).encode())
    for part in in_parts(codes):
        sha.update(part.contiguous().numpy().data)
    if labels:
        sha.update(repr(labels.names).encode() + labels.numbers.numpy().tobytes())
    return sha.hexdigest()


def _restore(prior: Prior, loop: Loop, what: str, partial: Path) -> tuple[int, float]:
    """Bring prior and loop to what ``partial`` holds, if it is of the same settings and codes; codes seen, seconds."""
    if not partial.exists():
        return 0, 0.0
    tensors, metadata = load_tensors(partial)
    if metadata.get("what") != what:
        return 0, 0.0
    load_weights(prior, {n[6:]: t for n, t in tensors.items() if n.startswith("model/")}, partial)
    restore_optimisers(loop, {n[10:]: t for n, t in tensors.items() if n.startswith("optimiser/")})
    return int(metadata["images"]), float(metadata["seconds"])
