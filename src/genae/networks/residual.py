"""A residual trunk, and networks on it: those of PatchVAE and of the baselines that it is compared with.

Gupta, Singh, Shrivastava: PatchVAE (2020), Section 4; He et al. 2016 (ResNet-18).
"""

import math

import torch
from torch import Tensor, nn

from genae.networks.layers import normalisation

LEAK = 0.2


def stages_of(image_shape: tuple[int, int, int], scale: int) -> int:
    """log2(scale), the number of times that maps are halved. Raises ValueError for sides that are not multiples."""
    stages = int(math.log2(scale)) if scale > 0 else 0
    if 2**stages != scale or not 4 <= scale <= 32:
        raise ValueError(f"scale is {scale}; expected 4, 8, 16 or 32")
    if image_shape[1] % scale or image_shape[2] % scale:
        raise ValueError(
            f"images of {image_shape[1]} x {image_shape[2]} pixels; expected multiples of the scale {scale} (--size)"
        )
    return stages


class ResidualTrunk(nn.Module):
    """phi: images [B, C, H, W] -> maps [B, ``channels``, H / scale, W / scale].

    ResNet-18's first layers: a 7 x 7 convolution of stride 2 to ``width`` channels and a maximum over 3 x 3, then
    stages of ``blocks`` residual blocks of two convolutions; each but the first halves the map and doubles channels.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], width: int = 64, scale: int = 8, blocks: int = 2, norm: str = "batch"
    ) -> None:
        super().__init__()
        from torchvision.models.resnet import BasicBlock  # its import takes longer than PyTorch's own

        def normalise(channels: int) -> nn.Module:
            return normalisation(norm, channels)

        self.stem = nn.Sequential(
            nn.Conv2d(image_shape[0], width, 7, 2, 3, bias=False), normalise(width), nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        stages, inputs = [], width
        for stage in range(stages_of(image_shape, scale) - 1):
            outputs, stride = width * 2**stage, min(stage, 1) + 1
            shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), normalise(outputs))
            first = BasicBlock(inputs, outputs, stride, shortcut if stage else None, norm_layer=normalise)
            rest = [BasicBlock(outputs, outputs, norm_layer=normalise) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(first, *rest))
            inputs = outputs
        self.stages = nn.ModuleList(stages)
        self.channels = inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Maps."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x


class Pyramid(nn.Module):
    """Maps [B, inputs, h, w] -> images [B, C, h scale, w scale] in [-1, 1]: transposed convolutions of stride 2."""

    def __init__(
        self, image_shape: tuple[int, int, int], inputs: int, width: int = 64, scale: int = 8, norm: str = "batch"
    ) -> None:
        super().__init__()
        stages = stages_of(image_shape, scale)
        outputs = width * 2 ** (stages - 1)
        layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, outputs, 1, bias=norm == "none")]
        for stage in range(stages):
            inputs, outputs = outputs, outputs // 2 if stage < stages - 1 else image_shape[0]
            layers += [normalisation(norm, inputs), nn.LeakyReLU(LEAK, inplace=True)]
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=norm == "none")]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, maps: Tensor) -> Tensor:
        """Images."""
        return self.layers(maps)


class ResidualEncoder(nn.Module):
    """Images [B, C, H, W] -> [B, outputs]: the trunk, a 1 x 1 convolution to ``width`` channels, a dense layer."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        outputs: int,
        width: int = 64,
        norm: str = "batch",
        scale: int = 8,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(image_shape, width, scale, blocks, norm)
        self.reduce = nn.Sequential(
            nn.Conv2d(self.trunk.channels, width, 1, bias=norm == "none"), normalisation(norm, width),
            nn.ReLU(inplace=True),
        )  # fmt: skip
        places = image_shape[1] * image_shape[2] // scale**2
        self.linear = nn.Linear(width * places, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Codes."""
        return self.linear(self.reduce(self.trunk(x)).flatten(1))


class ResidualDecoder(nn.Module):
    """Codes [B, code_dim] -> images [B, C, H, W] in [-1, 1]: a dense layer to ``width`` maps, then the pyramid."""

    def __init__(
        self, image_shape: tuple[int, int, int], code_dim: int, width: int = 64, norm: str = "batch", scale: int = 8
    ) -> None:
        super().__init__()
        self.map_shape = (width, image_shape[1] // scale, image_shape[2] // scale)
        self.linear = nn.Linear(code_dim, math.prod(self.map_shape), bias=norm == "none")
        self.start = nn.Sequential(normalisation(norm, width), nn.LeakyReLU(LEAK, inplace=True))
        self.pyramid = Pyramid(image_shape, width, width, scale, norm)

    def forward(self, code: Tensor) -> Tensor:
        """Images."""
        return self.pyramid(self.start(self.linear(code).unflatten(1, self.map_shape)))


class GridCritic(nn.Module):
    """Images [B, C, H, W] -> one logit for each cell of the grid [B, 1, H / scale, W / scale]."""

    def __init__(self, image_shape: tuple[int, int, int], width: int = 64, scale: int = 8, norm: str = "batch") -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(image_shape[0], width, 4, 2, 1), nn.LeakyReLU(LEAK, inplace=True)]
        for _ in range(stages_of(image_shape, scale) - 1):
            layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=norm == "none"), normalisation(norm, 2 * width)]
            layers += [nn.LeakyReLU(LEAK, inplace=True)]
            width *= 2
        self.layers = nn.Sequential(*layers)
        self.logit = nn.Conv2d(width, 1, 1)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer [B, channels, h, w]."""
        return self.layers(x)

    def judge(self, features: Tensor) -> Tensor:
        """`features` -> logits."""
        return self.logit(features)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.judge(self.features(x))


class ResidualJointCritic(nn.Module):
    """Images [B, C, H, W] and codes [B, code_dim] -> one logit per pair [B, 1]: a trunk, then two dense layers."""

    def __init__(self, image_shape: tuple[int, int, int], code_dim: int, width: int = 64, scale: int = 8) -> None:
        super().__init__()
        self.trunk = ResidualTrunk(image_shape, width, scale, norm="none")
        places = image_shape[1] * image_shape[2] // scale**2
        self.hidden = nn.Linear(self.trunk.channels * places + code_dim, 512)
        self.logit = nn.Linear(512, 1)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Logits."""
        pair = torch.cat([self.trunk(x).flatten(1), code], 1)
        return self.logit(nn.functional.leaky_relu(self.hidden(pair), LEAK))
