"""A map of a data set's codes in two dimensions, and what the model makes of any place on it."""

import io
from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

from genae.data.sampler import shuffled
from genae.data.sources import ImageData
from genae.errors import GenaeError, nearest
from genae.metrics.reconstruction import mse
from genae.model import Model

METHODS = ("pca", "umap")
COLOURS = ("label", "error")
NEIGHBOURS = 8
CLASS_COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
)  # fmt: skip
"""Of the first ten classes by their numbers, then again from the start: in the figure and on the page."""


class Atlas:
    """Up to ``count`` images of a split, drawn at random (the same for everybody), and the places of their codes."""

    def __init__(
        self, model: Model, data: ImageData, split: str = "test", count: int = 1000, method: str = "pca"
    ) -> None:
        if method not in METHODS:
            raise GenaeError(f"method is {method!r}; {nearest(method, METHODS)}")
        if method == "umap" and find_spec("umap") is None:
            raise GenaeError("UMAP is not installed: pip install umap-learn, or take the method pca")
        indices = data.split(split)
        if len(indices) < 3:
            raise GenaeError(f"{data.name} has {len(indices)} images in {split}; a map needs at least 3")
        some = len(indices) > count
        chosen = indices[shuffled(0, count, len(indices), seed=0)] if some else indices
        self.model = model
        self.indices = chosen
        """Numbers [M] of the images in the data set."""
        self.codes = model.encode_data(data, chosen)
        self.places = _pca(self.codes) if method == "pca" else _umap(self.codes)
        """[M, 2]."""
        parts = zip(chosen.split(256), self.codes.split(256), strict=True)
        self.errors = torch.cat([mse(model.decode(codes), data.images(part)) for part, codes in parts])
        """Mean squared error of the reconstructions [M]."""
        self.labels = None if data.labels is None else data.labels[chosen]

    def code_at(self, x: float, y: float) -> Tensor:
        """A code [1, D] for a place: the mean of the nearest codes, weighted by the inverse of their distance."""
        distances = (self.places - torch.tensor([x, y], dtype=self.places.dtype)).norm(dim=1)
        near = distances.topk(min(NEIGHBOURS, len(distances)), largest=False)
        weights = 1 / near.values.clamp_min(1e-6)
        return ((weights / weights.sum())[None] @ self.codes[near.indices].double()).to(self.codes.dtype)


def class_colour(number: int) -> str:
    """The colour of a class on every map, as ``#rrggbb``."""
    return CLASS_COLOURS[number % len(CLASS_COLOURS)]


def map_picture(atlas: Atlas, classes: Sequence[str], colour: str = "label") -> bytes:
    """The map as a PNG file, coloured by ``label`` or by reconstruction ``error``. Raises `GenaeError`."""
    if colour not in COLOURS:
        raise GenaeError(f"colour is {colour!r}; {nearest(colour, COLOURS)}")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), dpi=110, layout="constrained")
    axes = figure.subplots()
    x, y = atlas.places.T.numpy()
    if colour == "error" or atlas.labels is None:
        dots = axes.scatter(x, y, s=9, c=atlas.errors.numpy(), cmap="viridis")
        figure.colorbar(dots, label="MSE of the reconstruction")
    else:
        for number, name in enumerate(classes):
            chosen = (atlas.labels == number).numpy()
            if chosen.any():
                axes.scatter(x[chosen], y[chosen], s=9, label=name, alpha=0.8, color=class_colour(number))
        axes.legend(markerscale=2, fontsize=8, ncols=2)
    axes.set_title(f"Codes of {len(atlas.places)} images")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _pca(codes: Tensor) -> Tensor:
    from sklearn.decomposition import PCA

    components = min(2, codes.shape[1])
    found = torch.as_tensor(PCA(components, random_state=0).fit_transform(codes.double().numpy()))
    return torch.cat([found, found.new_zeros(len(found), 2 - components)], 1)


def _umap(codes: Tensor) -> Tensor:
    from umap import UMAP

    neighbours = min(15, len(codes) - 1)
    return torch.as_tensor(UMAP(n_neighbors=neighbours, random_state=0).fit_transform(codes.numpy())).double()
