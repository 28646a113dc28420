"""What tests read of a data set."""

import torch
from torch import Tensor

from genae.data.raw import Raw
from genae.data.sources import ImageData


def pixels_of(data: ImageData | Raw) -> Tensor:
    """All pixels as they are stored [N, C, H, W]."""
    return torch.cat([data.store.read(part) for part in data.store.chunks()])
