"""The evaluation of images of any origin against reference images; no model."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from genae.data.stream import ImageStream
from genae.data.transforms import to_unit_range
from genae.errors import GenaeError
from genae.metrics.backbones import Networks
from genae.metrics.evaluation import Evaluation, Pass, Request, shape_of
from genae.metrics.metric import Batch, Metric
from genae.progress import Progress, silent


class ImageEvaluation(Evaluation):
    """Metrics of pairs compare images of the same file name (without its ending), or of the same number where there are
    no names."""

    def __init__(
        self,
        images: ImageStream,
        reference: ImageStream,
        metrics: Sequence[Metric],
        request: Request,
        networks: Networks,
        progress: Progress = silent,
    ) -> None:
        super().__init__(metrics, request, reference, networks, progress)
        self.images = images
        self.base |= {
            "files": images.digest,
            "images_format": images.format,
            "images_resize": images.resize,
            "images_size": shape_of(images),
            "seed": request.seed,
        }
        if images.conversions:
            self.base["images_converted"] = "; ".join(images.conversions)

    @property
    def name(self) -> str:
        """Of the source of the images."""
        return self.images.name

    def sets(self) -> Sequence[tuple[str, int]]:
        """The images and the reference."""
        return [(stream.name, len(stream)) for stream in (self.images, self.reference)]

    def check(self) -> None:
        """Refuse what cannot be measured. Raises `GenaeError`."""
        super().check()
        images, reference = self.images, self.reference
        resizing = all(self.networks[name].resize != "none" for name in self.kept)
        if images.image_shape != reference.image_shape and (self.wanting("pairs", "samples") or not resizing):
            raise GenaeError(
                f"{images.name} holds images of {images.image_shape}, {reference.name} of {reference.image_shape} "
                "(C, H, W); bring both to one size with --size and --channels"
            )
        if self.wanting("pairs"):
            _ = self.partners

    @cached_property
    def partners(self) -> Tensor:
        """The position in the reference of every image's partner. Raises `GenaeError`."""
        return _pairs(self.images, self.reference)

    def passes(self) -> Iterator[Pass[tuple[int, Tensor, Tensor | None]]]:
        """The images, and their partners if pairs are compared."""
        if self.wanting("pairs", "features"):
            yield Pass(
                self.name, f"features of {self.name}", len(self.images), self._read, self._shown, bool(self.kept)
            )

    def _read(self, part: Tensor) -> tuple[int, Tensor, Tensor | None]:
        pixels = self.images.read(self.images.indices[part])
        if not self.wanting("pairs"):
            return int(part[0]), pixels, None
        return int(part[0]), pixels, self.reference.read(self.reference.indices[self.partners[part]])

    def _shown(self, read: tuple[int, Tensor, Tensor | None]) -> Batch:
        start, pixels, partners = read
        if partners is None:
            return Batch(pixels=pixels, start=start)
        x_hat, x = (to_unit_range(images, 0, 255).to(self.networks.device) for images in (pixels, partners))
        return Batch(x, {self.name: x_hat}, pixels, start=start)


def _pairs(images: ImageStream, reference: ImageStream) -> Tensor:
    """The reference position of every image: of the same file name without its ending, or of the same number."""
    if bool(images.names) != bool(reference.names):
        raise GenaeError(
            f"one of {images.name} and {reference.name} has file names, the other has none: "
            "pairs need two folders (or zips), or two arrays"
        )
    if not images.names and len(images.data) != len(reference.data):
        raise GenaeError(
            f"{images.name} has {len(images.data)} images and {reference.name} {len(reference.data)}; "
            "pairs need equal numbers"
        )
    keys: list[list[str | int]] = [
        [s.names[i].rpartition(".")[0] if s.names else i for i in s.indices.tolist()] for s in (images, reference)
    ]
    for stream, named in zip((images, reference), keys, strict=True):
        twice = [key for key, count in Counter(named).items() if count > 1]
        if twice:
            raise GenaeError(f"{stream.name} has two files named {twice[0]!r}; expected different names")
    where = {key: position for position, key in enumerate(keys[1])}
    alone = [key for key in keys[0] if key not in where]
    if alone:
        raise GenaeError(
            f"{alone[0]!r} of {images.name} has no partner in {reference.name} ({len(alone)} of {len(images)}); "
            "reconstructions are compared with images of the same name"
        )
    return torch.tensor([where[key] for key in keys[0]])
