"""Autoencoders of the library diffusers, with their scaling factors."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genae.autoencoders.imported import ImportedAutoencoder
from genae.errors import GenaeError, nearest


class Kind(NamedTuple):
    """What is said of a class of diffusers here: the names of its settings, and of what `encode` gives."""

    blocks: str
    """The setting with the channels of each block: a map is halved between two blocks."""
    channels: tuple[str, ...]
    """The settings with the channels of a code: the first that has a value."""
    posterior: bool = False
    """Whether `encode` gives a distribution, whose mode is taken."""


KINDS = {
    "AutoencoderDC": Kind("encoder_block_out_channels", ("latent_channels",)),
    "AutoencoderKL": Kind("block_out_channels", ("latent_channels",), posterior=True),
    "AutoencoderTiny": Kind("encoder_block_out_channels", ("latent_channels",)),
    "VQModel": Kind("block_out_channels", ("vq_embed_dim", "latent_channels")),
}
"""The classes of diffusers that can be imported. All take and give images in [-1, 1]."""


class DiffusersAutoencoder(ImportedAutoencoder):
    """An autoencoder of diffusers, built by diffusers: codes are scaled as its pipelines scale them.

    ``kind`` is the name of a class in `KINDS` and ``settings`` its configuration, as JSON. Codes are the mode of the
    posterior (KL) or what the encoder gives, minus the shift factor, times the scaling factor. Where the configuration
    has a mean and a deviation for each channel, the codes are (mode - mean) x scaling factor / deviation. `decode`
    undoes this. A VQModel's codes are those before they are quantised, and its decoder quantises them, so that a prior
    may be continuous. ``given`` are the options of `ImportedAutoencoder`. Raises `GenaeError` without diffusers.
    """

    shift: Tensor
    scaling: Tensor

    def __init__(self, image_shape: tuple[int, int, int], *, kind: str, settings: str, **given: Any) -> None:
        super().__init__(image_shape, **given)
        configuration, cls = read_settings(kind, settings), class_of(kind)
        with diffusers_quiet():
            self.network = cls.from_config(configuration)
        told: Mapping[str, Any] = self.network.config
        named = KINDS[kind]
        channels = next(int(told[name]) for name in named.channels if told[name])
        self.set_code_shape(told["in_channels"], channels, 2 ** (len(told[named.blocks]) - 1))
        self.has_posterior = named.posterior
        shift, scaling = told.get("shift_factor") or 0.0, told.get("scaling_factor") or 1.0
        mean, deviation = told.get("latents_mean"), told.get("latents_std")
        if mean and deviation:
            shift, scaling = torch.tensor(mean), scaling / torch.tensor(deviation)
        # Constants, which the configuration holds: weights files do without them.
        for name, value in (("shift", shift), ("scaling", scaling)):
            factors = torch.as_tensor(value, dtype=torch.float32).reshape(-1, 1, 1)
            self.register_buffer(name, factors, persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """That of the network."""
        return self.network.encoder

    def encode_map(self, x: Tensor) -> Tensor:
        """(mode - shift) x scaling."""
        (given,) = self.network.encode(x, return_dict=False)
        code = given.mode() if self.has_posterior else given
        return (code - self.shift) * self.scaling

    def decode_map(self, code: Tensor) -> Tensor:
        """What the decoder draws from code / scaling + shift."""
        return self.network.decode(code / self.scaling + self.shift, return_dict=False)[0]


def class_of(kind: str) -> Any:
    """The class of diffusers. Raises `GenaeError` for one that is not in `KINDS`, and without diffusers."""
    if kind not in KINDS:
        raise GenaeError(f"{kind!r} of diffusers cannot be imported; {nearest(kind, KINDS)}")
    try:
        import diffusers

        return getattr(diffusers, kind)
    except ModuleNotFoundError as error:
        raise GenaeError(f"an autoencoder of diffusers needs {error.name}: pip install 'genae[diffusers]'") from None


def read_settings(kind: str, text: str) -> dict[str, Any]:
    """A configuration in JSON. Raises ValueError for what is none."""
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the configuration of {kind} is not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise ValueError(f"the configuration of {kind} is {text[:40]}; expected names with values")
    return settings


@contextmanager
def diffusers_quiet() -> Iterator[None]:
    """Inside, diffusers logs errors alone: its advice is for those who call it."""
    from diffusers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
