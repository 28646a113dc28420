"""Feature networks for Fréchet distance and inception score. Each carries a name and a hash of its weights."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.data.builtin import cache_folder
from genae.data.sampler import mix_seed, shuffled
from genae.data.sources import ImageData
from genae.errors import GenaeError
from genae.networks.classifier import ConvClassifier
from genae.storage import load_tensors, load_weights, save_tensors

BATCH = 128


@dataclass(frozen=True)
class FeatureNetwork:
    """A classifier with its identity."""

    name: str
    network: ConvClassifier
    accuracy: float
    """On the test split of the data that it was trained on."""
    digest: str
    """Hash of its weights."""

    def __call__(self, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Image batches in [-1, 1] -> features [N, 1024] and class probabilities [N, classes], on the CPU."""
        self.network.eval()
        features, probabilities = [], []
        with torch.no_grad():
            for x in batches:
                f = self.network.features(x)
                features.append(f.cpu())
                probabilities.append(self.network.head(f).softmax(1).cpu())
        return torch.cat(features), torch.cat(probabilities)


def classifier_path(data: ImageData) -> Path:
    """Where the classifier of a data set is cached."""
    return cache_folder() / "classifiers" / f"{data.digest}.safetensors"


def load_classifier(data: ImageData, device: torch.device) -> FeatureNetwork | None:
    """The cached classifier of this data, or None."""
    path = classifier_path(data)
    if not path.exists():
        return None
    tensors, metadata = load_tensors(path)
    network = ConvClassifier(data.image_shape, len(data.classes))
    load_weights(network, tensors, path)
    return FeatureNetwork(metadata["name"], network.to(device), float(metadata["accuracy"]), weights_digest(network))


def train_classifier(
    data: ImageData,
    device: torch.device,
    *,
    seed: int = 0,
    progress: Callable[[float, float], None] = lambda done, loss: None,
) -> FeatureNetwork:
    """Train and cache a classifier for labelled data; ``progress`` receives the share done and the loss.

    Adam with a one-cycle learning rate up to 2e-3, batch 128, random shifts of up to a sixteenth of the side, six
    passes over the data and at least 60,000 images. Raises `GenaeError` for data without labels.
    """
    if data.labels is None:
        raise GenaeError(f"{data.name} has no labels to train a classifier on (class sub-folders would be labels)")
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
            progress(step / steps, loss.item())
    network.eval()
    test = data.split("test")
    with torch.no_grad():
        hits = [
            (network(data.images(i).to(device)).argmax(1).cpu() == data.labels[i]).sum().item() for i in test.split(512)
        ]
    accuracy = sum(hits) / len(test)
    name = f"classifier-{Path(data.name).stem}-{data.image_shape[1]}x{data.image_shape[2]}"
    save_tensors(path, network.state_dict(), {"name": name, "accuracy": repr(accuracy), "seed": str(seed)})
    kept = load_classifier(data, device)  # the very one that later measurements use, down to its memory layout
    assert kept
    return kept


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


def weights_digest(network: nn.Module) -> str:
    """Hash of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]
