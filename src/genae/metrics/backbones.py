"""Feature networks by name: Inception-v3, torchvision's, timm's, raw pixels, and the classifier of the data."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval
from torchvision import models
from torchvision.models.inception import BasicConv2d
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from genae.data.sources import ImageData
from genae.data.transforms import to_unit_range
from genae.errors import GenaeError, nearest, reason
from genae.metrics.data_classifier import classifier_of
from genae.metrics.features import FeatureNetwork
from genae.metrics.lpips import Lpips, open_lpips
from genae.metrics.weights import INCEPTION, Published, fetch, fill, is_published
from genae.networks.inception import FidInception
from genae.networks.layers import placed
from genae.progress import Progress, silent
from genae.storage import weights_digest

NAMES = ("inception", "pixels", "torchvision:NAME", "timm:NAME")


class Networks:
    """Feature networks by name, each opened once, when it is first asked for."""

    def __init__(
        self,
        device: torch.device,
        weights: Mapping[str, Path] | None = None,
        labelled: Callable[[], ImageData] | None = None,
        progress: Progress = silent,
    ) -> None:
        self.device = device
        self.weights = weights or {}
        """Network -> weight file that replaces its download."""
        self.labelled = labelled
        """Opens the labelled images whose classifier is ``classifier``."""
        self.progress = progress
        self._opened: dict[str, FeatureNetwork] = {}

    @cached_property
    def lpips(self) -> Lpips:
        """LPIPS with its published weights, or those that were given. Raises `GenaeError`."""
        return open_lpips(self.device, self.weights)

    def __getitem__(self, name: str) -> FeatureNetwork:
        """A network of `NAMES`, or ``classifier``. Raises `GenaeError`."""
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def _open(self, name: str) -> FeatureNetwork:
        if name == "classifier":
            if self.labelled is None:
                raise GenaeError("the classifier needs labelled reference data (sub-folders become labels)")
            return classifier_of(self.labelled(), self.device, self.progress)
        self.progress(f"opening {name}", 0, 1)
        return open_network(name, self.device, self.weights)


def check_network(name: str) -> None:
    """Raise `GenaeError` for a name that no network has, before the work; members of libraries are not checked."""
    family, _, member = name.partition(":")
    if name not in ("classifier", "inception", "pixels") and not (family in ("torchvision", "timm") and member):
        raise GenaeError(f"there is no feature network {name!r}; {nearest(name, (*NAMES, 'classifier'))}")


def open_network(name: str, device: torch.device, weights: Mapping[str, Path] | None = None) -> FeatureNetwork:
    """A network of `NAMES`; ``weights`` maps names to files that replace the download. Raises `GenaeError`."""
    check_network(name)
    if name == "inception":
        return inception(device, weights or {})
    if name == "pixels":
        return FeatureNetwork(
            "pixels", "pixels", "none", "none", lambda images: (to_unit_range(images.flatten(1), 0, 255), None)
        )
    family, _, member = name.partition(":")
    if family == "torchvision":
        return _torchvision(name, member, device, weights or {})
    return _timm(name, member, device, weights or {})


def inception(device: torch.device, weights: Mapping[str, Path]) -> FeatureNetwork:
    """Inception-v3 with the weights that define the Fréchet inception distance; with others its name says so."""
    path = fetch("inception", INCEPTION, weights)
    network = FidInception()
    network.fc, network.head = network.head, nn.Identity()  # the published files' names
    fill(network, path, "Inception-v3 (TensorFlow, 2015-12-05)")
    network.fc, network.head = nn.Identity(), network.fc
    published = is_published(path, INCEPTION)
    digest = weights_digest(network)
    for module in network.modules():
        if isinstance(module, BasicConv2d):  # a third faster
            module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), nn.Identity()
    network = placed(network, device)

    def compute(images: Tensor) -> tuple[Tensor, Tensor | None]:
        return network(_rgb(images, "Inception-v3").to(device))

    name = "inception-v3" if published else "inception-v3 (other weights)"
    suffix = "" if published else "inception-other-weights"
    return FeatureNetwork(name, suffix, digest, f"tf1-bilinear {FidInception.side}", compute)


def _torchvision(name: str, member: str, device: torch.device, weights: Mapping[str, Path]) -> FeatureNetwork:
    if member not in models.list_models(module=models):
        near = nearest(member, models.list_models(module=models))
        raise GenaeError(f"torchvision has no classification network {member!r}; {near}")
    # What these two do when they are pretrained: they bring images back to their first authors' range.
    own = {"transform_input": True, "init_weights": False} if member in ("googlenet", "inception_v3") else {}
    network = models.get_model(member, weights=None, **own)
    published = models.get_model_weights(member).DEFAULT
    file_hash = Path(published.url).stem.rpartition("-")[2]
    path = fetch(name, Published(published.url, file_hash), weights)
    fill(network, path, f"torchvision's {member}", ignore=("AuxLogits.", "aux1.", "aux2."))
    layers = [key for key, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise GenaeError(f"{name} has no dense last layer whose input could be its features")
    parent, _, last = layers[-1].rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    preset = published.transforms()
    return _pretrained(name, network, device, preset.crop_size[0], preset.interpolation, preset.mean, preset.std)


def _timm(name: str, member: str, device: torch.device, weights: Mapping[str, Path]) -> FeatureNetwork:
    try:
        import timm
    except ImportError:
        raise GenaeError(f"{name} needs the package timm: pip install timm") from None
    try:
        network = timm.create_model(member, pretrained=name not in weights, num_classes=0)
    except Exception as error:  # timm and its hub raise what they like
        raise GenaeError(
            f"{name} could not be loaded from timm ({reason(error)}); give its weights with --weights {name}=FILE"
        ) from None
    if name in weights:
        full = timm.create_model(member, pretrained=False)
        head = full.get_classifier()  # type: ignore[operator]
        keys = tuple(f"{key}." for key, module in full.named_modules() if module is head)
        fill(network, weights[name], f"timm's {member}", ignore=keys)
    config = timm.data.resolve_model_data_config(network)  # type: ignore
    interpolation = InterpolationMode(config["interpolation"])
    return _pretrained(
        name, network.eval(), device, config["input_size"][-1], interpolation, config["mean"], config["std"]
    )


def _pretrained(
    name: str,
    network: nn.Module,
    device: torch.device,
    side: int,
    filter: InterpolationMode,
    mean: Sequence[float],
    std: Sequence[float],
) -> FeatureNetwork:
    """A network that takes square RGB images with the mean and deviation of its training data."""
    digest = weights_digest(network)
    network = network.to(device)

    def compute(images: Tensor) -> tuple[Tensor, Tensor | None]:
        x = tv.resize(_rgb(images, name).to(device), [side, side], interpolation=filter, antialias=True)
        return network(tv.normalize(x.float() / 255, list(mean), list(std))), None

    return FeatureNetwork(name, name.replace(":", "-"), digest, f"{filter.value}-antialias {side}", compute)


def _rgb(images: Tensor, name: str) -> Tensor:
    if images.shape[1] not in (1, 3):
        raise GenaeError(f"{name} takes grey or RGB images; these have {images.shape[1]} channels")
    return images.expand(-1, 3, -1, -1)
