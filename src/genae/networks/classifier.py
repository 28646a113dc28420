"""A small image classifier whose features and probabilities serve the metrics."""

import torch.nn.functional as F
from torch import Tensor, nn


class ConvClassifier(nn.Module):
    """Images [B, C, H, W] in [-1, 1] -> logits [B, classes].

    The classifier behind ALICE's MNIST inception score (Li et al. 2017, authors' code): 5 x 5 convolution to 32
    channels, 5 x 5 to 64, both pooled, dense 1024, dropout 0.3. It takes [-0.5, 0.5]: the conversion is in here, so
    that no caller can feed it another range (the same images in [0, 1] would score 3.8 instead of 9.8).
    """

    def __init__(self, image_shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.dense = nn.Sequential(nn.Linear(64 * (height // 4) * (width // 4), 1024), nn.BatchNorm1d(1024), nn.ReLU())
        self.head = nn.Linear(1024, classes)

    def features(self, x: Tensor) -> Tensor:
        """[B, 1024], the input of the last layer."""
        return self.dense(self.convolutions(x / 2).flatten(1))

    def maps(self, x: Tensor) -> list[Tensor]:
        """[B, 32, H, W] and [B, 64, H / 2, W / 2]: what both convolutions give, before they are pooled."""
        first = self.convolutions[:3](x / 2)
        return [first, self.convolutions[3:7](first)]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.features(x), 0.3, self.training))
