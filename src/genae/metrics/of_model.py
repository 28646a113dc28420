"""The evaluation of a model: reconstructions of a split, samples of its priors, codes, layers, paths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from genae.data.sampler import mix_seed
from genae.data.sources import ImageData
from genae.data.stream import ImageStream
from genae.data.transfer import sent
from genae.data.transforms import to_uint8
from genae.errors import GenaeError
from genae.metrics.backbones import Networks
from genae.metrics.copies import FIRST
from genae.metrics.encoder_features import features_of
from genae.metrics.evaluation import Evaluation, Pass, Request, check_finite
from genae.metrics.lesson import Lesson, lesson
from genae.metrics.metric import ENCODED, OTHERS, Batch, Metric, Need, batch_for
from genae.metrics.reconstruction import reconstructions
from genae.metrics.records import CODE, REAL
from genae.priors.flow_matching import flows_of
from genae.priors.sampling import expect_guidance, sample_codes
from genae.progress import Progress, silent
from genae.protocol import Autoencoder, ConditionalPrior, Given, PartCoder, Prior
from genae.storage import weights_digest

OTHER_SPLIT = {"test": "train", "validation": "train", "train": "test"}
"""Split -> the one that real data of it are compared with."""


@dataclass(frozen=True)
class Subject:
    """A trained model as evaluations see it."""

    autoencoder: Autoencoder
    digest: str
    """Hash of the weights."""
    trained_on: str
    """`ImageData.digest` of the training data."""
    name: str
    folder: Path | None = None
    """Of its run, where it has one."""


class ModelEvaluation(Evaluation):
    """Images are rounded to 8 bits before any feature network sees them, as files would be."""

    def __init__(
        self,
        subject: Subject,
        data: ImageData,
        metrics: Sequence[Metric],
        request: Request,
        networks: Networks,
        progress: Progress = silent,
    ) -> None:
        reference = ImageStream(data, data.split(request.split))
        if request.real is not None:
            reference = reference.take(request.real, request.seed)
        super().__init__(metrics, request, reference, networks, progress)
        self.subject = subject
        self.data = data
        self.device = next(subject.autoencoder.parameters()).device
        self.batch = batch_for(subject.autoencoder)
        self.priors = list(subject.autoencoder.priors) if request.priors is None else list(request.priors)
        self.offers = offers_of(subject, data, self.priors)
        self.base |= {"weights": subject.digest}
        if request.real is not None:
            self.base["real"] = request.real
        if other := OTHER_SPLIT.get(request.split):
            self.others = ImageStream(data, data.split(other)).take(request.samples, request.seed)
            self.others_split = other

    @property
    def parts(self) -> PartCoder:
        """How the model's codes say which parts occur where. Raises `GenaeError` for a model without parts."""
        parts = self.subject.autoencoder.parts
        if parts is None:
            raise GenaeError(self.refusal("parts", "this metric"))
        return parts

    @property
    def name(self) -> str:
        """Of the model."""
        return self.subject.name

    def as_model(self) -> "ModelEvaluation":
        """Itself."""
        return self

    def fingerprint(self, of: str) -> Mapping[str, object]:
        """The weights of a prior, and in how many steps its equation is solved."""
        if of not in self._prior_digests:
            return {}
        steps = {flow.solver_steps for flow in flows_of(self.subject.autoencoder.priors[of])}
        return {"prior_weights": self._prior_digests[of]} | ({"solver_steps": max(steps)} if steps else {})

    def sampling(self, of: str) -> Mapping[str, object]:
        """The guidance of a prior's samples."""
        if of not in self._given:
            return {}
        prior = self.subject.autoencoder.priors[of]
        assert isinstance(prior, ConditionalPrior)
        return {"guidance": self._given[of].guidance} if prior.is_guided else {}

    @cached_property
    def _prior_digests(self) -> dict[str, str]:
        return {name: weights_digest(self.subject.autoencoder.priors[name]) for name in self.priors}

    @cached_property
    def _given(self) -> dict[str, Given]:
        """What each prior that knows classes is told: as many of each as in its training, drawn with the seed, and the
        same whichever priors are sampled beside it."""
        told: dict[str, Given] = {}
        for name in self.priors:
            generator = torch.Generator().manual_seed(mix_seed("given", self.request.seed))
            prior = self.subject.autoencoder.priors[name]
            if isinstance(prior, ConditionalPrior) and (drawn := prior.drawn_classes(self.request.samples, generator)):
                guidance = self.request.guidance if prior.is_guided else 1.0
                told[name] = drawn._replace(guidance=guidance)
        return told

    def labels_of(self, of: str) -> Tensor:
        """The class of each image of a pass, a place in the data's classes [N]; of a prior the class that it was told.
        None, [0], for one that is told none of the data's classes."""
        if of in self._given:
            prior, classes = self.subject.autoencoder.priors[of], self.data.classes
            assert isinstance(prior, ConditionalPrior)
            if not knows_classes(prior, self.data):
                return torch.zeros(0, dtype=torch.long)
            return torch.tensor([classes.index(name) for name in prior.classes])[self._given[of].labels.cpu()]
        stream = {REAL: self.reference, CODE: self.reference, OTHERS: self.others}.get(of)
        if stream is None or self.data.labels is None:
            return torch.zeros(0, dtype=torch.long)
        return self.data.labels[stream.indices].long()

    def sets(self) -> Sequence[tuple[str, int]]:
        """The split, and the samples."""
        images = (f"the {self.request.split} split of {self.data.name}", len(self.reference))
        samples = ("each sample of a prior", self.request.samples)
        return [images, samples] if self.subject.autoencoder.priors else [images]

    def refusal(self, need: Need, metrics: str) -> str:
        """Why these metrics cannot have what they need."""
        if need in ENCODED and not self.subject.autoencoder.has_encoder:
            return f"this model has no encoder; {metrics} need one"
        if need == "likelihood":
            return f"{type(self.subject.autoencoder).__name__} gives images no likelihood; {metrics}: expected a glow"
        if need == "training":
            return (
                f"{metrics} compares samples with the training images of {self.name}; leave out --data {self.data.name}"
            )
        if need == "given":
            return self._why_not_given(metrics)
        if need == "run":
            return f"the {metrics} is read from the log of a run folder; {self.name} is a file: leave out {metrics}"
        return f"{type(self.subject.autoencoder).__name__} has no parts; {metrics}: expected a patch-vae"

    def _why_not_given(self, metrics: str) -> str:
        if self.data.labels is None:
            return f"{self.data.name} has no labels; {metrics} asks a classifier of them"
        if not self._given:
            return (
                f"{self.name} has no prior that is told classes; {metrics} measures those that "
                f"genae prior {self.name} flow --given label fits"
            )
        name = next(iter(self._given))
        prior = self.subject.autoencoder.priors[name]
        assert isinstance(prior, ConditionalPrior)
        return (
            f"the {name} prior is told {', '.join(prior.classes[:3])}, which are no labels of {self.data.name}, and "
            f"{metrics} asks a classifier of its labels; leave out {metrics}, or fit a prior with --given label"
        )

    def check(self) -> None:
        """Refuse what cannot be measured. Raises `GenaeError`."""
        super().check()
        request = self.request
        expect_guidance(request.guidance)
        if request.guidance != 1 and not any(given.guidance != 1 for given in self._given.values()):
            raise GenaeError(
                f"guidance is {request.guidance:g}, and no prior of {self.name} that is sampled has guidance; it is "
                "for flow-matching that was fitted with --given"
            )
        if self.wanting("labels"):
            _ = self.lesson
        elif request.train_data or request.train_split != "train" or tuple(request.features) != ("short",):
            raise GenaeError(
                "layers and training images are chosen for metrics that learn from labels, such as 1nn; "
                f"{', '.join(metric.name for metric in self.metrics)} do not: leave them out"
            )

    @cached_property
    def lesson(self) -> Lesson:
        """What the metrics of labels learn from, and are tested on. Raises `GenaeError`."""
        names = [metric.name for metric in self.wanting("labels")]
        return lesson(names, self.data, self.reference.indices, self.request.train_data, self.request.train_split)

    @cached_property
    def layer_features(self) -> list[tuple[str, Tensor, Tensor]]:
        """Name of each layer that was chosen, its features of the images that are learnt from, and of the tested."""
        model, names = self.subject.autoencoder, self.request.features
        learnt = features_of(model, self.lesson.data, self.lesson.learn, names, "training images", self.progress)
        tested = features_of(model, self.data, self.reference.indices, names, "held-out images", self.progress)
        return list(zip(names, learnt, tested, strict=True))

    def passes(self) -> Iterator[Pass[tuple[int, Tensor]]]:
        """Held-out images through the model, and samples of every prior."""
        featured = bool(self.kept)
        count = len(self.reference)
        if self.subject.autoencoder.has_encoder and (featured or self.wanting("pairs", "codes")):
            indices = self.reference.indices
            yield Pass(
                CODE, "reconstructions", count,
                lambda part: (int(part[0]), self.data.stored(indices[part])), self._reconstructed, featured,
            )  # fmt: skip
        for prior in self.priors if featured or self.wanting("samples", "codes") else ():
            whole = featured or self.wanting("codes")
            count = self.request.samples if whole else min(FIRST, self.request.samples)
            decoded = self.request.samples if featured else FIRST if self.wanting("samples") else 0
            source, given = self.subject.autoencoder.priors[prior], self._given.get(prior)
            drawn = sample_codes(source, self.request.samples, self.request.seed, given)
            check_finite(drawn, "codes")
            yield Pass(
                prior, f"{prior} samples", count,
                partial(_numbered, drawn), partial(self._sampled, decoded), featured,
            )  # fmt: skip

    def _reconstructed(self, numbered: tuple[int, Tensor]) -> Batch:
        start, x = numbered[0], self.data.converted(sent(numbered[1], self.device))
        through = self.priors if self.wanting("pairs") else ()
        with torch.no_grad():
            codes = self.subject.autoencoder.encode(x)
            decoded = reconstructions(self.subject.autoencoder, codes, through)
        for name, x_hat in decoded.items():
            check_finite(x_hat, f"reconstructions through {name}")
        pixels = to_uint8(decoded[CODE]).cpu() if self.kept else None
        return Batch(x, decoded, pixels, codes.cpu(), start)

    def _sampled(self, decoded: int, numbered: tuple[int, Tensor]) -> Batch:
        """``decoded``: how many samples are wanted as images."""
        start, codes = numbered
        if start >= decoded:
            return Batch(codes=codes, start=start)
        with torch.no_grad():
            images = self.subject.autoencoder.decode(codes.to(self.device))
        check_finite(images, "samples")
        return Batch(pixels=to_uint8(images).cpu(), codes=codes, start=start)


def _numbered(rows: Tensor, part: Tensor) -> tuple[int, Tensor]:
    return int(part[0]), rows[part]


def knows_classes(prior: Prior, data: ImageData) -> bool:
    """Whether it is told classes that are labels of these data."""
    if not isinstance(prior, ConditionalPrior) or not prior.classes:
        return False
    return data.labels is not None and {*prior.classes} <= {*data.classes}


def offers_of(subject: Subject, data: ImageData, priors: Sequence[str] | None = None) -> frozenset[Need]:
    """What this model and these data have for metrics, where these priors are sampled; by default all."""
    model = subject.autoencoder
    sampled = model.priors.values() if priors is None else [model.priors[name] for name in priors]
    has: dict[Need, bool] = {
        "pairs": model.has_encoder,
        "features": True,
        "samples": True,
        "codes": model.has_encoder,
        "training": data.digest == subject.trained_on,
        "labels": model.has_encoder,
        "given": any(knows_classes(prior, data) for prior in sampled),
        "parts": model.has_encoder and model.parts is not None,
        "paths": True,
        "likelihood": model.has_likelihood,
        "run": subject.folder is not None,
    }
    return frozenset(need for need, there in has.items() if there)
