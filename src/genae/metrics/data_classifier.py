"""genae's own small classifiers: trained once on labelled data, cached, the judges of its samples."""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae import distributed
from genae.data.sampler import mix_seed, shuffled
from genae.data.sources import ImageData
from genae.data.transforms import to_unit_range
from genae.errors import GenaeError
from genae.losses import unit_length
from genae.metrics.features import FeatureNetwork
from genae.networks.arithmetic import exact_float32
from genae.networks.classifier import ConvClassifier
from genae.networks.layers import memory_format, placed
from genae.progress import Progress, silent
from genae.storage import cache_folder, load_tensors, load_weights, save_tensors, weights_digest
from genae.version import VERSION

BATCH = 128
SAVE_EVERY = 200
"""Steps of the training after which its state is kept, so that one that is cut off goes on."""
RANDOM = {"cpu": torch, "cuda": torch.cuda, "mps": torch.mps}
"""Kind of device -> what knows the state of its random numbers."""


def classifier_path(data: ImageData) -> Path:
    """Where the classifier of a data set is cached."""
    return cache_folder() / "classifiers" / f"{data.digest}.safetensors"


def load_classifier(data: ImageData, device: torch.device) -> FeatureNetwork:
    """The cached classifier of this data. Raises `GenaeError` where there is none, or an unreadable one."""
    network, metadata = _loaded(data, device)
    digest = weights_digest(network)

    def compute(images: Tensor) -> tuple[Tensor, Tensor]:
        f = network.features(to_unit_range(images.to(device), 0, 255))
        return f, network.head(f)

    details = {"accuracy": float(metadata["accuracy"])}
    return FeatureNetwork(metadata["name"], "classifier", digest, "none", compute, details)


def _loaded(data: ImageData, device: torch.device) -> tuple[ConvClassifier, dict[str, str]]:
    path = classifier_path(data)
    tensors, metadata = load_tensors(path)
    network = ConvClassifier(data.image_shape, len(data.classes))
    load_weights(network, tensors, path)
    return network.to(device).eval(), metadata


class ClassifierDistance(nn.Module):
    """Images [B, C, H, W] in [-1, 1], two of them -> distance [B], in the features of a frozen classifier.

    The mean over both layers of the mean over places of ||y_l - y0_l||^2, y_l the features of a place, of unit length:
    LPIPS (Zhang et al. 2018, Eq. 1) with equal weights, and a network that has seen nothing but the data.
    """

    def __init__(self, network: ConvClassifier) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The distance of each pair, [B]."""
        pairs = zip(self.network.maps(x), self.network.maps(y), strict=True)
        layers = [(unit_length(a) - unit_length(b)).square().sum(1).mean((1, 2)) for a, b in pairs]
        return torch.stack(layers).mean(0)


def classifier_distance(data: ImageData, device: torch.device, progress: Progress = silent) -> ClassifierDistance:
    """That of labelled data; the classifier is trained and cached when it is first needed. Raises `GenaeError`."""
    classifier_of(data, device, progress)
    return ClassifierDistance(placed(_loaded(data, device)[0], device))


def classifier_of(data: ImageData, device: torch.device, progress: Progress = silent) -> FeatureNetwork:
    """The classifier of labelled data, trained and cached when it is first needed. Raises `GenaeError`."""

    if not distributed.by_writer(classifier_path(data).exists):
        return train_classifier(data, device, progress=progress)
    return load_classifier(data, device)


@exact_float32()
def train_classifier(
    data: ImageData,
    device: torch.device,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> FeatureNetwork:
    """Train and cache a classifier for labelled data; ``progress`` receives what is done, how far, of how much.

    Adam with a one-cycle learning rate up to 2e-3, batch 128, random shifts of up to a sixteenth of the side, six
    passes over the data and at least 60,000 images. Under torchrun, process 0 trains. Raises `GenaeError` for data
    without labels.
    """
    distributed.by_writer(partial(_train, data, device, seed, progress))
    return load_classifier(data, device)  # the very one that later measurements use, down to its memory layout


def _train(data: ImageData, device: torch.device, seed: int, progress: Progress) -> None:
    if data.labels is None:
        raise GenaeError(f"{data.name} has no labels to train a classifier on (sub-folders become labels)")
    path = classifier_path(data)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GenaeError(f"cannot keep a classifier in {path.parent}: {error.strerror}; set GENAE_CACHE") from None
    torch.manual_seed(mix_seed("classifier", seed))
    network = placed(ConvClassifier(data.image_shape, len(data.classes)), device)
    train = data.split("train")
    steps = max(6 * len(train), 60_000) // BATCH
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    reach = max(data.image_shape[1:]) // 16
    state = _State(network, optimiser, schedule, path.with_suffix(".partial"), f"seed {seed}, {steps} steps")
    begin = state.restore()
    progress(f"training the classifier of {data.name}", begin, steps)
    for first in range(begin, steps, SAVE_EVERY):
        numbers = range(first, min(first + SAVE_EVERY, steps))
        parts = [train[shuffled(step * BATCH, BATCH, len(train), seed)] for step in numbers]
        for step, indices, images in zip(numbers, parts, data.batches(parts, device), strict=True):
            x = _shifted(images, reach).contiguous(memory_format=memory_format(device))
            loss = F.cross_entropy(network(x), data.labels[indices].to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if step % 20 == 0:
                progress(f"training the classifier of {data.name}", step, steps)
        if len(numbers) == SAVE_EVERY:
            state.save(numbers.stop)
    network.eval()
    tested = data.split("test").split(512)
    with torch.no_grad():
        hits = [
            (network(x).argmax(1).cpu() == data.labels[indices]).sum().item()
            for indices, x in zip(tested, data.batches(tested, device), strict=True)
        ]
    accuracy = sum(hits) / len(data.split("test"))
    name = f"classifier-{Path(data.name).stem}-{data.image_shape[1]}x{data.image_shape[2]}"
    save_tensors(path, network.state_dict(), {"name": name, "accuracy": repr(accuracy), "seed": str(seed)})
    state.path.unlink(missing_ok=True)


class _State:
    """The training's state in a file: weights, Adam's moments, learning rate and momentum, random numbers."""

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.OneCycleLR,
        path: Path,
        settings: str,
    ) -> None:
        self.network, self.optimiser, self.schedule, self.path = network, optimiser, schedule, path
        self.identity = {"settings": settings, "genae": VERSION, "torch": torch.__version__}
        self.group = optimiser.param_groups[0]
        self.random = RANDOM[next(network.parameters()).device.type]

    def save(self, step: int) -> None:
        """Keep what ``step`` steps gave."""
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        for number, parameter in enumerate(self.group["params"]):
            tensors |= {f"adam/{number}/{key}": value for key, value in self.optimiser.state[parameter].items()}
        tensors["random"] = self.random.get_rng_state()
        rates = {"lr": repr(self.group["lr"]), "beta": repr(self.group["betas"][0])}
        save_tensors(self.path, tensors, {**self.identity, **rates, "step": str(step)})

    def restore(self) -> int:
        """The step to go on from: 0 where nothing was kept, or of a training with other settings."""
        try:
            tensors, kept = load_tensors(self.path)
        except GenaeError:  # none, or one cut short
            return 0
        if not kept.items() >= self.identity.items():
            return 0
        weights = {name[8:]: tensor for name, tensor in tensors.items() if name.startswith("network/")}
        load_weights(self.network, weights, self.path)
        for number, parameter in enumerate(self.group["params"]):
            like = {"step": torch.zeros((), device=parameter.device)}  # moments have the weights' memory layout
            like |= {key: torch.empty_like(parameter, requires_grad=False) for key in ("exp_avg", "exp_avg_sq")}
            state = {key: value.copy_(tensors[f"adam/{number}/{key}"]) for key, value in like.items()}
            self.optimiser.state[parameter] = state
        step = int(kept["step"])
        self.schedule.last_epoch = step
        self.group["lr"], self.group["betas"] = float(kept["lr"]), (float(kept["beta"]), self.group["betas"][1])
        self.random.set_rng_state(tensors["random"])
        return step


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
