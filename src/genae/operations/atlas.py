"""A map of a data set's codes in two dimensions, and what the model makes of any place on it."""

from importlib.util import find_spec

import torch
from torch import Tensor

from genae.data.sampler import shuffled
from genae.data.sources import ImageData
from genae.errors import GenaeError, nearest
from genae.metrics.reconstruction import mse
from genae.model import Model
from genae.rows import filled, in_parts, mean_and_covariance

METHODS = ("pca", "umap")
NEIGHBOURS = 8


class Atlas:
    """Up to ``count`` images of a split, drawn at random (the same for everybody), and the places of their codes."""

    def __init__(
        self, model: Model, data: ImageData, split: str = "test", count: int = 1000, method: str = "pca"
    ) -> None:
        if method not in METHODS:
            raise GenaeError(f"method is {method!r}; {nearest(method, METHODS)}")
        if method == "umap" and find_spec("umap") is None:
            raise GenaeError("UMAP is not installed: pip install umap-learn, or use the method pca")
        indices = data.split(split)
        if len(indices) < 3:
            raise GenaeError(f"{data.name} has {len(indices)} images in {split}; a map needs at least 3")
        if len(indices) > count:
            indices = indices[shuffled(0, count, len(indices), seed=0)]
        self.model = model
        self.indices = indices
        """Numbers [M] of the images in the data set."""
        self.codes = model.encode_data(data, indices)
        self.places = _pca(self.codes) if method == "pca" else _umap(self.codes)
        """[M, 2]."""
        parts = zip(indices.split(model.batch), self.codes.split(model.batch), strict=True)
        self.errors = torch.cat([mse(model.decode(codes), data.images(part)) for part, codes in parts])
        """Mean squared error of the reconstructions [M]."""
        self.labels = None if data.labels is None else data.labels[indices]

    def code_at(self, x: float, y: float) -> Tensor:
        """A code [1, D] for a place: the mean of the nearest codes, weighted by the inverse of their distance."""
        distances = (self.places - torch.tensor([x, y], dtype=self.places.dtype)).norm(dim=1)
        near = distances.topk(min(NEIGHBOURS, len(distances)), largest=False)
        weights = 1 / near.values.clamp_min(1e-6)
        return ((weights / weights.sum())[None] @ self.codes[near.indices].double()).to(self.codes.dtype)


def _pca(codes: Tensor) -> Tensor:
    """Places [N, 2] along the two directions of largest variance; the largest number of a direction is positive."""
    mean, covariance = mean_and_covariance(codes)
    along = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :2]
    along = along * along.gather(0, along.abs().argmax(0, keepdim=True)).sign()
    places = filled(((part.double() - mean) @ along for part in in_parts(codes)), len(codes))
    return torch.cat([places, places.new_zeros(len(places), 2 - places.shape[1])], 1)


def _umap(codes: Tensor) -> Tensor:
    from umap import UMAP

    neighbours = min(15, len(codes) - 1)
    return torch.as_tensor(UMAP(n_neighbors=neighbours, random_state=0).fit_transform(codes.numpy())).double()
