"""The labelled images that probes learn from, and those that they are tested on."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genae.data.sources import ImageData
from genae.data.stream import ImageStream
from genae.distributed.ahead import loaded_ahead
from genae.errors import GenaeError
from genae.metrics.metric import BATCH


@dataclass(frozen=True)
class Lesson:
    """The labelled images that probes learn from and those that they are tested on, in one numbering of classes."""

    data: ImageData
    learn: Tensor
    labels: Tensor
    """Of the images ``learn``."""
    test_labels: Tensor
    protocol: dict[str, object]
    """What a fingerprint says of them."""


def lesson(
    wanted: Sequence[str], data: ImageData, indices: Tensor, train_data: ImageData | None, train_split: str
) -> Lesson:
    """Probes learn from ``train_split`` of ``train_data``, by default of ``data``, whose images ``indices`` test them.

    Classes of two sources are the same if their names are, or their numbers where one has no names. Raises `GenaeError`
    for images without labels or of another shape, for classes that nothing can be learnt of, and for images that would
    be learnt from and tested: of two sources, all whose 8-bit pixels are equal.
    """
    source = train_data or data
    probes = " and ".join(wanted)
    labels, source_labels = (_labels(each, probes) for each in (data, source))
    if source.image_shape != data.image_shape:
        raise GenaeError(f"{source.name} has images of {source.image_shape}, {data.name} of {data.image_shape}")
    learn = source.split(train_split)
    if source.digest == data.digest:
        repeated = int(torch.isin(indices, learn).sum())
    else:
        tested = Counter(_hashes(ImageStream(data, indices)))
        learnt = {each for each in _hashes(ImageStream(source, learn)) if each in tested}
        repeated = sum(tested[each] for each in learnt)
    if repeated:
        raise GenaeError(
            f"{probes} would be tested on images that they learn from: {repeated} of the {len(indices)} chosen images "
            f"of {data.name} are in the split {train_split} of {source.name}; choose another --split, --train-split or "
            "--train-data"
        )
    if len(source_labels[learn].unique()) < 2:
        raise GenaeError(f"the split {train_split} of {source.name} holds one class; expected two or more for {probes}")
    test_labels = labels[indices]
    if data.classes and source.classes and data.classes != source.classes:
        unknown = sorted({data.classes[number] for number in test_labels.unique()} - {*source.classes})
        if unknown:
            raise GenaeError(f"{source.name} has no class {', '.join(unknown)}; {probes} cannot learn it")
        numbers = [source.classes.index(name) if name in source.classes else -1 for name in data.classes]
        test_labels = torch.tensor(numbers)[test_labels]
    protocol: dict[str, object] = {"train": len(learn)}
    if train_data is not None or train_split != "train":
        protocol |= {"train_data": source.name, "train_digest": source.digest, "train_split": train_split}
    return Lesson(source, learn, source_labels[learn], test_labels, protocol)


def _hashes(stream: ImageStream) -> Iterator[bytes]:
    """Of the pixels of each image; a few images are in memory at a time."""
    for part in loaded_ahead(stream.indices.split(BATCH), stream.read):
        for pixels in part.contiguous().numpy():
            yield hashlib.blake2b(pixels.data, digest_size=16).digest()


def _labels(data: ImageData, probes: str) -> Tensor:
    if data.labels is None:
        raise GenaeError(f"{data.name} has no labels; expected labelled images for {probes}")
    return data.labels
