"""What a Fréchet distance measures when two sides hold the same pictures, treated differently.

    python benchmarks/protocol_effects.py CIFAR10

CIFAR10 is ``cifar10``, or a folder or zip of it with class sub-folders; its classifier is trained at the first use.
Every number is a distance between two sets of the same images, or, as a yardstick, of different real ones.
"""

import argparse
import io
import sys
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from genae.api import classifier_for
from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.metrics.backbones import open_network
from genae.metrics.features import FeatureNetwork
from genae.metrics.frechet import Moments
from genae.networks.inception import tf1_resize


def jpeg(images: Tensor, quality: int) -> Tensor:
    """Images [N, 3, H, W] uint8, written as JPEG and read again."""
    decoded = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
        decoded.append(np.array(Image.open(buffer)))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2)


def patches(count: int, side: int) -> Tensor:
    """Random squares of scikit-learn's two photographs, [N, 3, side, side] uint8."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    rng = np.random.default_rng(0)
    cut = []
    for i in range(count):
        photo = photographs[i % len(photographs)]
        y, x = (rng.integers(0, length - side) for length in photo.shape[:2])
        cut.append(photo[y : y + side, x : x + side])
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2)


FILTERS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "bicubic, antialias": lambda x, side: tv.resize(x, [side, side], InterpolationMode.BICUBIC, antialias=True),
    "bilinear, antialias": lambda x, side: tv.resize(x, [side, side], InterpolationMode.BILINEAR, antialias=True),
    "area": lambda x, side: F.interpolate(x.float(), (side, side), mode="area").round().to(torch.uint8),
    "bilinear, no antialias": lambda x, side: tv.resize(x, [side, side], InterpolationMode.BILINEAR, antialias=False),
    "TensorFlow 1 bilinear": lambda x, side: tf1_resize(x.float(), side).round().clamp(0, 255).to(torch.uint8),
    "nearest": lambda x, side: tv.resize(x, [side, side], InterpolationMode.NEAREST),
}


def moments(network: FeatureNetwork, images: Tensor) -> Moments:
    """Of all images under a network."""
    result = Moments()
    for part in images.split(256):
        result.add(network(part).features)
    return result.finish()


def main() -> None:
    """Measure, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10")
    parser.add_argument("--patches", type=int, default=4000)
    arguments = parser.parse_args()
    try:
        data = open_data(arguments.cifar10)
    except GenaeError as error:
        sys.exit(f"skipped: {error}")
    networks = [classifier_for(data, torch.device("cpu")), open_network("pixels", torch.device("cpu"))]
    test, train = data.stored(data.split("test")), data.stored(data.split("train")[: len(data.split("test"))])
    print(f"{len(test)} test images of {data.name}; networks: {', '.join(n.name for n in networks)}\n")

    def table(title: str, reference: Tensor, others: dict[str, Tensor]) -> None:
        known = [moments(network, reference) for network in networks]
        print(f"| {title} | classifier features | pixels |\n| --- | --- | --- |")
        for name, images in others.items():
            values = [moments(n, images).distance(m) for n, m in zip(networks, known, strict=True)]
            print(f"| {name} | {values[0]:.3g} | {values[1]:.3g} |", flush=True)

    table("test images against themselves", test, {
        "as PNG": test, **{f"as JPEG, quality {q}": jpeg(test, q) for q in (95, 90, 75, 50)},
        "training images instead (yardstick)": train,
    })  # fmt: skip
    squares = patches(2 * arguments.patches, 96)
    first, second = squares[: arguments.patches], squares[arguments.patches :]
    print()
    resized = {name: filter(first, 32) for name, filter in FILTERS.items()}
    resized |= {
        f"bicubic, antialias, as JPEG, quality {q}": jpeg(resized["bicubic, antialias"], q) for q in (95, 90, 75)
    }
    resized["other squares (yardstick)"] = FILTERS["bicubic, antialias"](second, 32)
    table("96-pixel squares of photographs at 32 pixels", resized["bicubic, antialias"], resized)


if __name__ == "__main__":
    main()
