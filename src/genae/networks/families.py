"""The families of networks that an autoencoder can be built of, by name."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, NoReturn

from genae.networks.dcgan import ConvDecoder, ConvEncoder, JointCritic, PatchCritic
from genae.networks.equalised import DenseCritic, DenseDecoder, DenseEncoder, DenseJointCritic
from genae.networks.gridded import GridDecoder, GridEncoder
from genae.networks.residual import GridCritic, ResidualDecoder, ResidualEncoder, ResidualJointCritic

FAMILIES = ("dcgan", "dense", "residual")


class Family(NamedTuple):
    """Builders of networks that fit together, for images of a shape (C, H, W) and a ``width``."""

    encoder: Callable[..., Any]
    """(image_shape, outputs, width): images [B, C, H, W] -> [B, outputs], or maps [B, outputs, h, w]."""
    decoder: Callable[..., Any]
    """(image_shape, inputs, width): codes [B, inputs] or [B, inputs, h, w] -> images."""
    critic: Callable[..., Any]
    """(image_shape, width): images -> logits, by way of ``features`` and ``judge``."""
    joint_critic: Callable[..., Any]
    """(image_shape, code_dim, width): images and codes -> logits [B, 1]."""


def family(name: str, norm: str, cells: int = 0) -> Family:
    """``dcgan``: the convolutions of AAAE's Table III; ``dense``: two hidden layers of ``width`` (ALAE, Section 7.1);
    ``residual``: ResNet-18's first stages (PatchVAE, Section 4), or with ``cells`` above 0 those whose codes are maps
    of so many cells along the shorter side (`networks.gridded`).

    ``norm`` is ``batch``, ``group`` or ``none``; of dense networks, critics too, ``batch`` or ``none``. Raises
    ValueError.
    """
    if name not in FAMILIES:
        raise ValueError(f"networks is {name!r}; expected one of {' or '.join(FAMILIES)}")
    if cells and name != "residual":
        raise ValueError(f"networks is {name!r}, whose codes are vectors; with code-grid, expected residual")
    if name == "dcgan":
        return Family(partial(ConvEncoder, norm=norm), partial(ConvDecoder, norm=norm), PatchCritic, JointCritic)
    if name == "residual" and cells:
        grid = partial(GridEncoder, norm=norm, cells=cells), partial(GridDecoder, norm=norm, cells=cells)
        return Family(*grid, partial(_patch_critic, norm=norm), _no_joint_critic)
    if name == "residual":
        encoder, decoder = (partial(network, norm=norm) for network in (ResidualEncoder, ResidualDecoder))
        return Family(encoder, decoder, partial(GridCritic, norm=norm), ResidualJointCritic)
    if norm not in ("batch", "none"):
        raise ValueError(f"norm is {norm!r}; dense networks have batch or none")
    dense = (partial(network, norm=norm) for network in (DenseEncoder, DenseDecoder, DenseCritic, DenseJointCritic))
    return Family(*dense)


def _patch_critic(image_shape: tuple[int, int, int], width: int, norm: str) -> GridCritic:
    """A logit for each 8 x 8 pixels, or for 4 x 4 where sides are no multiples of 8."""
    scale = 4 if image_shape[1] % 8 or image_shape[2] % 8 else 8
    return GridCritic(image_shape, width, scale, norm)


def _no_joint_critic(*_: object) -> NoReturn:
    raise ValueError("a critic of pairs judges codes that are vectors; leave out code-grid")
