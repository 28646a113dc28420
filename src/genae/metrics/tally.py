"""What is kept of a stream of images under one feature network; the reference's is cached."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from genae import distributed
from genae.data.sampler import mix_seed
from genae.data.stream import ImageStream
from genae.errors import GenaeError
from genae.metrics.class_scores import SplitScores
from genae.metrics.features import FeatureNetwork, Observed
from genae.metrics.frechet import Moments
from genae.metrics.metric import BATCH
from genae.progress import Progress
from genae.storage import cache_folder, load_tensors, save_tensors
from genae.version import VERSION


class Tally:
    """Sums over a stream of ``count`` images: ``keeps`` names what later metrics need of it.

    ``moments``: mean and covariance; ``rows``: every feature, for metrics that compare images one by one; ``scores``:
    inception scores, over one split and, from 1,000 images on, over ten; ``predictions``: every feature, and the class
    that a classifier gives the image.
    """

    def __init__(self, count: int, keeps: Iterable[str], seed: int) -> None:
        self.count = count
        self.keeps = frozenset(keeps)
        self.moments = Moments()
        self.scores = {splits: SplitScores(count, splits, seed) for splits in (10, 1) if splits == 1 or count >= 1000}
        self._rows: Tensor | None = None
        self._predictions: list[Tensor] = []
        self._seen = 0

    def add(self, observed: Observed) -> None:
        """Take the next batch."""
        if "moments" in self.keeps:
            self.moments.add(observed.features)
        if self._keeps_rows:
            if self._rows is None:
                self._rows = observed.features.new_empty(self.count, *observed.features.shape[1:])
            self._rows[self._seen : self._seen + len(observed.features)] = observed.features
            self._seen += len(observed.features)
        if "scores" in self.keeps and observed.probabilities is not None:
            for scores in self.scores.values():
                scores.add(observed.probabilities)
        if "predictions" in self.keeps and observed.probabilities is not None:
            self._predictions.append(observed.probabilities.argmax(1))

    def finish(self) -> Self:
        """After the last batch."""
        if "moments" in self.keeps:
            self.moments.finish()
        return self

    @property
    def rows(self) -> Tensor:
        """Every feature, [N, D]: the one thing here that grows with the number of images, in memory once."""
        assert self._rows is not None
        return self._rows

    @property
    def predictions(self) -> Tensor:
        """The likeliest class of every image, [N]."""
        return torch.cat(self._predictions)

    @property
    def _keeps_rows(self) -> bool:
        return not self.keeps.isdisjoint({"rows", "predictions"})

    def save(self, key: str) -> None:
        """Keep it in the cache, if it can be written: a full disk must not end an evaluation."""
        tensors: dict[str, Tensor] = {}
        if "moments" in self.keeps:
            tensors |= {f"moments.{name}": value for name, value in self.moments.state().items()}
        if self._keeps_rows:
            tensors["rows"] = self.rows
        if "predictions" in self.keeps:
            tensors["predictions"] = self.predictions
        if "scores" in self.keeps:
            for splits, scores in self.scores.items():
                if scores.marginals is not None:
                    tensors |= {
                        f"scores{splits}.marginals": scores.marginals,
                        f"scores{splits}.negentropies": scores.negentropies,
                    }
        try:
            _path(key).parent.mkdir(parents=True, exist_ok=True)
            save_tensors(_path(key), tensors, {"keeps": ",".join(sorted(self.keeps))})
        except OSError:
            return

    @staticmethod
    def kept(key: str) -> set[str]:
        """What the cache has under this key; nothing where it has no readable file."""
        try:
            return set(load_tensors(_path(key))[1]["keeps"].split(","))
        except (GenaeError, KeyError):
            return set()

    @classmethod
    def cached(cls, key: str, count: int, keeps: Iterable[str], seed: int) -> Self | None:
        """What `save` wrote under this key, if it has everything that is needed."""
        tally = cls(count, keeps, seed)
        try:
            tensors, metadata = load_tensors(_path(key))
        except GenaeError:  # none, or one cut short: it is made again
            return None
        if not tally.keeps <= set(metadata["keeps"].split(",")):
            return None
        if "moments" in tally.keeps:
            state = {name[8:]: value for name, value in tensors.items() if name.startswith("moments.")}
            tally.moments = Moments.from_state(state)
        if tally._keeps_rows:
            tally._rows = tensors["rows"]
        if "predictions" in tally.keeps:
            tally._predictions = [tensors["predictions"]]
        for splits, scores in tally.scores.items():
            if f"scores{splits}.marginals" in tensors:
                scores.marginals = tensors[f"scores{splits}.marginals"]
                scores.negentropies = tensors[f"scores{splits}.negentropies"]
        return tally


def cached_tallies(
    stream: ImageStream, watched: Sequence[tuple[FeatureNetwork, set[str]]], seed: int, progress: Progress
) -> list[Tally]:
    """Of real images, what is to be kept for each network; from the cache where it is there, otherwise put there."""
    what = [
        (stream.digest, stream.indices.tolist(), network.protocol, seed, VERSION, torch.__version__)
        for network, _ in watched
    ]
    keys = [f"{mix_seed(repr(each)):016x}" for each in what]
    tallies = [
        distributed.by_writer(partial(Tally.cached, key, len(stream), keeps, seed))
        for key, (_, keeps) in zip(keys, watched, strict=True)
    ]
    # What the cache has already is made again with what it lacks: the file that replaces it loses nothing.
    missing = {
        number: Tally(len(stream), watched[number][1] | Tally.kept(keys[number]), seed)
        for number, tally in enumerate(tallies)
        if tally is None
    }

    def look(pixels: Tensor) -> list[Observed]:
        return [watched[number][0](pixels) for number in missing]

    done = 0
    for observed in distributed.in_order(stream.indices.split(BATCH) if missing else (), stream.read, look):
        done = min(done + BATCH, len(stream))
        progress(f"features of {stream.name}", done, len(stream))
        for tally, features in zip(missing.values(), observed, strict=True):
            tally.add(features)
    for number, tally in missing.items():
        tallies[number] = tally.finish()
        if distributed.rank() == 0:
            tally.save(keys[number])
    return [tally for tally in tallies if tally is not None]


def _path(key: str) -> Path:
    return cache_folder() / "references" / f"{key}.safetensors"
