"""The families of networks that an autoencoder can be built of, by name."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from genae.networks.dcgan import ConvDecoder, ConvEncoder, JointCritic, PatchCritic
from genae.networks.equalised import DenseCritic, DenseDecoder, DenseEncoder, DenseJointCritic
from genae.networks.residual import GridCritic, ResidualDecoder, ResidualEncoder, ResidualJointCritic

FAMILIES = ("dcgan", "dense", "residual")


class Family(NamedTuple):
    """Builders of networks that fit together, for images of a shape (C, H, W) and a ``width``."""

    encoder: Callable[..., Any]
    """(image_shape, outputs, width): images [B, C, H, W] -> [B, outputs]."""
    decoder: Callable[..., Any]
    """(image_shape, code_dim, width): codes [B, code_dim] -> images."""
    critic: Callable[..., Any]
    """(image_shape, width): images -> logits, by way of ``features`` and ``judge``."""
    joint_critic: Callable[..., Any]
    """(image_shape, code_dim, width): images and codes -> logits [B, 1]."""


def family(name: str, norm: str) -> Family:
    """``dcgan``: the convolutions of AAAE's Table III; ``dense``: two hidden layers of ``width`` (ALAE, Section 7.1);
    ``residual``: ResNet-18's first stages (PatchVAE, Section 4).

    ``norm`` is ``batch`` or ``none``; dense networks have none. Raises ValueError.
    """
    if name == "dcgan":
        return Family(partial(ConvEncoder, norm=norm), partial(ConvDecoder, norm=norm), PatchCritic, JointCritic)
    if name == "residual":
        encoder, decoder = (partial(network, norm=norm) for network in (ResidualEncoder, ResidualDecoder))
        return Family(encoder, decoder, partial(GridCritic, norm=norm), ResidualJointCritic)
    if name != "dense":
        raise ValueError(f"networks is {name!r}; expected one of {' or '.join(FAMILIES)}")
    if norm != "none":
        raise ValueError(f"norm is {norm!r}, and dense networks have no normalisation; expected none")
    return Family(DenseEncoder, DenseDecoder, DenseCritic, DenseJointCritic)
