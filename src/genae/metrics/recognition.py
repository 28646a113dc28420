"""How good the layers of an encoder are for recognition: freeze the first ones, train the rest and a head on labels.

The protocol of PatchVAE's tables (Gupta, Singh, Shrivastava 2020, Section 4).
"""

import copy
import itertools
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.data.raw import physical_memory
from genae.data.sampler import mix_seed, shuffled
from genae.data.sources import SPLITS, ImageData
from genae.errors import GenaeError, nearest
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
        for batch in range(batches):
            network(data.images(train[shuffled(batch * BATCH, min(BATCH, len(train)), len(train), 0)], device))
    network.eval()


class Layers(NamedTuple):
    """A trunk cut in two, and what the frozen part gives."""

    features: Mapping[str, Tensor]
    """Of the images of every split, in the order of their indices [M, ...]; on the CPU."""
    labels: Mapping[str, Tensor]
    classes: int
    rest: nn.Module
    """What is not frozen."""
    device: torch.device
    flip: bool = False
    """Whether every other training image is mirrored, at random."""
    mirrored: Tensor | None = None
    """Features of the training images' mirror images; None where nothing is frozen: features are images there."""

    def drawn(self, rows: Tensor, position: int, seed: int) -> Tensor:
        """Features of the training images ``rows`` [B], drawn at ``position`` of a training."""
        x = self.features["train"][rows]
        if self.flip:
            generator = torch.Generator().manual_seed(mix_seed("flip", seed, position))
            mirror = torch.rand(len(rows), generator=generator) < 0.5
            x[mirror] = x[mirror].flip(-1) if self.mirrored is None else self.mirrored[rows[mirror]]
        return x


@exact_float32()
def freeze(
    trunk: nn.ModuleList, data: ImageData, frozen: str, progress: Progress = silent, *, flip: bool = False
) -> Layers:
    """Freeze the sections of ``trunk`` that ``frozen`` names (in `FROZEN`), and compute once what they give.

    Frozen layers keep their batch statistics, so that their features do not change in training. With ``flip`` those of
    the training images' mirror images are kept too, so that heads are trained on both. Raises `GenaeError`.
    """
    if frozen not in FROZEN:
        raise GenaeError(f"frozen is {frozen!r}; {nearest(frozen, FROZEN)}")
    if data.labels is None:
        raise GenaeError(f"{data.name} has no labels to recognise (sub-folders become labels)")
    device = next(trunk.parameters()).device
    count = FROZEN[frozen]
    fixed = nn.Sequential(*(trunk if count is None else trunk[:count])).eval()
    rest = nn.Sequential(*([] if count is None else trunk[count:]))
    mirrored = flip and count != 0
    _expect_room(fixed, data, device, mirrored)
    features = {name: _features(fixed, data, name, device, progress) for name in SPLITS}
    mirror = _features(fixed, data, "train", device, progress, mirrored=True) if mirrored else None
    labels = {name: data.labels[data.split(name)] for name in SPLITS}
    return Layers(features, labels, len(data.classes), rest, device, flip, mirror)


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
        width = rest.eval()(features["train"][:1].to(device)).numel()
    head = nn.Sequential(
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(width, 512), nn.ReLU(), nn.Linear(512, layers.classes)
    )
    network = nn.Sequential(rest, head).to(device)
    optimiser = torch.optim.SGD(network.parameters(), learning_rate, momentum=0.9, weight_decay=1e-4)
    total = len(features["train"])
    best, kept = (-1.0, 0), copy.deepcopy(network.state_dict())
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = learning_rate * 0.1 ** (epoch // drop_every)
        network.train()
        for start in range(0, total - BATCH + 1 if total >= BATCH else total, BATCH):
            chosen = shuffled(epoch * total + start, min(BATCH, total), total, seed)
            x = layers.drawn(chosen, epoch * total + start, seed)
            loss = F.cross_entropy(network(x.to(device)), labels["train"][chosen].to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        accuracy = _accuracies(network, features["validation"], labels["validation"], device)[0]
        if not loss.isfinite():
            raise GenaeError(f"recognition diverged in epoch {epoch + 1}; a lower learning rate usually helps")
        if accuracy > best[0]:
            best, kept = (accuracy, epoch + 1), copy.deepcopy(network.state_dict())
        progress(f"training a head, seed {seed}", epoch + 1, epochs)
    network.load_state_dict(kept)
    return Recognised(*_accuracies(network, features["test"], labels["test"], device), best[1])


def read_off(layers: Layers, probe: str) -> float:
    """Test accuracy of a probe (a name in `PROBES`) on the frozen features, trained on those of training images."""
    train, test = (layers.features[name].flatten(1) for name in ("train", "test"))
    return PROBES[probe](train, layers.labels["train"], test, layers.labels["test"])


def _expect_room(fixed: nn.Module, data: ImageData, device: torch.device, mirrored: bool) -> None:
    """Raises `GenaeError` for features that this machine cannot hold."""
    train = data.split("train")
    count = sum(len(data.split(name)) for name in SPLITS) + (len(train) if mirrored else 0)
    with torch.no_grad():
        size, there = 4 * count * fixed(data.images(train[:1], device)).numel(), physical_memory()
    if there and size > there:
        raise GenaeError(
            f"the features of {count} images{', mirror images among them,' if mirrored else ''} take {size / 1e9:.1f} "
            f"GB and this machine has {there / 1e9:.1f} GB of memory; use fewer or smaller images"
        )


def _features(
    fixed: nn.Module,
    data: ImageData,
    split: str,
    device: torch.device,
    progress: Progress,
    *,
    mirrored: bool = False,
) -> Tensor:
    """What the frozen layers give for the images of a split, or for their mirror images, on the CPU."""
    indices = data.split(split)
    features = torch.empty(0)
    with torch.no_grad():
        for start in range(0, len(indices), 256):
            rows = slice(start, min(start + 256, len(indices)))
            x = data.images(indices[rows], device)
            part = fixed(x.flip(-1) if mirrored else x)
            if start == 0:
                features = torch.empty(len(indices), *part.shape[1:])
            features[rows] = part
            progress(f"features of the {split} images{', mirrored' if mirrored else ''}", rows.stop, len(indices))
    return features


def _accuracies(network: nn.Module, features: Tensor, labels: Tensor, device: torch.device) -> tuple[float, float]:
    """Shares of rows whose label is the likeliest, and among the five likeliest."""
    network.eval()
    hits = torch.zeros(2)
    with torch.no_grad():
        for x, y in zip(features.split(512), labels.split(512), strict=True):
            logits = network(x.to(device)).cpu()
            order = logits.topk(min(5, logits.shape[1]), 1).indices == y[:, None]
            hits += torch.stack([order[:, 0].sum(), order.any(1).sum()])
    first, five = (hits / len(labels)).tolist()
    return first, five
