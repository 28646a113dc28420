"""genae's own small classifiers: trained once on labelled data, cached, the judges of its samples."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from genae import distributed
from genae.data.builtin import cache_folder
from genae.data.sampler import mix_seed, shuffled
from genae.data.sources import ImageData
from genae.data.transforms import to_unit_range
from genae.errors import GenaeError
from genae.metrics.features import FeatureNetwork
from genae.networks.classifier import ConvClassifier
from genae.progress import Progress, silent
from genae.storage import load_tensors, load_weights, save_tensors, weights_digest

BATCH = 128


def classifier_path(data: ImageData) -> Path:
    """Where the classifier of a data set is cached."""
    return cache_folder() / "classifiers" / f"{data.digest}.safetensors"


def load_classifier(data: ImageData, device: torch.device) -> FeatureNetwork:
    """The cached classifier of this data. Raises `GenaeError` where there is none, or an unreadable one."""
    path = classifier_path(data)
    tensors, metadata = load_tensors(path)
    network = ConvClassifier(data.image_shape, len(data.classes))
    load_weights(network, tensors, path)
    digest = weights_digest(network)
    network.to(device).eval()

    def compute(images: Tensor) -> tuple[Tensor, Tensor]:
        f = network.features(to_unit_range(images.to(device), 0, 255))
        return f, network.head(f)

    details = {"accuracy": float(metadata["accuracy"])}
    return FeatureNetwork(metadata["name"], "classifier", digest, "none", compute, details)


def classifier_of(data: ImageData, device: torch.device, progress: Progress = silent) -> FeatureNetwork:
    """The classifier of labelled data, trained and cached when it is first needed. Raises `GenaeError`."""

    def train_once() -> None:
        if not classifier_path(data).exists():
            train_classifier(data, device, progress=progress)

    distributed.writer_first(train_once)
    return load_classifier(data, device)


def train_classifier(
    data: ImageData,
    device: torch.device,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> FeatureNetwork:
    """Train and cache a classifier for labelled data; ``progress`` receives what is done, how far, of how much.

    Adam with a one-cycle learning rate up to 2e-3, batch 128, random shifts of up to a sixteenth of the side, six
    passes over the data and at least 60,000 images. Raises `GenaeError` for data without labels.
    """
    if data.labels is None:
        raise GenaeError(f"{data.name} has no labels to train a classifier on (sub-folders become labels)")
    path = classifier_path(data)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GenaeError(f"cannot keep a classifier in {path.parent}: {error.strerror}; set GENAE_CACHE") from None
    torch.manual_seed(mix_seed("classifier", seed))
    network = ConvClassifier(data.image_shape, len(data.classes)).to(memory_format=torch.channels_last).to(device)
    train = data.split("train")
    steps = max(6 * len(train), 60_000) // BATCH
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    reach = max(data.image_shape[1:]) // 16
    for step in range(steps):
        indices = train[shuffled(step * BATCH, BATCH, len(train), seed)]
        x = _shifted(data.images(indices).to(device), reach).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(network(x), data.labels[indices].to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 20 == 0:
            progress(f"classifier of {data.name}", step, steps)
    network.eval()
    test = data.split("test")
    with torch.no_grad():
        hits = [
            (network(data.images(i).to(device)).argmax(1).cpu() == data.labels[i]).sum().item() for i in test.split(512)
        ]
    accuracy = sum(hits) / len(test)
    name = f"classifier-{Path(data.name).stem}-{data.image_shape[1]}x{data.image_shape[2]}"
    save_tensors(path, network.state_dict(), {"name": name, "accuracy": repr(accuracy), "seed": str(seed)})
    return load_classifier(data, device)  # the very one that later measurements use, down to its memory layout


def _shifted(x: Tensor, reach: int) -> Tensor:
    """Every image moved by its own random number of pixels, at most ``reach``; the border is repeated."""
    if reach == 0:
        return x
    height, width = x.shape[-2:]
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    dy, dx = (torch.randint(2 * reach + 1, (len(x), 1), device=x.device) for _ in range(2))
    rows = (torch.arange(height, device=x.device) + dy)[:, None, :, None]
    columns = (torch.arange(width, device=x.device) + dx)[:, None, None, :]
    images = torch.arange(len(x), device=x.device).view(-1, 1, 1, 1)
    channels = torch.arange(x.shape[1], device=x.device).view(1, -1, 1, 1)
    return padded[images, channels, rows, columns]
