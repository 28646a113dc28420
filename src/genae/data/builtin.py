"""Data sets by name: two that need no network, and torchvision's."""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor

from genae.data.idx import find_idx, read_idx
from genae.data.raw import Raw
from genae.data.store import MemoryStore
from genae.errors import GenaeError
from genae.storage import cache_folder


def digits() -> Raw:
    """1,797 real handwritten digits, 8 x 8, that scikit-learn ships (Alpaydin and Kaynak 1998, UCI, CC BY 4.0)."""
    package = find_spec("sklearn")
    folders = package.submodule_search_locations if package else None
    path = Path((folders or ["."])[0]) / "datasets" / "data" / "digits.csv.gz"
    if path.exists():  # without scikit-learn's import, which takes as long as all the rest
        values = np.loadtxt(path, delimiter=",")
        images, target = values[:, :-1].reshape(-1, 8, 8), values[:, -1]
    else:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images, target = bunch.images, bunch.target
    pixels = torch.from_numpy(np.rint(images * (255 / 16)).astype(np.uint8))[:, None]
    labels = torch.from_numpy(target.astype(np.int64))
    return Raw(
        MemoryStore(pixels), labels, tuple("0123456789"), notes=("1,797 handwritten digits of scikit-learn, CC BY 4.0",)
    )


class _Shapes(NamedTuple):
    """What is drawn in `shapes`, a row for each image."""

    kind: np.ndarray
    """0, 1, 2: circle, square, triangle."""
    radius: np.ndarray
    centre: np.ndarray
    warm: np.ndarray
    dark: np.ndarray
    angle: np.ndarray
    colour: np.ndarray
    ground: np.ndarray

    @classmethod
    def random(cls, count: int) -> Self:
        """Always the same ones."""
        rng = np.random.default_rng(0)
        kind = rng.integers(0, 3, count)
        radius = rng.uniform(0.12, 0.32, count)
        centre = np.stack([rng.uniform(0.36, 0.64, count), rng.uniform(0.36, 0.64, count)], 1)
        warm, dark = rng.integers(0, 2, count), rng.integers(0, 2, count)
        angle = rng.uniform(-math.pi / 8, math.pi / 8, count)
        cool_colour, warm_colour = (
            rng.uniform([20, 90, 160], [90, 180, 250], (count, 3)),
            rng.uniform([190, 50, 20], [255, 150, 80], (count, 3)),
        )
        colour = np.where(warm[:, None] == 1, warm_colour, cool_colour)
        ground = np.where(dark == 1, rng.uniform(15, 60, count), rng.uniform(190, 240, count))
        return cls(kind, radius, centre, warm, dark, angle, colour, ground)

    def covers(self, side: int) -> Iterator[np.ndarray]:
        """Of every image, how much of each pixel the shape covers, [side, side]."""
        grid = (np.arange(side) + 0.5) / side
        for kind, radius, centre, angle in zip(self.kind, self.radius, self.centre, self.angle, strict=True):
            x, y = grid[None, :] - centre[0], grid[:, None] - centre[1]
            u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            # Signed distances, negative inside: circle, square, triangle of about equal area.
            distance = (
                np.hypot(u, v) - radius,
                np.maximum(abs(u), abs(v)) - 0.886 * radius,
                np.maximum(v - 0.6 * radius, 0.866 * abs(u) - 0.5 * v - 0.7 * radius),
            )[kind]
            yield np.clip(0.5 - distance * side, 0, 1)  # one pixel of soft edge


SHAPES = ("circle", "square", "triangle")


def shapes(count: int = 4096, side: int = 64) -> Raw:
    """Procedural colour images with known attributes: one shape of random size, place and colour on a plain ground."""
    drawn = _Shapes.random(count)
    pixels = np.empty((count, 3, side, side), np.uint8)
    for i, cover in enumerate(drawn.covers(side)):
        pixels[i] = np.rint(drawn.ground[i] + cover * (drawn.colour[i][:, None, None] - drawn.ground[i]))
    attributes = {
        "large": torch.from_numpy(drawn.radius > 0.22),
        "warm": torch.from_numpy(drawn.warm == 1),
        "dark ground": torch.from_numpy(drawn.dark == 1),
        "left": torch.from_numpy(drawn.centre[:, 0] < 0.5),
        "high": torch.from_numpy(drawn.centre[:, 1] < 0.5),
    }
    return Raw(
        MemoryStore(torch.from_numpy(pixels)),
        torch.from_numpy(drawn.kind.astype(np.int64)),
        SHAPES,
        attributes=attributes,
        notes=(f"{count} procedural images with attributes {', '.join(attributes)}",),
    )


def shape_places(cells: int, count: int = 4096) -> Tensor:
    """Where what is drawn in `shapes` is: the share of every cell of a grid that each kind covers [count, 3, h, h].

    The order is that of the images; kinds are those of `SHAPES`. Ground truth for models that find parts.
    """
    drawn, side = _Shapes.random(count), 64
    places = torch.zeros(count, len(SHAPES), cells, cells)
    for i, cover in enumerate(drawn.covers(side)):
        places[i, drawn.kind[i]] = F.adaptive_avg_pool2d(torch.from_numpy(cover)[None].float(), cells)[0]
    return places


def _mnist_like(name: str, classes: tuple[str, ...]) -> Callable[[Path | None], Raw]:
    def load_from(root: Path | None) -> Raw:
        try:
            files = find_idx(root or _downloads(), name)
        except GenaeError:
            if root:
                raise
            import torchvision

            data_set = {"mnist": torchvision.datasets.MNIST, "fashion-mnist": torchvision.datasets.FashionMNIST}[name]
            _download(name, lambda: data_set(str(_downloads()), download=True))
            files = find_idx(_downloads(), name)
        train, train_labels, test, test_labels = read_idx(files)
        return _official(torch.cat([train, test])[:, None], torch.cat([train_labels, test_labels]), len(train), classes)

    return load_from


def _writers(same: bool) -> Callable[[Path | None], Raw]:
    """The two protocols of ALAE's Table 2: training and test digits by the same writers, or by different ones."""

    def load_from(root: Path | None) -> Raw:
        raw = _DOWNLOADED["mnist"](root)
        train, test = raw.splits["train"], raw.splits["test"]
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
        held_out = train[order[: len(train) // 6]].sort().values
        if same:
            splits = {"train": train[order[len(held_out) :]].sort().values, "test": held_out, "validation": test}
            note = "train and test are parts of the official training images; validation is the official test images"
        else:
            splits = {"train": train, "test": test, "validation": held_out}
            note = "train is all official training images, of which validation is a part"
        return replace(raw, splits=splits, notes=(*raw.notes, note))

    return load_from


def _cifar(name: str) -> Callable[[Path | None], Raw]:
    def load_from(root: Path | None) -> Raw:
        import torchvision

        data_set = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[name]
        folder = _holding(data_set.base_folder, root or _downloads())
        try:
            parts = [data_set(str(folder), train=train) for train in (True, False)]
        except RuntimeError:  # torchvision's word for: not there, or damaged
            if root:
                raise GenaeError(
                    f"{name} is not below {root}: looked for a complete folder {data_set.base_folder}; correct "
                    "--data-root, or leave it out to download the data set"
                ) from None
            _download(name, lambda: data_set(str(folder), download=True))
            parts = [data_set(str(folder), train=train) for train in (True, False)]
        pixels = torch.from_numpy(np.concatenate([part.data for part in parts])).permute(0, 3, 1, 2).contiguous()
        labels = torch.tensor([target for part in parts for target in part.targets])
        return _official(pixels, labels, len(parts[0].data), tuple(parts[0].classes))

    return load_from


def _holding(folder: str, root: Path) -> Path:
    """The place at or below ``root`` that holds ``folder``; ``root`` itself where there is none."""
    if root.name == folder:
        return root.parent
    return min((path.parent for path in root.rglob(folder)), key=lambda path: (len(path.parts), path), default=root)


def _official(pixels: Tensor, labels: Tensor, train: int, classes: tuple[str, ...]) -> Raw:
    order = torch.arange(len(pixels))
    splits = {"train": order[:train], "test": order[train:]}
    return Raw(
        MemoryStore(pixels),
        labels.long(),
        classes,
        splits,
        notes=(f"{train} official training and {len(pixels) - train} test images",),
    )


def _downloads() -> Path:
    return cache_folder() / "data"


def _download(name: str, fetch: Callable[[], object]) -> None:
    """Fetch a data set into genae's cache, one process at a time; a user's own folders are never written to."""
    root = _downloads()
    lock = FileLock(root / ".lock")
    new = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with lock:  # whoever waited for it finds the files there
            fetch()
    except Exception as error:  # whatever torchvision and the network raise
        with suppress(OSError):
            os.unlink(lock.lock_file)
        if new:
            _remove_empty(new[-1])
        raise GenaeError(
            f"{name} is not in {root} and could not be downloaded ({' '.join(str(error).split())}); "
            "name a folder that holds a copy with --data-root"
        ) from None


def _remove_empty(folder: Path) -> None:
    """Remove the empty folders that a failed download leaves; its files stay."""
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(path)


GARMENTS = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_OFFLINE: dict[str, Callable[[], Raw]] = {"digits": digits, "shapes": shapes}
_DOWNLOADED: dict[str, Callable[[Path | None], Raw]] = {
    "mnist": _mnist_like("mnist", tuple("0123456789")),
    "mnist-sw": _writers(same=True),
    "mnist-dw": _writers(same=False),
    "fashion-mnist": _mnist_like("fashion-mnist", GARMENTS),
    "cifar10": _cifar("cifar10"),
    "cifar100": _cifar("cifar100"),
}


def load(name: str, root: Path | None) -> Raw:
    """Load a data set of `names.NAMES`.

    ``root`` is a folder below which its files are looked for; nothing is written there. Without it, the data set is
    read from genae's cache, into which it is downloaded once. Raises `GenaeError`.
    """
    if name in _OFFLINE:
        return _OFFLINE[name]()
    if root and not root.is_dir():
        raise GenaeError(f"there is no folder {root}; expected one that holds {name} (--data-root)")
    return _DOWNLOADED[name](root)
