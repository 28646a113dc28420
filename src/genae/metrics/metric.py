"""What a metric is: it declares what it needs, sees batches of images, and yields numbers."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from torch import Tensor

from genae.metrics.records import CODE, REAL, short_count
from genae.protocol import Autoencoder

if TYPE_CHECKING:
    from genae.metrics.backbones import Networks
    from genae.metrics.evaluation import Evaluation
    from genae.metrics.features import FeatureNetwork
    from genae.metrics.of_model import ModelEvaluation
    from genae.metrics.tally import Tally

BATCH = 64  # also the unit that processes share: the same batches, whatever their number, give the same features

OTHERS = "real data of another split"
"""Among the tallies, what is kept of the images that real data are compared with."""


def batch_for(model: Autoencoder) -> int:
    """Images of a batch that a model is measured with: as many as the last stage of its training takes, at most 64."""
    return min(BATCH, model.full_size_batch)


Need = Literal[
    "pairs", "features", "samples", "codes", "training", "labels", "given", "parts", "paths", "likelihood", "run"
]
"""What a metric works on:

- ``pairs``: images and their reconstructions;
- ``features``: of images, in feature networks;
- ``samples``: the pixels of a prior's first samples, or of the images that are measured;
- ``codes``: of held-out images, and those that priors sample;
- ``training``: the images that samples are compared with one by one, a model's training images or the reference;
- ``labels``: of images;
- ``given``: samples of priors that are told which of the data's classes to draw;
- ``parts``: a model that has them;
- ``paths``: between samples of a prior that has latent variables;
- ``likelihood``: a model that knows how probable an image is;
- ``run``: the folder of a run.
"""
OF_IMAGES: frozenset[Need] = frozenset({"pairs", "features", "samples", "training"})
"""What images of any origin offer; the rest needs a model."""
ENCODED: frozenset[Need] = frozenset({"pairs", "codes", "labels", "parts"})
"""What needs an encoder."""
NOTHING: Mapping[str, object] = MappingProxyType({})


class Measured(NamedTuple):
    """A number that a metric yields."""

    of: str
    """What was measured: `records.CODE` (reconstructions), a prior's name (its samples), `records.REAL`, ..."""
    name: str
    value: float
    protocol: Mapping[str, object] = NOTHING
    """What the number's fingerprint says beside the evaluation's own."""
    deviation: float | None = None
    """Over splits or subsets."""


class Batch(NamedTuple):
    """Up to 64 images of one pass; what nobody needs is not there."""

    images: Tensor | None = None
    """Originals [B, C, H, W] in [-1, 1], on the device."""
    decoded: Mapping[str, Tensor] = MappingProxyType({})
    """Name of a path (`records.CODE`, a prior's name, the measured images' name) -> what it makes of the originals."""
    pixels: Tensor | None = None
    """The images that the pass shows to networks [B, C, H, W], uint8 on the CPU."""
    codes: Tensor | None = None
    """[B, D] on the CPU."""
    start: int = 0
    """Position of the first one in the pass."""


class Metric:
    """A choice of ``genae evaluate --metrics``: one class in one file, and one line in `METRICS`.

    An evaluation makes a metric, lets it `check` and `open` what it needs, shows it batches (`see` in the process that
    computes the batch, `add` in all processes, in the order of one), and asks it to `measure`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    least_images: ClassVar[int] = 1
    """Of each set of images."""
    least_side: ClassVar[int] = 1
    """Pixels that images need on a side."""
    compares: ClassVar[bool] = False
    """Whether it compares images with real ones by features; then the names of its numbers of reconstructions begin
    with ``r``. A score compares nothing, and is taken of real images too."""
    keeps: ClassVar[str] = ""
    """What it needs kept of each image: ``moments``, ``rows``, ``scores`` or ``predictions`` of a `Tally`."""
    stand_in: ClassVar[str] = ""
    """The metric in `METRICS` that takes its place where no published weights can be had."""

    def __init__(self, name: str) -> None:
        self.name = name
        """In `METRICS`."""

    def networks(self, chosen: Sequence[str]) -> Sequence[str]:
        """The feature networks that it compares in; ``chosen`` are the user's."""
        return chosen if "features" in self.needs else ()

    def downloads(self, chosen: Sequence[str]) -> Sequence[str]:
        """Networks whose weights are downloaded, or given as files."""
        return [name for name in self.networks(chosen) if name not in ("classifier", "pixels")]

    def check(self, evaluation: "Evaluation") -> None:
        """Refuse, before the work, what it cannot measure. Raises `GenaeError`."""

    def open(self, networks: "Networks", chosen: Sequence[str]) -> None:
        """Open the networks that the evaluation does not open for it."""

    def see(self, of: str, batch: Batch) -> Mapping[str, Tensor]:
        """What it takes of a batch of the pass ``of``: named tensors on the CPU."""
        return {}

    def add(self, of: str, seen: Mapping[str, Tensor]) -> None:
        """Take what `see` gave for the next batch."""

    def measure(self, evaluation: "Evaluation") -> Iterator[Measured]:
        """Its numbers, after all passes."""
        raise NotImplementedError


class PairMetric(Metric):
    """A mean over images of an error between each image and its reconstruction."""

    needs = frozenset({"pairs"})
    value_range: ClassVar[str] = "[0, 1]"
    most: ClassVar[float] = float("inf")
    """Larger values count as this: an infinite one would make every mean infinite."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.sums: dict[str, float] = {}
        self.count: dict[str, int] = {}

    def error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Of reconstructions and images [B, C, H, W] in [-1, 1]: [B]."""
        raise NotImplementedError

    @property
    def recorded(self) -> str:
        """What its numbers are called."""
        return self.name

    def protocol(self) -> Mapping[str, object]:
        """Its part of a fingerprint."""
        return {"range": self.value_range}

    def see(self, of: str, batch: Batch) -> Mapping[str, Tensor]:
        """The errors of each path, [B]."""
        if batch.images is None:
            return {}
        errors = {path: self.error(x_hat, batch.images) for path, x_hat in batch.decoded.items()}
        return {path: values.cpu().double().clamp_(max=self.most) for path, values in errors.items()}

    def add(self, of: str, seen: Mapping[str, Tensor]) -> None:
        """Sum them."""
        for path, values in seen.items():
            self.sums[path] = self.sums.get(path, 0.0) + float(values.sum())
            self.count[path] = self.count.get(path, 0) + len(values)

    def measure(self, evaluation: "Evaluation") -> Iterator[Measured]:
        """The mean of each path."""
        for path, total in self.sums.items():
            count = self.count[path]
            yield Measured(path, self.recorded, total / count, {"images": count, **self.protocol()})


class FeatureMetric(Metric):
    """A comparison of two sets of images, or a score of one, by their features in a network."""

    needs = frozenset({"features"})
    network: ClassVar[str] = ""
    """The one network that it is defined with; otherwise the user chooses."""
    compares = True

    def networks(self, chosen: Sequence[str]) -> Sequence[str]:
        """Its own, or those that were chosen."""
        return [self.network] if self.network else chosen

    def compare(self, images: "Tally", real: "Tally", network: "FeatureNetwork", seed: int) -> Iterator[Measured]:
        """Numbers of one set of images. Their names lack the ending; ``of`` is filled in later."""
        raise NotImplementedError

    def measure(self, evaluation: "Evaluation") -> Iterator[Measured]:
        """Its numbers for every set of images and every network: of real data too, where there are others to compare
        with them."""
        for network_name in self.networks(evaluation.request.networks):
            network = evaluation.networks[network_name]
            tallies = evaluation.tallies[network_name]
            for of, tally in tallies.items():
                if of == (REAL if self.compares else OTHERS) or tally.count < self.least_images:
                    continue
                protocol = {**network.protocol, **evaluation.sampling(of), "images": tally.count}
                protocol["seed"] = evaluation.request.seed
                if of == OTHERS:
                    protocol["images_split"] = evaluation.others_split
                for number in self.compare(tally, tallies[REAL], network, evaluation.request.seed):
                    yield number._replace(of=REAL if of == OTHERS else of,
                                          name=self.label(number.name, of, tally.count, network),
                                          protocol={**protocol, **number.protocol})  # fmt: skip

    def label(self, name: str, of: str, count: int, network: "FeatureNetwork") -> str:
        """``fd`` of 10,000 reconstructions in the classifier's features -> ``rfd10k-classifier``."""
        prefix = "r" if of == CODE and self.compares else ""
        return f"{prefix}{name}{short_count(count)}" + (f"-{network.suffix}" if network.suffix else "")


class ModelMetric(Metric):
    """A measurement of a model that is more than a comparison of images."""

    def measure(self, evaluation: "Evaluation") -> Iterator[Measured]:
        """Its numbers."""
        return self.measure_model(evaluation.as_model())

    def measure_model(self, evaluation: "ModelEvaluation") -> Iterator[Measured]:
        """Its numbers for the model of an evaluation."""
        raise NotImplementedError
