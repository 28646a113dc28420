"""A trained model at work: what operations remember and learn between one request and the next."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from genae.data.sources import SPLITS, ImageData
from genae.errors import GenaeError, nearest
from genae.latent.directions import DIRECTIONS, direction
from genae.latent.mixing import bands_of
from genae.model import Model
from genae.operations.atlas import Atlas
from genae.operations.detector import Detector
from genae.operations.sets import Sets
from genae.storage import is_file_name, load_tensors, save_tensors

REMEMBERED = 100_000_000
"""Bytes of codes and reconstructions of pictures that are kept."""
MOST_ATLASES = 4
_NAME = re.compile(r"[\w][\w .()+-]{0,60}")


class Session:
    """One model, the codes and reconstructions of pictures that it has seen, the directions and the detectors that it
    has learned, and its run's data.

    ``run`` is its folder, where directions are saved and training codes are kept; ``open_data`` opens the images that
    directions are learned from, when one is first needed.
    """

    def __init__(
        self, model: Model, run: Path | str | None = None, open_data: Callable[[], ImageData] | None = None
    ) -> None:
        self.model = model
        self.run = Path(run).expanduser() if run and Path(run).expanduser().is_dir() else None
        self._open_data = open_data or model.open_data
        self._data: ImageData | None = None
        self._memory = Memory()
        self._directions: dict[tuple[str, str], Tensor] = {}
        self._detectors: dict[str, Detector] = {}
        self._atlases: OrderedDict[tuple[str, int, str], Atlas] = OrderedDict()
        self.sets = Sets(model, lambda: self.data, self.run)
        """Classes and attributes of the run's data, and other sets, that can be carried to one another."""

    @property
    def data(self) -> ImageData:
        """The run's own images. Raises `GenaeError` where they cannot be opened."""
        if self._data is None:
            self._data = self._open_data()
        return self._data

    def encode(self, pictures: Tensor, space: str) -> Tensor:
        """Codes, or a prior's z, of pictures; those that were seen before are remembered."""
        return self._memory.recall(pictures, f"codes {space}", lambda new: self.model.encode(new, space))

    def decoded(self, pictures: Tensor) -> Tensor:
        """Reconstructions of pictures, likewise."""
        return self._memory.recall(pictures, "images", lambda new: self.model.decode(self.encode(new, "code")))

    def detector(self, likelihood: str = "") -> Detector:
        """What knows the training images: learned when it is first needed. Raises `GenaeError`."""
        if likelihood not in self._detectors:
            self._detectors[likelihood] = Detector.learn(self.model, self.data, self.run, likelihood)
        return self._detectors[likelihood]

    def knows_detector(self, likelihood: str) -> bool:
        """Whether `detector` is learned."""
        return likelihood in self._detectors

    def atlas(self, split: str, count: int, method: str) -> Atlas:
        """The map of some of the run's images; the last few are kept. Raises `GenaeError`."""
        key = (split, count, method)
        if key not in self._atlases:
            self._atlases[key] = Atlas(self.model, self.data, *key)
        while len(self._atlases) > MOST_ATLASES:
            self._atlases.popitem(last=False)
        return self._atlases[key]

    def has_atlas(self, split: str, count: int, method: str) -> bool:
        """Whether `atlas` is there already."""
        return (split, count, method) in self._atlases

    def attributes(self) -> list[str]:
        """The name of everything in the run's data that both some and not all training images have."""
        train = self.data.split("train")
        return [name for name, count in self.data.directions().counts(train).items() if 0 < count < len(train)]

    def saved_directions(self) -> list[str]:
        """Names of the directions that were saved to the run."""
        folder = self.run / "directions" if self.run else None
        return sorted(f.stem for f in folder.glob("*.safetensors")) if folder and folder.is_dir() else []

    def direction(self, name: str, kind: str = "mean") -> Tensor:
        """Direction [D] of a name: one that was saved to the run, or of an attribute of its data, learned from the
        training images. ``kind`` is of `DIRECTIONS`. Raises `GenaeError`."""
        if (name, kind) not in self._directions:
            if kind not in DIRECTIONS:
                raise GenaeError(f"direction is {kind!r}; {nearest(kind, DIRECTIONS)}")
            saved = self._saved_direction(name)
            self._directions[name, kind] = self.learn_direction(self.data, name, kind) if saved is None else saved
        return self._directions[name, kind]

    def knows_direction(self, name: str, kind: str) -> bool:
        """Whether `direction` is learned."""
        return (name, kind) in self._directions

    def learn_direction(self, data: ImageData, name: str, kind: str) -> Tensor:
        """Direction [D] of an attribute of any data, from its training images. Raises `GenaeError`."""
        if not self.model.spaces:
            raise GenaeError(f"{self.model.name} ({self.model.config.model}) has no encoder: it has no codes to move")
        named = data.directions()
        if name not in named:
            names = [*self.saved_directions(), *named]
            if not names:
                raise GenaeError(f"{data.name} has neither labels nor attributes; give a table with --attributes FILE")
            raise GenaeError(f"{data.name} has no attribute {name!r}; {nearest(name, names)}")
        train = data.split("train")
        codes = self.model.training_codes(data, self.run if data.digest == self.model.trained_on else None)
        return DIRECTIONS[kind](codes, named[name][train], name)

    def save_direction(self, name: str, with_it: Tensor, without: Tensor) -> Path:
        """Learn a direction from two piles of pictures and keep it in the run. Raises `GenaeError`."""
        if self.run is None:
            raise GenaeError("directions are saved to a run folder; this model was opened from a weights file")
        if not _NAME.fullmatch(name):
            raise GenaeError(f"{name!r} cannot be the name of a direction; expected letters, digits, spaces and -")
        if not is_file_name(name):
            raise GenaeError(f"no file can be called {name!r} on Windows; choose another name")
        if name in self.saved_directions() or name in self._attribute_names():
            raise GenaeError(f"there is a direction {name!r} already; choose another name")
        if not (len(with_it) and len(without)):
            raise GenaeError(f"piles of {len(with_it)} and {len(without)} pictures; expected at least one in each")
        codes = torch.cat([self.encode(pile, "code") for pile in (with_it, without)])
        has = torch.arange(len(codes)) < len(with_it)
        learned = direction(codes, has, name)
        if not float(learned.norm()):
            raise GenaeError("the two piles have the same mean code: there is no direction between them")
        path = self.run / "directions" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        about = {"weights": self.model.digest, "pictures": f"{len(with_it)} and {len(without)}"}
        save_tensors(path, {"direction": learned}, about)
        return path

    def _attribute_names(self) -> list[str]:
        try:
            return list(self.data.directions())
        except GenaeError:  # a run whose data are gone: nothing of theirs can be meant
            return []

    def _saved_direction(self, name: str) -> Tensor | None:
        if self.run is None or name not in self.saved_directions():
            return None
        path = self.run / "directions" / f"{name}.safetensors"
        tensors, about = load_tensors(path)
        if about.get("weights") != self.model.digest:
            raise GenaeError(f"{path} was learned with other weights of this run; save the direction again")
        return tensors["direction"]


class Memory:
    """What was computed of single pictures; when it takes more than `REMEMBERED` bytes, what was used last stays."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def recall(self, pictures: Tensor, what: str, make: Callable[[Tensor], Tensor]) -> Tensor:
        """``make`` of pictures [N, ...], a row for each; only of those that are new is it computed."""
        keys = [(hashlib.sha256(p.numpy().tobytes()).hexdigest(), what) for p in pictures.contiguous()]
        new = [i for i, key in enumerate(keys) if key not in self._kept]
        for i, made in zip(new, make(pictures[new]) if new else (), strict=True):
            if keys[i] not in self._kept:  # a picture may be there twice
                self._kept[keys[i]] = made.clone()
                self._bytes += made.nbytes
        rows = torch.stack([self._kept[key] for key in keys]) if keys else make(pictures)
        for key in keys:
            self._kept.move_to_end(key)
        while self._bytes > REMEMBERED:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return rows


def described(session: Session, run: str) -> dict[str, object]:
    """What the page has to know of the model."""
    model = session.model
    why, attributes, sets, splits = "", list[str](), list[str](), {}
    try:
        attributes, sets = session.attributes(), session.sets.names()
        splits = {name: len(session.data.split(name)) for name in SPLITS}
    except GenaeError as error:
        why = str(error)
    return {
        "name": model.name, "run": run, "model": model.config.model, "image_shape": model.image_shape,
        "spaces": model.spaces, "priors": model.priors, "densities": model.densities,
        "classes": {prior: model.classes(prior) for prior in model.priors},
        "guided": [prior for prior in model.priors if model.is_guided(prior)],
        "attributes": attributes, "sets": sets, "splits": splits, "no_data": why,
        "saved": session.saved_directions(), "can_save": session.run is not None,
        "parts": model.part_count if model.has_parts else 0, "bands": bands_of(model.layers),
    }  # fmt: skip
