"""Sets of images that can be carried to one another, and the maps between their codes."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genae.data.sources import ImageData
from genae.errors import GenaeError, nearest
from genae.latent.optimal_maps import MAPS, Map, Spread, spread_of
from genae.metrics.data_classifier import classifier_of, classifier_path
from genae.metrics.features import FeatureNetwork
from genae.model import Model
from genae.progress import Progress, silent
from genae.rows import Selected
from genae.training.prior_fit import NOT


class ImageSet(NamedTuple):
    """Some images of a data set."""

    data: ImageData
    has: Tensor
    """[N] booleans: which of its images."""

    def indices(self, split: str) -> Tensor:
        """Those of a split, by their numbers in the data."""
        there = self.data.split(split)
        return there[self.has[there]]


class Sets:
    """Sets by name: the classes and attributes of a run's data (``smiling``, ``not smiling``), and other sources that
    were added; what was learned of their codes is remembered.

    ``own`` gives the run's data, and ``run`` is its folder, where their codes are kept.
    """

    def __init__(self, model: Model, own: Callable[[], ImageData], run: Path | None = None) -> None:
        self._model = model
        self._own = own
        self._run = run
        self._others: dict[str, ImageSet] = {}
        self._spreads: dict[str, Spread] = {}
        self._maps: dict[tuple[str, str, str], Map] = {}
        self._classifier: FeatureNetwork | None = None

    def names(self) -> list[str]:
        """Of all sets of the run's data in which both some and not all training images are."""
        data = self._own()
        train = data.split("train")
        counts = data.directions().counts(train).items()
        names = [name for name, count in counts if 0 < count < len(train)]
        return [*names, *(NOT + name for name in names if name in data.attributes)]

    def add(self, name: str, data: ImageData) -> None:
        """Know all images of another source by a name."""
        self._others[name] = ImageSet(data, torch.ones(len(data), dtype=torch.bool))

    def __contains__(self, name: str) -> bool:
        """Whether the run's data have such a set, or a source was added by this name."""
        try:
            return name in self._others or name.removeprefix(NOT) in self._own().directions()
        except GenaeError:  # a run whose data are gone
            return False

    def __getitem__(self, name: str) -> ImageSet:
        """Raises `GenaeError` for an unknown name."""
        if name in self._others:
            return self._others[name]
        data = self._own()
        named = data.directions()
        if name in named:
            return ImageSet(data, named[name])
        if name.removeprefix(NOT) in named:
            return ImageSet(data, ~named[name.removeprefix(NOT)])
        if not named:
            raise GenaeError(f"{data.name} has neither classes nor attributes; give a table with --attributes FILE")
        raise GenaeError(f"{data.name} has no class or attribute {name!r}; {nearest(name, self.names())}")

    def spread(self, name: str, covariance: bool = False) -> Spread:
        """Of the codes of a set's training images. Raises `GenaeError`."""
        spread = self._spreads.get(name)
        if spread is None or (covariance and spread.covariance is None):
            data, has = self[name]
            codes = self._model.training_codes(data, self._run if data.digest == self._model.trained_on else None)
            own = Selected(codes, has[data.split("train")].nonzero()[:, 0])
            self._spreads[name] = spread = spread_of(own, name, covariance)
        return spread

    def map(self, source: str, target: str, by: str, prior: str = "") -> Map:
        """The map of codes from one set to another that ``by`` names, as in `Model.transport`. Raises `GenaeError`."""
        if by == "flow":
            others = [name for name in (source, target) if name in self._others]
            if others and not prior and not self.has_flow(source, target):
                raise GenaeError(
                    f"no flow of {self._model.name} knows {others[0]!r}, which is not of its data: put both into one "
                    "FOLDER, a sub-folder each, and fit one with genae prior RUN flow --given label --data FOLDER"
                )
            return self._model.flow_map(self._class_of(source), self._class_of(target), prior or None)
        if (source, target, by) not in self._maps:
            of_source, of_target = (self.spread(name, by == "gaussian") for name in (source, target))
            self._maps[source, target, by] = MAPS[by](of_source, of_target)
        return self._maps[source, target, by]

    def are_learned(self, source: str, target: str, maps: Iterable[str]) -> bool:
        """Whether `map` by each of these, and the source's `spread`, are there already."""
        return source in self._spreads and all(by == "flow" or (source, target, by) in self._maps for by in maps)

    def has_flow(self, source: str, target: str) -> bool:
        """Whether a prior knows both as classes."""
        return bool(self._model.flows_between(self._class_of(source), self._class_of(target)))

    def classifier(self, target: str, progress: Progress | None = None) -> FeatureNetwork | None:
        """What recognises the classes of the run's data, if the target is one; with ``progress`` it is trained where it
        is not yet, which takes a while."""
        data = None if target in self._others else self._own()
        if data is None or target not in data.classes:
            return None
        if self._classifier is None and (progress or classifier_path(data).exists()):
            self._classifier = classifier_of(data, self._model.device, progress or silent)
        return self._classifier

    def _class_of(self, name: str) -> str:
        """What a prior calls a set: another source by the name of its folder."""
        return Path(name).name if name in self._others else name
