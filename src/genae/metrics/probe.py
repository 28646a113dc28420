"""Recognition by a run's encoder, or by the same trunk with fresh weights: records for every head and seed."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from genae.data.sources import ImageData
from genae.errors import GenaeError, nearest
from genae.metrics.recognition import FROZEN, HEADS, Layers, calibrate, expect_memory, freeze, read_off, recognise
from genae.metrics.records import CODE, FRESH, Record
from genae.networks.arithmetic import FLOAT32
from genae.progress import Progress, silent
from genae.version import VERSION

RANDOM_TRUNK = "random trunk"


@dataclass(frozen=True)
class ProbeRequest:
    """How recognition is measured: the settings of ``genae probe``."""

    frozen: str = "conv1-5"
    """A name in `FROZEN`."""
    heads: Sequence[str] = ("mlp",)
    """Of `HEADS`: ``mlp`` is `recognise`'s, the others are probes of the frozen features."""
    random_trunk: bool = False
    epochs: int = 90
    drop_every: int | None = None
    """Epochs after which the learning rate is divided by 10; by default a third of all."""
    seeds: Sequence[int] = (0,)
    keep_features: float = 0.0
    """GB of disk for frozen layers' features that memory should not hold. They change no number."""

    def __post_init__(self) -> None:
        if not self.heads or isinstance(self.heads, str):
            raise GenaeError(f"heads are {self.heads!r}; expected a list of some of {', '.join(HEADS)}")
        for head in self.heads:
            if head not in HEADS:
                raise GenaeError(f"head is {head!r}; {nearest(head, HEADS)}")
        if self.epochs < 1:
            raise GenaeError(f"epochs is {self.epochs}; expected at least 1")
        expect_seeds(self.seeds)
        if not 0 <= self.keep_features < math.inf:
            raise GenaeError(f"keep_features is {self.keep_features}; expected GB of disk, 0 for none")
        if FROZEN.get(self.frozen) == 0 and (others := [head for head in self.heads if head != "mlp"]):
            raise GenaeError(f"{others[0]} reads frozen layers, but frozen is {self.frozen!r}; freeze some layers")


def expect_seeds(seeds: Sequence[int]) -> None:
    """Raises `GenaeError` for what would count a run twice, or none."""
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise GenaeError(f"seeds are {list(seeds)}; expected different whole numbers from 0 up")


def probe_encoder(
    trunk: Callable[[int | None], nn.ModuleList],
    weights: str,
    data: ImageData,
    request: ProbeRequest,
    progress: Progress = silent,
    *,
    flip: bool = False,
) -> Iterator[Record]:
    """Records ``top1-FROZEN``, ``top5-FROZEN`` and of probes such as ``knn-FROZEN``.

    ``trunk`` gives the convolutional trunk: the trained one, whose hash is ``weights``, or, of a seed, a fresh one.
    With ``flip``, `recognise`'s head is trained on mirror images too, as the encoder was. Raises `GenaeError`.
    """
    of = RANDOM_TRUNK if request.random_trunk else CODE
    fingerprint = {
        "data": data.name, "data_digest": data.digest, "split": "test", "count": len(data.split("test")),
        "weights": FRESH if request.random_trunk else weights, "frozen": request.frozen, "float32": FLOAT32,
        "genae": VERSION,
    }  # fmt: skip

    def record(name: str, value: float, more: Mapping[str, object], best: Mapping[str, int] | None = None) -> Record:
        metric = f"{name}-{request.frozen}"
        return {"of": of, "metric": metric, "value": value, **(best or {}), "fingerprint": {**fingerprint, **more}}

    protocol = {"epochs": request.epochs} | ({"drop_every": request.drop_every} if request.drop_every else {})
    protocol |= {"flip": True} if flip else {}
    every = request.drop_every or math.ceil(request.epochs / 3)
    probes = [head for head in request.heads if head != "mlp"]

    def records(layers: Layers, seeds: Sequence[int]) -> Iterator[Record]:
        if probes:
            expect_memory(layers)  # before a head is trained for hours
        for seed, head in itertools.product(seeds, request.heads):
            if head == "mlp":
                accuracy = recognise(layers, epochs=request.epochs, drop_every=every, seed=seed, progress=progress)
                best = {"epoch": accuracy.epoch}
                yield record("top1", accuracy.top1, {**protocol, "seed": seed}, best)
                if layers.classes > 5:
                    yield record("top5", accuracy.top5, {**protocol, "seed": seed}, best)
            elif seed == seeds[0]:  # a probe knows no chance: one figure for one trunk
                progress(f"{head} of the frozen features", 0, 1)
                yield record(head, read_off(layers, head), {"seed": seed} if request.random_trunk else {})

    for seeds in [[seed] for seed in request.seeds] if request.random_trunk else [request.seeds]:  # of one trunk each
        encoder = trunk(seeds[0] if request.random_trunk else None)
        if request.random_trunk:
            calibrate(encoder, data)
        mirrored, keep = flip and "mlp" in request.heads, request.keep_features
        with freeze(encoder, data, request.frozen, progress, flip=mirrored, keep_features=keep) as layers:
            yield from records(layers, seeds)
