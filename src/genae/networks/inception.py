"""Inception-v3 as the Fréchet inception distance is defined on it: TensorFlow's graph of 2015-12-05."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception as tv

from genae.networks.layers import memory_format


class FidInception(tv.Inception3):  # type: ignore[misc]
    """Images [B, 3, H, W] with values 0..255 -> features [B, 2048] and unbiased logits [B, 1008].

    torchvision's network with the three differences of TensorFlow's: average pools leave the padding out of their
    mean, the last block pools by maximum, and there are 1,008 classes. Parameter names are torchvision's, which the
    published conversions of the weights use too. (Szegedy et al. 2015; Heusel et al. 2017; the logits without bias are
    those of the inception score, Salimans et al. 2016.)
    """

    side = 299
    fc: nn.Module

    def __init__(self) -> None:
        super().__init__(num_classes=1008, aux_logits=False, transform_input=False, init_weights=False)
        self.Mixed_5b = _BlockA(192, pool_features=32)
        self.Mixed_5c = _BlockA(256, pool_features=64)
        self.Mixed_5d = _BlockA(288, pool_features=64)
        self.Mixed_6b = _BlockC(768, channels_7x7=128)
        self.Mixed_6c = _BlockC(768, channels_7x7=160)
        self.Mixed_6d = _BlockC(768, channels_7x7=160)
        self.Mixed_6e = _BlockC(768, channels_7x7=192)
        self.Mixed_7b = _BlockE(1280)
        self.Mixed_7c = _BlockEMax(2048)
        self.dropout = nn.Identity()
        self.head, self.fc = self.fc, nn.Identity()  # the base class's forward then ends with the features

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = (tf1_resize(x.float(), self.side) - 128) / 128
        features = super().forward(x.contiguous(memory_format=memory_format(x.device)))
        return features, features @ self.head.weight.T


def tf1_resize(x: Tensor, side: int) -> Tensor:
    """Images [B, C, H, W] -> [B, C, side, side] by TensorFlow 1's bilinear rule.

    Output pixel i lies at i H / side of the input, without half-pixel centres and without antialiasing; beyond the last
    input pixel its value is repeated.
    """
    for axis in (2, 3):
        length = x.shape[axis]
        at = torch.arange(side, dtype=torch.float32, device=x.device) * (length / side)
        low = at.long()
        high = (low + 1).clamp_max(length - 1)
        share = (at - low).view([side if a == axis else 1 for a in range(4)])
        below = x.index_select(axis, low)
        x = below + (x.index_select(axis, high) - below) * share
    return x


def _mean_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)


class _BlockA(tv.InceptionA):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return [self.branch1x1(x), five, three, self.branch_pool(_mean_pool(x))]


class _BlockC(tv.InceptionC):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return [self.branch1x1(x), seven, double, self.branch_pool(_mean_pool(x))]


class _BlockE(tv.InceptionE):  # type: ignore[misc]
    def _pool(self, x: Tensor) -> Tensor:
        return _mean_pool(x)

    def _forward(self, x: Tensor) -> list[Tensor]:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return [
            self.branch1x1(x),
            torch.cat([self.branch3x3_2a(three), self.branch3x3_2b(three)], 1),
            torch.cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], 1),
            self.branch_pool(self._pool(x)),
        ]


class _BlockEMax(_BlockE):
    def _pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, kernel_size=3, stride=1, padding=1)
