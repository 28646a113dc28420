"""A request -> pictures and numbers: what the page and the command line show. No web code; errors are values."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from genae.data.sources import SPLITS, ImageData
from genae.errors import GenaeError, nearest
from genae.latent.directions import DIRECTIONS, direction
from genae.latent.mixing import BANDS
from genae.model import Model
from genae.operations.anomaly import Detector
from genae.operations.answers import Answer, Known
from genae.operations.operations import Operation, enough, operation
from genae.storage import load_tensors, save_tensors

REMEMBERED = 100_000_000
"""Bytes of codes and reconstructions of pictures that are kept."""
_NAME = re.compile(r"[\w][\w .()+-]{0,60}")


class Renderer:
    """Answers requests for one model: the same request, the same answer.

    ``run`` is its folder, where directions are saved and training codes are kept; ``open_data`` opens the images that
    directions are learned from, when one is first asked for; ``most`` limits the images of one answer.
    """

    def __init__(
        self,
        model: Model,
        run: Path | str | None = None,
        open_data: Callable[[], ImageData] | None = None,
        most: int | None = None,
    ) -> None:
        self.model = model
        self.most = most
        self.run = Path(run).expanduser() if run and Path(run).expanduser().is_dir() else None
        self._open_data = open_data or model.open_data
        self._data: ImageData | None = None
        self._seen: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._bytes = 0
        self._directions: dict[tuple[str, str], Tensor] = {}
        self._detector: Detector | None = None
        self._known = Known(model, self.encode, self.decoded, self.direction, self.detector)

    @property
    def data(self) -> ImageData:
        """The run's own images. Raises `GenaeError` where they cannot be opened."""
        if self._data is None:
            self._data = self._open_data()
        return self._data

    def answer(self, name: str, pictures: Tensor, settings: Mapping[str, Any]) -> Answer:
        """Images and numbers for pictures [N, C, H, W] in [-1, 1]; ``error`` says what the user can mend."""
        try:
            return self._asked(name, settings, len(pictures)).answer(self._known, pictures)
        except GenaeError as error:
            return Answer(error=str(error))

    def figure(self, name: str, pictures: Tensor, settings: Mapping[str, Any]) -> Image.Image:
        """The command line's figure of the same. Raises `GenaeError`."""
        return self._asked(name, settings, len(pictures)).figure(self._known, pictures)

    def frames(self, pictures: Tensor, settings: Mapping[str, Any]) -> Tensor:
        """Images [K, C, H, W] of an animated interpolation. Raises `GenaeError`."""
        asked = self._asked("interpolate", settings, len(pictures))
        return asked.frames(self._known, pictures)  # type: ignore[union-attr]

    def _asked(self, name: str, settings: Mapping[str, Any], pictures: int) -> Operation:
        return enough(operation(name, settings, self.most), pictures)

    def encode(self, pictures: Tensor, space: str) -> Tensor:
        """Codes, or a prior's z, of pictures; those that were seen before are remembered."""
        return self._remembering(pictures, f"codes {space}", lambda new: self.model.encode(new, space))

    def decoded(self, pictures: Tensor) -> Tensor:
        """Reconstructions of pictures, likewise."""
        return self._remembering(pictures, "images", lambda new: self.model.decode(self.encode(new, "code")))

    def _remembering(self, pictures: Tensor, what: str, make: Callable[[Tensor], Tensor]) -> Tensor:
        keys = [(hashlib.sha256(p.numpy().tobytes()).hexdigest(), what) for p in pictures.contiguous()]
        new = [i for i, key in enumerate(keys) if key not in self._seen]
        for i, made in zip(new, make(pictures[new]) if new else (), strict=True):
            if keys[i] not in self._seen:  # a picture may be there twice
                self._seen[keys[i]] = made.clone()
                self._bytes += made.nbytes
        found = torch.stack([self._seen[key] for key in keys]) if keys else make(pictures)
        for key in keys:
            self._seen.move_to_end(key)
        while self._bytes > REMEMBERED:
            self._bytes -= self._seen.popitem(last=False)[1].nbytes
        return found

    def detector(self) -> Detector:
        """What knows the training images: learned when it is first asked for. Raises `GenaeError`."""
        if self._detector is None:
            self._detector = Detector.learn(self.model, self.data, self.run)
        return self._detector

    def is_ready(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Whether an operation finds learned what it needs, so that it will be quick."""
        if name == "edit" and isinstance(settings, Mapping) and isinstance(settings.get("amounts"), Mapping):
            kind = str(settings.get("direction", "mean"))
            return all((attribute, kind) in self._directions for attribute in settings["amounts"])
        return name != "anomaly" or self._detector is not None

    def attributes(self) -> dict[str, Tensor]:
        """Every named boolean [N] of the run's data that both some and not all training images have."""
        train = self.data.split("train")
        named = self.data.directions()
        return {name: has for name, has in named.items() if has[train].any() and not has[train].all()}

    def saved_directions(self) -> list[str]:
        """Names of the directions that were saved to the run."""
        folder = self.run / "directions" if self.run else None
        return sorted(f.stem for f in folder.glob("*.safetensors")) if folder and folder.is_dir() else []

    def direction(self, name: str, kind: str = "mean") -> Tensor:
        """Direction [D] of a name: one that was saved to the run, or of an attribute of its data, learned from the
        training images. ``kind`` is of `DIRECTIONS`. Raises `GenaeError`."""
        if (name, kind) in self._directions:
            return self._directions[name, kind]
        if kind not in DIRECTIONS:
            raise GenaeError(f"direction is {kind!r}; {nearest(kind, DIRECTIONS)}")
        if self.run and name in self.saved_directions():
            found = self._saved(name)
        else:
            found = self.learned(self.data, name, kind)
        self._directions[name, kind] = found
        return found

    def learned(self, data: ImageData, name: str, kind: str) -> Tensor:
        """Direction [D] of an attribute of any data, from its training images. Raises `GenaeError`."""
        if not self.model.spaces:
            raise GenaeError(f"{self.model.name} ({self.model.config.model}) has no encoder: it has no codes to move")
        named = data.directions()
        if name not in named:
            names = [*self.saved_directions(), *named]
            if not names:
                raise GenaeError(f"{data.name} has neither labels nor attributes; give a table with --attributes FILE")
            raise GenaeError(f"{data.name} has no attribute {name!r}; {nearest(name, names)}")
        learn = data.split("train")
        codes = self.model.training_codes(data, self.run if data.digest == self.model.trained_on else None)
        return DIRECTIONS[kind](codes, named[name][learn], name)

    def save_direction(self, name: str, with_it: Tensor, without: Tensor) -> Path:
        """Learn a direction from two piles of pictures and keep it in the run. Raises `GenaeError`."""
        if self.run is None:
            raise GenaeError("directions are saved to a run folder; this model was opened from a weights file")
        if not _NAME.fullmatch(name):
            raise GenaeError(f"{name!r} cannot be the name of a direction; expected letters, digits, spaces and -")
        if name in self.saved_directions() or name in self._attribute_names():
            raise GenaeError(f"there is a direction {name!r} already; choose another name")
        if not (len(with_it) and len(without)):
            raise GenaeError(f"piles of {len(with_it)} and {len(without)} pictures; expected at least one in each")
        codes = torch.cat([self.encode(pile, "code") for pile in (with_it, without)])
        has = torch.arange(len(codes)) < len(with_it)
        found = direction(codes, has, name)
        if not float(found.norm()):
            raise GenaeError("the two piles have the same mean code: there is no direction between them")
        path = self.run / "directions" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        about = {"weights": self.model.digest, "pictures": f"{len(with_it)} and {len(without)}"}
        save_tensors(path, {"direction": found}, about)
        return path

    def _attribute_names(self) -> list[str]:
        try:
            return list(self.data.directions())
        except GenaeError:  # a run whose data are gone: nothing of theirs can be meant
            return []

    def _saved(self, name: str) -> Tensor:
        path = self.run / "directions" / f"{name}.safetensors"  # type: ignore[operator]
        tensors, about = load_tensors(path)
        if about.get("weights") != self.model.digest:
            raise GenaeError(f"{path} was learned with other weights of this run; save the direction again")
        return tensors["direction"]


def command(
    run: str,
    name: str,
    settings: Mapping[str, Any],
    pictures: int,
    data_root: str | None = None,
    animation: bool = False,
) -> list[str]:
    """The command line that writes the figure (or animation) of ``pictures`` pictures, in their order in pictures.zip.

    Raises `GenaeError`.
    """
    asked = enough(operation(name, {**settings, "square": False} if animation else settings), pictures)
    verb, *flags = asked.command(pictures)
    source = ["--data", "pictures.zip"] if pictures else []
    root = ["--data-root", data_root] if data_root and verb in ("edit", "anomaly") else []
    return ["genae", verb, run, *source, *root, *flags, "--out", f"{name}.{'gif' if animation else 'png'}"]


def described(renderer: Renderer, run: str) -> dict[str, Any]:
    """What the page has to know of the model."""
    model = renderer.model
    why, attributes, splits = "", [], {}
    try:
        attributes = list(renderer.attributes())
        splits = {name: len(renderer.data.split(name)) for name in SPLITS}
    except GenaeError as error:
        why = str(error)
    highest = 4 * 2 ** ((model.layers - 1) // 2)
    parts = int(model.parts(torch.zeros(1, *model.image_shape))[1].shape[1]) if model.has_parts else 0
    return {
        "name": model.name, "run": run, "model": model.config.model, "image_shape": model.image_shape,
        "spaces": model.spaces, "priors": model.priors, "attributes": attributes, "splits": splits, "no_data": why,
        "saved": renderer.saved_directions(), "can_save": renderer.run is not None, "parts": parts,
        "bands": [band for band, (low, _) in BANDS.items() if low <= highest] if model.layers > 1 else [],
    }  # fmt: skip
