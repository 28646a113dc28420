"""The one loop of an evaluation: open what its metrics need, pass once over each set of images, write records."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor

from genae import distributed
from genae.data.sources import ImageData
from genae.data.stream import ImageStream
from genae.errors import GenaeError, nearest
from genae.metrics import METRICS, metric_class
from genae.metrics.backbones import Networks
from genae.metrics.features import Observed
from genae.metrics.metric import BATCH, OF_IMAGES, OTHERS, Batch, Measured, Metric, Need
from genae.metrics.records import REAL, Record
from genae.metrics.tally import Tally, cached_tallies
from genae.networks.arithmetic import FLOAT32, exact_float32
from genae.progress import Progress
from genae.version import VERSION

if TYPE_CHECKING:
    from genae.metrics.of_model import ModelEvaluation


Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Request:
    """How an evaluation is made: the settings of ``genae evaluate``."""

    networks: Sequence[str] = ("inception",)
    """Feature networks of the metrics that let one choose."""
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Network -> weight file that replaces its download."""
    split: str = "test"
    samples: int = 10_000
    """Of each prior."""
    real: int | None = None
    """At most so many images of the split, drawn at random; by default all."""
    seed: int = 0
    priors: Sequence[str] | None = None
    """Those that are sampled; by default all."""
    guidance: float = 1.0
    """How strongly priors with guidance heed the class that they are told; see `Given`."""
    features: Sequence[str] = ("short",)
    """Layers that metrics of labels read: see `encoder_features.layers`."""
    train_data: ImageData | None = None
    """The labelled images that these learn from; by default those of the test."""
    train_split: str = "train"


@dataclass(frozen=True)
class Pass(Generic[Loaded]):
    """One way through a set of images, in batches of 64."""

    of: str
    """What its images are in a record."""
    message: str
    count: int
    load: Callable[[Tensor], Loaded]
    """Positions [B] -> whatever `show` takes; in a thread, ahead."""
    show: Callable[[Loaded], Batch]
    featured: bool
    """Whether networks look at its pixels."""


class Evaluation:
    """Some metrics, what they measure, and how."""

    def __init__(
        self,
        metrics: Sequence[Metric],
        request: Request,
        reference: ImageStream,
        networks: Networks,
        progress: Progress,
    ) -> None:
        self.metrics = metrics
        self.offers: frozenset[Need] = OF_IMAGES
        """What there is for metrics."""
        self.request = request
        self.reference = reference
        """The real images."""
        self.others: ImageStream | None = None
        """Real images of the same source that are not among these, where there are some."""
        self.others_split = ""
        self.batch = BATCH
        """Images of a batch of a pass: a unit that processes share."""
        self.networks = networks
        self.progress = progress
        self.tallies: dict[str, dict[str, Tally]] = {}
        """Network -> what is kept of each set of images (`records.REAL`, ...) in its features."""
        self.base: dict[str, object] = {
            "data": reference.name, "data_digest": reference.digest, "split": request.split, "count": len(reference),
            "size": shape_of(reference), "resize": reference.resize, "format": reference.format, "float32": FLOAT32,
            "genae": VERSION,
        } | ({"converted": "; ".join(reference.conversions)} if reference.conversions else {})  # fmt: skip
        """How every fingerprint begins: which images a number is about, and how they were treated."""

    def wanting(self, *needs: Need) -> list[Metric]:
        """The metrics that need one of these."""
        return [metric for metric in self.metrics if metric.needs & set(needs)]

    @cached_property
    def kept(self) -> dict[str, set[str]]:
        """Network -> what of its features is kept."""
        kept: dict[str, set[str]] = {}
        for metric in self.wanting("features"):
            for network in metric.networks(self.request.networks):
                kept.setdefault(network, set()).add(metric.keeps)
        return kept

    def passes(self) -> Iterator[Pass[Any]]:
        """Every set of images that a metric needs to see."""
        raise NotImplementedError

    def sets(self) -> Sequence[tuple[str, int]]:
        """What has to have enough images, and how many it has."""
        raise NotImplementedError

    def fingerprint(self, of: str) -> Mapping[str, object]:
        """What a fingerprint says of a subject beside `base`, at its end."""
        return {}

    def sampling(self, of: str) -> Mapping[str, object]:
        """What the fingerprint of a number of drawn images says of how they were drawn, beside the seed."""
        return {}

    def refusal(self, need: Need, metrics: str) -> str:
        """Why these metrics cannot have what they need, in one sentence."""
        return f"{metrics} measures a run; {self.name} is a source of images"

    @property
    def name(self) -> str:
        """Of what is measured."""
        raise NotImplementedError

    def as_model(self) -> "ModelEvaluation":
        """Itself, for metrics of models."""
        raise TypeError(f"{self.name} is no model")

    def check(self) -> None:
        """Refuse what cannot be measured before the work. Raises `GenaeError`."""
        for metric in self.metrics:
            for need in sorted(metric.needs - self.offers):
                names = ", ".join(sorted(other.name for other in self.wanting(need)))
                raise GenaeError(self.refusal(need, names))
        for metric in self.metrics:
            if min(self.reference.image_shape[1:]) < metric.least_side:
                raise GenaeError(
                    f"{metric.name} needs images of at least {metric.least_side} pixels a side; "
                    f"these are {self.reference.image_shape} (C, H, W)"
                )
        least = max((metric.least_images for metric in self.metrics), default=1)
        for what, count in self.sets():
            if count < least:
                names = ", ".join(metric.name for metric in self.metrics if metric.least_images > count)
                raise GenaeError(
                    f"{what} has {count} image{'s' if count != 1 else ''}; {names}: expected at least {least} on "
                    "either side"
                )
        for metric in self.metrics:
            metric.check(self)

    @exact_float32()
    def run(self) -> list[Record]:
        """Measure, all of it in `exact_float32`. Raises `GenaeError`."""
        self.check()
        for metric in self.metrics:
            metric.open(self.networks, self.request.networks)
        watched = [(self.networks[name], keeps) for name, keeps in self.kept.items()]
        real = cached_tallies(self.reference, watched, self.request.seed, self.progress)
        self.tallies = {name: {} for name in self.kept}
        for each in self.passes():
            for name, tally in self.go_through(each).items():
                self.tallies[name][each.of] = tally
        for name, tally in zip(self.kept, real, strict=True):
            self.tallies[name][REAL] = tally
        for name, tally in self.other_tallies().items():
            self.tallies[name][OTHERS] = tally
        numbers: dict[tuple[str, str], Measured] = {}  # two metrics may be the same in one network
        for done, metric in enumerate(self.metrics):
            self.progress("computing the metrics", done, len(self.metrics))  # some take minutes after the last image
            numbers |= {(number.of, number.name): number for number in metric.measure(self)}
        return [self.record(number) for number in numbers.values()]

    def other_tallies(self) -> dict[str, Tally]:
        """Network -> what metrics that compare need kept of the `others`."""
        kept: dict[str, set[str]] = {}
        for metric in self.wanting("features"):
            for network in metric.networks(self.request.networks) if metric.compares else ():
                kept.setdefault(network, set()).add(metric.keeps)
        if self.others is None or not len(self.others):
            return {}
        watched = [(self.networks[name], keeps) for name, keeps in kept.items()]
        return dict(zip(kept, cached_tallies(self.others, watched, self.request.seed, self.progress), strict=True))

    def go_through(self, each: Pass[Loaded]) -> dict[str, Tally]:
        """One pass; what is kept of its features, for each network."""
        kept = self.kept if each.featured else {}
        tallies = {name: Tally(each.count, keeps, self.request.seed) for name, keeps in kept.items()}

        networks = [self.networks[name] for name in kept]

        def look(loaded: Loaded) -> tuple[list[Mapping[str, Tensor]], list[Observed]]:
            batch = each.show(loaded)
            seen = [metric.see(each.of, batch) for metric in self.metrics]
            return seen, [network(batch.pixels) for network in networks if batch.pixels is not None]

        done = 0
        for seen, observed in distributed.in_order(torch.arange(each.count).split(self.batch), each.load, look):
            done = min(done + self.batch, each.count)
            self.progress(each.message, done, each.count)
            for metric, part in zip(self.metrics, seen, strict=True):
                metric.add(each.of, part)
            for tally, features in zip(tallies.values(), observed, strict=True):
                tally.add(features)
        return {name: tally.finish() for name, tally in tallies.items()}

    def record(self, number: Measured) -> Record:
        """A line of ``metrics.jsonl``."""
        beside = {} if number.deviation is None else {"deviation": number.deviation}
        fingerprint = {**self.base, **number.protocol, **self.fingerprint(number.of)}
        return {"of": number.of, "metric": number.name, "value": number.value, **beside, "fingerprint": fingerprint}


def shape_of(stream: ImageStream) -> str:
    """CxHxW of its images."""
    return "x".join(map(str, stream.image_shape))


def check_finite(values: Tensor, what: str) -> None:
    """Raises `GenaeError`: a number made of NaN would look like a result."""
    bad = ~values.isfinite().flatten(1).all(1)
    if bad.any():
        raise GenaeError(
            f"{int(bad.sum())} of {len(bad)} {what} hold NaN or infinite values: the model's training went wrong; "
            "look at its log, or load an earlier checkpoint"
        )


def opened(names: Iterable[str]) -> list[Metric]:
    """New metrics by their names, in the order of `METRICS`. Raises `GenaeError`."""
    if isinstance(names, str):
        raise GenaeError(f"metrics are {names!r}; expected a list of names, such as [{names!r}]")
    wanted = list(names)
    for name in wanted:
        if name not in METRICS:
            raise GenaeError(f"there is no metric {name!r}; {nearest(name, METRICS)}")
    return [metric_class(name)(name) for name in METRICS if name in wanted]
