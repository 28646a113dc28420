"""Convolutional encoder, decoder and patch critic for images of any size, channel count and aspect.

The architecture of AAAE's appendix (Table III, drawn for 3 x 32 x 32); other sizes follow by adding or removing
stride-2 stages until the smaller side of the map is 2 or 3.
"""

import math

import torch
from torch import Tensor, nn

from genae.networks.convolution import Conv2d, ConvTranspose2d
from genae.networks.dense import LEAK, Dense
from genae.networks.layers import centre_crop, initialise_normal, normalisation, pad_to_multiple


def stages_for(height: int, width: int) -> int:
    """Number of stride-2 stages: 2 at 8 pixels, 4 at 32, 5 at 64. Images below 4 pixels raise ValueError."""
    if min(height, width) < 4:
        raise ValueError(f"images of {height}x{width} pixels are too small: the smaller side must be at least 4")
    return max(1, round(math.log2(min(height, width))) - 1)


def padded_size(height: int, width: int) -> tuple[int, int]:
    """The size that the stride-2 stages halve exactly: each side rounded up to a multiple of 2^stages."""
    multiple = 2 ** stages_for(height, width)
    return math.ceil(height / multiple) * multiple, math.ceil(width / multiple) * multiple


class ConvEncoder(nn.Module):
    """E: images [B, C, H, W] -> codes [B, code_dim]. Stride 1 to ``width`` channels, then each stage doubles them.

    At 32 x 32 and width 64: 64, 128, 256, 512, 1024 channels, a 2 x 2 map, linear to the code.
    """

    def __init__(self, image_shape: tuple[int, int, int], code_dim: int, width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        channels, *size = image_shape
        self.size = padded_size(*size)
        stages = stages_for(*size)
        # 4 x 4 kernels at stride 1 lose a pixel: pad 1 before and 2 after.
        layers: list[nn.Module] = [nn.ZeroPad2d((1, 2, 1, 2)), Conv2d(channels, width, 4, bias=norm == "none")]
        layers += [normalisation(norm, width), nn.ELU(inplace=True)]
        for stage in range(stages):
            inputs, outputs = width * min(2**stage, 16), width * min(2 ** (stage + 1), 16)
            layers += [
                Conv2d(inputs, outputs, 4, 2, 1, bias=norm == "none"),
                normalisation(norm, outputs),
                nn.ELU(inplace=True),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(outputs * (self.size[0] >> stages) * (self.size[1] >> stages), code_dim)
        initialise_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convolutions(pad_to_multiple(x, *self.size)).flatten(1))


class ConvDecoder(nn.Module):
    """G: codes [B, code_dim] -> images [B, C, H, W] in [-1, 1]: the encoder's stages in reverse, then a 3 x 3 layer."""

    def __init__(self, image_shape: tuple[int, int, int], code_dim: int, width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        channels, *self.image_size = image_shape
        stages = stages_for(*self.image_size)
        height, breadth = padded_size(*self.image_size)
        outputs = width * min(2**stages, 16)
        self.map_shape = (outputs, height >> stages, breadth >> stages)
        self.linear = nn.Linear(code_dim, math.prod(self.map_shape), bias=norm == "none")
        layers: list[nn.Module] = [normalisation(norm, outputs), nn.ELU(inplace=True)]
        for stage in reversed(range(stages)):
            inputs, outputs = outputs, width * min(2**stage, 16)
            layers += [ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=norm == "none")]
            layers += [normalisation(norm, outputs), nn.ELU(inplace=True)]
        layers += [Conv2d(outputs, channels, 3, 1, 1), nn.Tanh()]
        self.convolutions = nn.Sequential(*layers)
        initialise_normal(self)

    def forward(self, code: Tensor) -> Tensor:
        maps = self.linear(code).unflatten(1, self.map_shape)
        return centre_crop(self.convolutions(maps), *self.image_size)


class PatchCritic(nn.Module):
    """C: images [B, C, H, W] -> one logit per patch [B, 1, h, w]; no normalisation.

    At 32 x 32 and width 64: stride-2 layers of 64, 128, 256, 512 channels, then 3 x 3 to 2 x 2 logits.
    """

    def __init__(self, image_shape: tuple[int, int, int], width: int = 64) -> None:
        super().__init__()
        inputs, *size = image_shape
        layers: list[nn.Module] = []
        for stage in range(stages_for(*size)):
            outputs = width * min(2**stage, 16)
            layers += [Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(LEAK, inplace=True)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, Conv2d(inputs, 1, 3, 1, 1))
        initialise_normal(self)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer, [B, channels, h, w] (VAE-GAN's Dis_l)."""
        return self.layers[:-1](x)

    def judge(self, features: Tensor) -> Tensor:
        """`features` -> logits."""
        return self.layers[-1](features)

    def forward(self, x: Tensor) -> Tensor:
        return self.judge(self.features(x))


class JointCritic(nn.Module):
    """Images [B, C, H, W] and codes [B, code_dim] -> one logit per pair [B, 1] (ALI, BiGAN); no normalisation.

    The patch critic's layers on the image, then three dense layers of 512 on its features and the code.
    """

    def __init__(self, image_shape: tuple[int, int, int], code_dim: int, width: int = 64, hidden: int = 512) -> None:
        super().__init__()
        self.image = PatchCritic(image_shape, width).layers[:-1]
        features = math.prod(self.image(torch.zeros(1, *image_shape)).shape)
        self.pair = Dense(features + code_dim, 1, hidden, leak=LEAK, initial="kaiming")
        initialise_normal(self.image)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        return self.pair(torch.cat([self.image(x).flatten(1), code], 1))
