"""Every metric of images of any origin, with fingerprints; no model."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from genae import distributed
from genae.data.stream import ImageStream
from genae.data.transforms import to_unit_range
from genae.errors import GenaeError
from genae.metrics import METRICS
from genae.metrics.judges import BATCH, NEAREST, REAL, Judges, Record, protocol_of, shape_of, short_count
from genae.metrics.neighbours import training_distances


def evaluate_images(
    images: ImageStream, reference: ImageStream, judges: Judges, metrics: Iterable[str], *, split: str = "all"
) -> list[Record]:
    """Measure images of any origin against reference images; see `evaluate_model` for the records.

    Metrics of pairs compare images of the same file name (without its ending), or of the same number where there are no
    names. Raises `GenaeError`.
    """
    base = protocol_of(reference, split) | {
        "files": images.digest,
        "images_format": images.format,
        "images_resize": images.resize,
        "images_size": shape_of(images),
        "seed": judges.seed,
    }
    for metric in metrics:
        if METRICS[metric].of in ("codes", "labels", "paths", "run"):
            raise GenaeError(f"{metric} measures a run; {images.name} is a source of images")
    judges.require(len(images), images.name)
    judges.require(len(reference), reference.name)
    judges.require_sides(images.image_shape)
    resizing = all(network.resize != "none" for network, _ in judges.networks)
    if images.image_shape != reference.image_shape and (judges.pairs or "nearest" in metrics or not resizing):
        raise GenaeError(
            f"{images.name} holds images of {images.image_shape}, {reference.name} of {reference.image_shape} "
            "(C, H, W); bring both to one size with --size and --channels"
        )
    if judges.pairs:
        partner = _pairs(images, reference)

        def errors(loaded: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            x_hat, x = (to_unit_range(pixels, 0, 255) for pixels in loaded)
            return judges.errors(x_hat, x)

        sums: dict[str, float] = {}
        done = 0
        positions = torch.arange(len(images))
        for values in distributed.in_order(
            positions.split(BATCH),
            lambda part: (images.read(images.indices[part]), reference.read(reference.indices[partner[part]])),
            errors,
        ):
            done += BATCH
            judges.progress("pairs", min(done, len(images)), len(images))
            for metric, value in values.items():
                sums[metric] = sums.get(metric, 0.0) + float(value.sum())
        judges.record_errors(base, images.name, sums, len(images))
    if judges.networks:
        real = judges.reference(reference)
        judges.judge(base, images.name, judges.watch(f"features of {images.name}", images), real)
        judges.judge(base, REAL, real, None)
    if "nearest" in metrics:
        some = images.take(NEAREST, judges.seed)
        rows, against = (
            torch.cat([s.read(part) for part in s.indices.split(BATCH)]).flatten(1) for s in (some, reference)
        )
        distance = float(training_distances(rows, against).median()) / 127.5
        judges.record(
            base, images.name, f"nearest{short_count(len(some))}", distance, images=len(some), seed=judges.seed
        )
    return judges.records


def _pairs(images: ImageStream, reference: ImageStream) -> Tensor:
    """The reference position of every image: of the same file name without its ending, or of the same number."""
    if bool(images.names) != bool(reference.names):
        raise GenaeError(
            f"one of {images.name} and {reference.name} has file names, the other has none: "
            "pairs need two folders (or zips), or two arrays"
        )
    if not images.names and images.total != reference.total:
        raise GenaeError(
            f"{images.name} has {images.total} images and {reference.name} {reference.total}: they are no pairs"
        )
    keys: list[list[Any]] = [
        [s.names[i].rpartition(".")[0] if s.names else i for i in s.indices.tolist()] for s in (images, reference)
    ]
    for stream, found in zip((images, reference), keys, strict=True):
        twice = [key for key, count in Counter(found).items() if count > 1]
        if twice:
            raise GenaeError(f"{stream.name} has two files named {twice[0]!r}: which one is meant is not known")
    where = {key: position for position, key in enumerate(keys[1])}
    alone = [key for key in keys[0] if key not in where]
    if alone:
        raise GenaeError(
            f"{alone[0]!r} of {images.name} has no partner in {reference.name} ({len(alone)} of {len(images)}); "
            "reconstructions are compared with images of the same name"
        )
    return torch.tensor([where[key] for key in keys[0]])
