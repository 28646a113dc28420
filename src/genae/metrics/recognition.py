"""How good the layers of an encoder are for recognition: freeze the first ones, train the rest and a head on labels.

The protocol of PatchVAE's tables (Gupta, Singh, Shrivastava 2020, Section 4).
"""

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.data.raw import physical_memory
from genae.data.sampler import mix_seed, shuffled
from genae.data.sources import SPLITS, ImageData
from genae.errors import GenaeError, nearest
from genae.metrics.frozen_features import Features, Pick, features_of
from genae.metrics.probes import PROBES
from genae.networks.arithmetic import exact_float32
from genae.networks.dcgan import ConvEncoder
from genae.networks.residual import ResidualTrunk
from genae.progress import Progress, silent
from genae.protocol import Autoencoder, reseed

FROZEN = {"none": 0, "conv1": 1, "conv1-3": 2, "conv1-5": 3, "all": None}
"""Names of the tables' columns -> how many sections of the trunk stay as they are; None: all of them.

The paper counts two convolutions to a stage."""
HEADS = ("mlp", *PROBES)
"""What is put on the layers: the tables' head, which is trained with what is not frozen, or a probe of what is."""
BATCH = 128
REPORT = 20
"""Batches of a training, after which progress is shown."""


class Recognised(NamedTuple):
    """Accuracies on test images."""

    top1: float
    top5: float
    epoch: int
    """The one that did best on validation images, whose network was tested."""


def sections(model: Autoencoder) -> nn.ModuleList:
    """The convolutional trunk of an encoder, cut where it can be frozen: its first convolution, then each stage.

    Raises `GenaeError` for an encoder without one.
    """
    encoder = getattr(model, "encoder", None)
    trunk = getattr(encoder, "trunk", encoder)
    if isinstance(trunk, ResidualTrunk):
        return nn.ModuleList([trunk.stem, *trunk.stages])
    if isinstance(trunk, ConvEncoder):
        layers = list(trunk.convolutions)
        places = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        cuts = [0, *places[1:], len(layers)]
        return nn.ModuleList([nn.Sequential(*layers[a:b]) for a, b in itertools.pairwise(cuts)])
    raise GenaeError(f"{type(model).__name__} has no convolutional trunk whose layers could be frozen")


@exact_float32()
def calibrate(trunk: nn.ModuleList, data: ImageData, batches: int = 20) -> None:
    """Give a freshly initialised trunk the batch statistics of training images."""
    train = data.split("train")
    device = next(trunk.parameters()).device
    network = nn.Sequential(*trunk).train()
    with torch.no_grad():
        parts = [train[shuffled(batch * BATCH, min(BATCH, len(train)), len(train), 0)] for batch in range(batches)]
        for x in data.batches(parts, device):
            network(x)
    network.eval()


@dataclass(frozen=True)
class Layers:
    """A trunk cut in two: what the frozen part gives for images, and the rest. A context manager, as `Features` is."""

    features: Features
    labels: Mapping[str, Tensor]
    """Of the images of every split, in the order of their indices."""
    classes: int
    rest: nn.Module
    """What is not frozen."""
    device: torch.device
    flip: bool = False
    """Whether every other training image is mirrored, at random."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.features.__exit__()

    def drawn(self, position: int, seed: int) -> Pick:
        """The training images of the batch at ``position`` of a training."""
        total = len(self.labels["train"])
        rows = shuffled(position, min(BATCH, total), total, seed)
        if not self.flip:
            return Pick("train", rows)
        generator = torch.Generator().manual_seed(mix_seed("flip", seed, position))
        return Pick("train", rows, torch.rand(len(rows), generator=generator) < 0.5)


@exact_float32()
def freeze(
    trunk: nn.ModuleList,
    data: ImageData,
    frozen: str,
    progress: Progress = silent,
    *,
    flip: bool = False,
    keep_features: float = 0,
) -> Layers:
    """Freeze the sections of ``trunk`` that ``frozen`` names (in `FROZEN`), and see to what they give.

    Frozen layers keep their batch statistics, so that their features do not change in training. With ``flip`` heads are
    trained on mirror images too. Features are kept in memory where they take little of it, else on disk within
    ``keep_features`` GB, else computed for every batch (`features_of`): the numbers are the same. Raises `GenaeError`.
    """
    if frozen not in FROZEN:
        raise GenaeError(f"frozen is {frozen!r}; {nearest(frozen, FROZEN)}")
    if data.labels is None:
        raise GenaeError(f"{data.name} has no labels to recognise (sub-folders become labels)")
    device = next(trunk.parameters()).device
    count = FROZEN[frozen]
    fixed = nn.Sequential(*(trunk if count is None else trunk[:count])).eval()
    rest = nn.Sequential(*([] if count is None else trunk[count:]))
    labels = {name: data.labels[data.split(name)] for name in SPLITS}
    features = features_of(fixed, data, device, progress, flip=flip, keep_gb=keep_features)
    return Layers(features, labels, len(data.classes), rest, device, flip)


@exact_float32()
def recognise(
    layers: Layers,
    *,
    epochs: int = 90,
    learning_rate: float = 0.01,
    drop_every: int = 30,
    seed: int = 0,
    progress: Progress = silent,
) -> Recognised:
    """Train a copy of what is not frozen, and a head, on the labels.

    Head: dropout 0.5, 512 units, ReLU, classes. SGD with momentum 0.9, weight decay 1e-4, batch 128, a learning rate
    divided by 10 every ``drop_every`` epochs. The epoch that does best on the validation images is tested once. Raises
    `GenaeError` where training diverges.
    """
    gpus = [layers.device] if layers.device.type == "cuda" else []  # not every GPU of the machine
    with torch.random.fork_rng(gpus):  # the caller's random numbers stay theirs
        reseed(mix_seed("recognition", seed), layers.device)
        return _trained(layers, epochs, learning_rate, drop_every, seed, progress)


def _trained(
    layers: Layers, epochs: int, learning_rate: float, drop_every: int, seed: int, progress: Progress
) -> Recognised:
    features, labels, device = layers.features, layers.labels, layers.device
    rest = copy.deepcopy(layers.rest)
    with torch.no_grad():
        width = rest.eval()(torch.zeros(1, *features.shape, device=device)).numel()
    head = nn.Sequential(
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(width, 512), nn.ReLU(), nn.Linear(512, layers.classes)
    )
    network = nn.Sequential(rest, head).to(device)
    optimiser = torch.optim.SGD(network.parameters(), learning_rate, momentum=0.9, weight_decay=1e-4)
    total = len(labels["train"])
    best, kept = (-1.0, 0), copy.deepcopy(network.state_dict())
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = learning_rate * 0.1 ** (epoch // drop_every)
        network.train()
        first = epoch * total
        positions = range(first, first + (total - BATCH + 1 if total >= BATCH else total), BATCH)
        picks = [layers.drawn(position, seed) for position in positions]
        for step, (images, x) in enumerate(features.batches(picks)):
            loss = F.cross_entropy(network(x), labels["train"][images.rows].to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % REPORT == 0:
                progress(f"training a head, seed {seed}", positions[step], epochs * total)
        accuracy = _accuracies(network, layers, "validation")[0]
        if not loss.isfinite():
            raise GenaeError(f"recognition diverged in epoch {epoch + 1}; a lower learning rate usually helps")
        if accuracy > best[0]:
            best, kept = (accuracy, epoch + 1), copy.deepcopy(network.state_dict())
        progress(f"training a head, seed {seed}", first + total, epochs * total)
    network.load_state_dict(kept)
    return Recognised(*_accuracies(network, layers, "test"), best[1])


def expect_memory(layers: Layers) -> None:
    """Raise `GenaeError` if this machine's memory cannot hold what `read_off` needs."""
    images = sum(len(layers.labels[name]) for name in ("train", "test"))
    size, memory = layers.features.nbytes(images), physical_memory()
    if memory and size > memory:
        raise GenaeError(
            f"the features of {images:,} images take {size / 1e9:,.1f} GB, and this machine has {memory / 1e9:,.1f} GB "
            "of memory; a probe needs all of them at once: use fewer or smaller images, or the head mlp"
        )


def read_off(layers: Layers, probe: str) -> float:
    """Test accuracy of a probe (a name in `PROBES`) on the frozen features, trained on those of training images.

    All of them are in memory then: `expect_memory`.
    """
    train, test = (layers.features.together(name).flatten(1) for name in ("train", "test"))
    return PROBES[probe](train, layers.labels["train"], test, layers.labels["test"])


def _accuracies(network: nn.Module, layers: Layers, split: str) -> tuple[float, float]:
    """Shares of images whose label is the likeliest, and among the five likeliest."""
    network.eval()
    hits = torch.zeros(2)
    labels = layers.labels[split]
    with torch.no_grad():
        for images, x in layers.features.in_order(split, 512):
            logits = network(x).cpu()
            order = logits.topk(min(5, logits.shape[1]), 1).indices == labels[images.rows][:, None]
            hits += torch.stack([order[:, 0].sum(), order.any(1).sum()])
    first, five = (hits / len(labels)).tolist()
    return first, five
