"""Published weight files: downloaded once into the cache or given by the user, checked, read without running code."""

import hashlib
import pickle
import urllib.parse
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from genae import distributed
from genae.errors import GenaeError, reason
from genae.storage import cache_folder


class Published(NamedTuple):
    """A weight file on the internet."""

    url: str
    sha256: str
    """The first digits of its hash."""


INCEPTION = Published(
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d",
)
VGG16 = Published("https://download.pytorch.org/models/vgg16-397923af.pth", "397923af")
LPIPS_VGG = Published(
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/vgg.pth", "a78928a0"
)


def fetch(name: str, published: Published, given: Mapping[str, Path]) -> Path:
    """The weight file of network ``name``: the user's, else the cached one, else downloaded now.

    ``given`` maps names of networks to files. Raises `GenaeError` where it cannot be had.
    """
    if name in given:
        return given[name]
    path = cache_folder() / "weights" / Path(urllib.parse.urlparse(published.url).path).name

    def download() -> None:
        if path.exists():
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(published.url, str(path), published.sha256, progress=False)
        except (OSError, RuntimeError, ValueError) as error:
            hint = "" if name in ("vgg16", "lpips") else ", or compare in another --network: pixels, classifier"
            raise GenaeError(
                f"the weights of {name} are not in {path.parent} and could not be downloaded from {published.url} "
                f"({reason(error)}); give the file with --weights {name}=FILE{hint}"
            ) from None

    distributed.writer_first(download)
    return path


def is_published(path: Path, published: Published) -> bool:
    """Whether a file is the published one, by its hash."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(published.sha256)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Named tensors of a ``.safetensors`` or PyTorch file; code inside a pickle is refused. Raises `GenaeError`."""
    try:
        if path.suffix == ".safetensors":
            loaded = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise GenaeError(f"there is no weight file {path}") from None
    except pickle.UnpicklingError:
        raise GenaeError(f"{path} is not a readable weight file: it holds something other than tensors") from None
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, SafetensorError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise GenaeError(f"{path} is not a readable weight file: {reason(error)}") from None
    named = isinstance(loaded, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in loaded.items())
    if not named:
        raise GenaeError(f"{path} does not hold named tensors; expected the state of a network")
    return loaded


def fill(network: nn.Module, path: Path, name: str, ignore: tuple[str, ...] = ()) -> nn.Module:
    """Load a weight file into a network in evaluation mode; keys beginning with ``ignore`` may be there or not.

    Raises `GenaeError` where the file is not of this network.
    """
    tensors = {key: value for key, value in read_weights(path).items() if not key.startswith(ignore or ("\0",))}
    state = {key: value for key, value in network.state_dict().items() if not key.startswith(ignore or ("\0",))}
    counters = {key for key in state if key.endswith("num_batches_tracked")}  # absent from old files, never used
    wrong = sorted((state.keys() - counters) ^ (tensors.keys() - counters))
    wrong = wrong or sorted(key for key, value in tensors.items() if value.shape != state[key].shape)
    if wrong:
        raise GenaeError(f"{path} does not hold the weights of {name}: {wrong[0]!r} differs ({len(wrong)} in all)")
    for key, value in tensors.items():
        if value.is_floating_point() != state[key].is_floating_point() or not value.isfinite().all():
            raise GenaeError(f"{path}: {key!r} is {value.dtype}, or holds NaN or infinite values: the file is damaged")
    network.load_state_dict(tensors, strict=False)
    return network.eval().requires_grad_(False)
