"""The authors' released ALAE weights, brought into genae's format.

Facts of their files (https://github.com/podgorskiy/ALAE): a pickled dictionary whose ``models`` hold, averaged over
training, ``discriminator_s`` (E), ``generator_s`` (G), ``mapping_fl_s`` (F) and ``mapping_tl_s`` (D). Their layers keep
weights at the scale at which they are used, genae's at a deviation of 1; up to 64 pixels their enlarging convolutions
are ordinary ones on a doubled map, above it transposed ones. Beside the weights, ``auxiliary`` holds optimisers and
objects of their tracker of losses. A folder of their training names its newest file in ``last_checkpoint``.
"""

import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genae.autoencoders.style_alae import StyleAdversarialLatentAutoencoder
from genae.errors import GenaeError
from genae.networks.equalised import EqualisedLinear
from genae.networks.style_layers import Convolution
from genae.storage import save_tensors
from genae.training.config import Config

FUSED_FROM = 128  # pixels from which the authors' enlarging convolutions are transposed ones
NETWORKS = ("discriminator_s", "generator_s", "mapping_fl_s", "mapping_tl_s")
TRACKERS = ("tracker.RunningMeanTorch", "tracker.RunningMean")
"""The only classes of the authors' own code in the files that their training writes."""

Networks = Mapping[str, Mapping[str, Tensor]]


def import_alae(file: Path | str, out: Path | str) -> Path:
    """Convert a StyleALAE checkpoint of the authors' into the weights file ``out``, which `genae.load` opens.

    ``file`` is a .pth file, or the folder of a training. The pickle is read without executing code from it. Sizes are
    read off the tensors; a file whose name says that it was written at an earlier level (``model_tmp_lod3.pth``)
    becomes a model of that level's resolution, as the higher ones are not trained yet. Raises `GenaeError` for another
    file.
    """
    file = _newest(Path(file))
    networks = _read(file)
    model, options = _build(networks, file)
    tensors = _Reader({f"{name}.{key}": t for name in NETWORKS for key, t in networks[name].items()}, str(file))
    with torch.no_grad():
        _decoder(model.decoder, tensors)
        _encoder(model.encoder, tensors, _levels(networks))
        _dense(model.mapping.mapping, model.critic, tensors)
    config = Config(model="style-alae", data="(imported)", images=1, flip=True, average=10_000, options=options)
    shape = json.dumps(list(model.image_shape))
    save_tensors(
        Path(out), model.state_dict(), {"config": config.to_json(), "image_shape": shape, "data": "", "images": "0"}
    )
    return Path(out)


def _newest(path: Path) -> Path:
    """``path`` itself, or of a folder the file that its ``last_checkpoint`` names, wherever the folder was then."""
    if not path.is_dir():
        return path
    try:
        written = (path / "last_checkpoint").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise GenaeError(f"the folder {path} has no file last_checkpoint; give one of its .pth files") from None
    name = re.split(r"[/\\]", written)[-1]
    if not name.endswith(".pth") or not name.isprintable():
        raise GenaeError(f"{path / 'last_checkpoint'} does not name a .pth file; give one of the folder's .pth files")
    return path / name


class _Inert:
    """Stands in for an object of the authors' code: forgets what the file says of it, and can do nothing."""

    def __setstate__(self, state: object) -> None:
        """Nothing."""


def _read(file: Path) -> Networks:
    """The tensors of the averaged networks, by network and name."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(_Inert, name) for name in TRACKERS]):
            warnings.simplefilter("ignore")  # about the pickles of other programs
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise GenaeError(f"there is no file {file}") from None
    except Exception:  # whatever a damaged or hostile pickle raises; torch's words advise to run its code
        raise GenaeError(
            f"{file} is damaged, or not a PyTorch checkpoint that can be read without running its code; expected a "
            ".pth file of the ALAE authors"
        ) from None
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        models = {}
    for name in NETWORKS:
        if not isinstance(models.get(name), dict):
            raise GenaeError(f"{file} is not a StyleALAE checkpoint: it has no models/{name}")
    return {name: {str(key): t for key, t in models[name].items() if _is_stored(t)} for name in NETWORKS}


def _is_stored(value: object) -> bool:
    """Whether a value is a tensor whose numbers are all in the file: a hostile one can claim any size."""
    return (
        isinstance(value, Tensor)
        and (value.device.type, value.layout) == ("cpu", torch.strided)
        and value.is_floating_point()
        and value.is_contiguous()
    )


def _levels(networks: Networks) -> int:
    """Resolutions of the whole network."""
    return len([key for key in networks["generator_s"] if key.startswith("to_rgb.") and key.endswith(".weight")])


def _build(networks: Networks, file: Path) -> tuple[StyleAdversarialLatentAutoencoder, dict[str, Any]]:
    """A model of the sizes of the tensors, and its options."""
    generator, mapping = networks["generator_s"], networks["mapping_fl_s"]
    last = _levels(networks) - 1
    growing = re.search(r"lod(\d+)", file.name)  # an earlier level of theirs is a whole network of fewer levels
    level = min(last, int(growing[1])) if growing else last
    try:
        colours, width = generator[f"to_rgb.{level}.to_rgb.weight"].shape[:2]
        options: dict[str, Any] = {
            "code_dim": generator["decode_block.0.style_1.weight"].shape[1],
            "width": width,
            "most_channels": int(max(networks["discriminator_s"][f"encode_block.{last}.conv_2.weight"].shape[:2])),
            "mapping_layers": len([key for key in mapping if key.endswith("fc.weight")]),
            "affine_critic": True,
            "entrance_leak": 0.04,  # theirs apply the leaky ReLU twice
        }
        side = 4 * 2**level
        return StyleAdversarialLatentAutoencoder((colours, side, side), **options), options
    except (KeyError, ValueError, IndexError) as error:
        raise GenaeError(f"{file} is not a StyleALAE checkpoint: {error} is missing or impossible") from None


class _Reader:
    """Copies tensors by name, and says which one does not fit."""

    def __init__(self, tensors: Mapping[str, Tensor], file: str) -> None:
        self.tensors = tensors
        self.file = file

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise GenaeError(f"{self.file} is not a StyleALAE checkpoint: {name} is missing")
        return self.tensors[name]

    def copy(self, into: nn.Parameter, name: str, change: Callable[[Tensor], Tensor] = lambda t: t) -> None:
        values = change(self[name])
        if values.numel() != into.numel():
            raise GenaeError(f"{self.file}: {name} has shape {list(self[name].shape)}, which genae does not support")
        into.copy_(values.reshape(into.shape))

    def convolution(self, layer: Convolution, name: str, doubled: bool = False) -> None:
        """``doubled``: an ordinary convolution on a doubled map, as a transposed one."""

        def change(weight: Tensor) -> Tensor:
            return (weight.transpose(0, 1).flip(2, 3) if doubled else weight) / layer.scale

        self.copy(layer.weight, f"{name}.weight", change)

    def linear(self, layer: EqualisedLinear, name: str, rows: slice = slice(None)) -> None:
        """``rows``: the outputs that genae keeps."""
        self.copy(layer.weight, f"{name}.weight", lambda t: t[rows] / layer.scale)
        self.copy(layer.bias, f"{name}.bias", lambda t: t[rows] / layer.multiplier)


def _decoder(decoder: Any, tensors: _Reader) -> None:
    """Level i is their ``decode_block.i``."""
    tensors.copy(decoder.blocks[0].constant, "generator_s.const")
    for i, block in enumerate(decoder.blocks):
        theirs = f"generator_s.decode_block.{i}"
        if i:
            tensors.convolution(block.first, f"{theirs}.conv_1", doubled=4 * 2**i < FUSED_FROM)
        tensors.convolution(block.second, f"{theirs}.conv_2")
        for number, layer in enumerate(block.styled, start=1):
            tensors.copy(layer.strength, f"{theirs}.noise_weight_{number}")
            tensors.copy(layer.bias, f"{theirs}.bias_{number}")
            tensors.linear(layer.style, f"{theirs}.style_{number}")
        tensors.convolution(decoder.to_colours[i].convolution, f"generator_s.to_rgb.{i}.to_rgb")
        tensors.copy(decoder.to_colours[i].bias, f"generator_s.to_rgb.{i}.to_rgb.bias")


def _encoder(encoder: Any, tensors: _Reader, levels: int) -> None:
    """They count blocks from the top, of all ``levels``."""
    last = levels - 1
    for i, block in enumerate(encoder.blocks):
        theirs = f"discriminator_s.encode_block.{last - i}"
        for number, (layer, bias, reading) in enumerate(
            zip((block.first, block.second), block.biases, block.readings, strict=True), start=1
        ):
            tensors.convolution(layer, f"{theirs}.conv_{number}")
            tensors.copy(bias, f"{theirs}.bias_{number}")
            tensors.linear(reading.linear, f"{theirs}.style_{number}")
        entrance = f"discriminator_s.from_rgb.{last - i}.from_rgb"
        tensors.convolution(encoder.from_colours[i].convolution, entrance)
        tensors.copy(encoder.from_colours[i].bias, f"{entrance}.bias")


def _dense(mapping: Any, critic: Any, tensors: _Reader) -> None:
    """F; and D, of whose 2 n last outputs one is used: number n."""
    for i, layer in enumerate(mapping.dense.layers):
        older = f"mapping_fl_s.block_{i + 1}.fc"  # what earlier versions of their code called it
        tensors.linear(layer, older if f"{older}.weight" in tensors.tensors else f"mapping_fl_s.map_blocks.{i}.fc")
    used = critic.layers[-1].weight.shape[1]
    for i, layer in enumerate(critic.layers):
        last = i == len(critic.layers) - 1
        older = f"mapping_tl_s.block_{i + 1}"
        name = older if f"{older}.weight" in tensors.tensors else f"mapping_tl_s.map_blocks.{i}"
        tensors.linear(layer, name, slice(used, used + 1) if last else slice(None))
