"""Dense networks with an equalised learning rate (Karras et al. 2018, Section 4.1): those of ALAE and StyleGAN."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.networks.layers import BatchNorm

LEAK = 0.2  # the usual slope of leaky ReLU


class EqualisedLinear(nn.Module):
    """[B, inputs] -> [B, outputs]: stored weights are N(0, 1 / ``multiplier``^2) and scaled when they are used.

    The scale is ``gain`` / sqrt(inputs) times ``multiplier``, so that every layer's weights move by the same share of
    their spread in a step of Adam; a ``multiplier`` below 1 slows the layer down by that factor. Biases start at 0.
    """

    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2), multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs) * multiplier
        self.multiplier = multiplier

    def forward(self, x: Tensor) -> Tensor:
        """The input is scaled and not the weights: the same product, and a batch is smaller than a layer."""
        return F.linear(x * self.scale, self.weight, self.bias * self.multiplier)


def pixel_norm(z: Tensor) -> Tensor:
    """z [B, d], or maps [B, d, H, W], with a mean square of 1 over d (Karras et al. 2018, Section 4.2)."""
    return z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)


class EqualisedDense(nn.Module):
    """[B, inputs] -> [B, outputs] through ``hidden_layers`` of ``width``, leaky ReLU of slope ``leak`` between them.

    ``last_leak`` is the slope of one after the last layer; None leaves that linear. ``norm`` is ``batch``, before each
    leaky ReLU between layers, or ``none``.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        hidden_layers: int,
        multiplier: float = 1.0,
        leak: float = LEAK,
        last_leak: float | None = None,
        norm: str = "none",
    ) -> None:
        super().__init__()
        sizes = [inputs, *[width] * hidden_layers, outputs]
        self.layers = nn.ModuleList(
            [EqualisedLinear(a, b, multiplier=multiplier) for a, b in itertools.pairwise(sizes)]
        )
        self.norms = nn.ModuleList([BatchNorm(width) for _ in range(hidden_layers)] if norm == "batch" else [])
        self.leak = leak
        self.last_leak = last_leak

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer, [B, width]."""
        for number, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            if self.norms:
                x = self.norms[number](x[:, :, None, None])[:, :, 0, 0]
            x = F.leaky_relu(x, self.leak)
        return x

    def judge(self, features: Tensor) -> Tensor:
        """`features` -> outputs."""
        y = self.layers[-1](features)
        return y if self.last_leak is None else F.leaky_relu(y, self.last_leak)

    def forward(self, x: Tensor) -> Tensor:
        """Both in turn."""
        return self.judge(self.features(x))


def as_vectors(x: Tensor) -> Tensor:
    """Images [B, C, H, W] in [-1, 1] as vectors [B, C H W] in [0, 1]: a dark ground is zero and not a large constant.

    In [-1, 1] ALAE's codes of MNIST tell digits apart far worse (docs/models/alae.md).
    """
    return (x.flatten(1) + 1) / 2


class DenseEncoder(EqualisedDense):
    """Images [B, C, H, W] -> codes [B, code_dim], two hidden layers; ``features`` are the long features [B, width]."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        code_dim: int,
        width: int,
        last_leak: float | None = None,
        norm: str = "none",
    ) -> None:
        super().__init__(math.prod(image_shape), code_dim, width, 2, last_leak=last_leak, norm=norm)

    def features(self, x: Tensor) -> Tensor:
        """The second hidden layer."""
        return super().features(as_vectors(x))


class DenseDecoder(EqualisedDense):
    """Codes [B, code_dim] -> images [B, C, H, W], not bounded; two hidden layers; the last is on the scale [0, 1]."""

    def __init__(self, image_shape: tuple[int, int, int], code_dim: int, width: int, norm: str = "none") -> None:
        super().__init__(code_dim, math.prod(image_shape), width, 2, norm=norm)
        self.image_shape = image_shape

    def judge(self, features: Tensor) -> Tensor:
        """`features` -> images."""
        return (2 * super().judge(features) - 1).unflatten(1, self.image_shape)


class DenseCritic(DenseEncoder):
    """Images [B, C, H, W] -> one logit each [B, 1], two hidden layers."""

    def __init__(self, image_shape: tuple[int, int, int], width: int, norm: str = "none") -> None:
        super().__init__(image_shape, 1, width, norm=norm)


class DenseJointCritic(nn.Module):
    """Images [B, C, H, W] and codes [B, code_dim] -> one logit per pair [B, 1], two hidden layers."""

    def __init__(self, image_shape: tuple[int, int, int], code_dim: int, width: int, norm: str = "none") -> None:
        super().__init__()
        self.pair = EqualisedDense(math.prod(image_shape) + code_dim, 1, width, 2, norm=norm)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        return self.pair(torch.cat([as_vectors(x), code], 1))


class Mapping(nn.Module):
    """F: z [B, latent_dim] -> w [B, latent_dim]: pixel norm, then ``layers`` equal layers, leaky ReLU after each."""

    def __init__(self, latent_dim: int, layers: int, multiplier: float = 0.1) -> None:
        super().__init__()
        self.dense = EqualisedDense(latent_dim, latent_dim, latent_dim, layers - 1, multiplier, last_leak=LEAK)

    def forward(self, z: Tensor) -> Tensor:
        """w."""
        return self.dense(pixel_norm(z))
