"""Images/s of an evaluation of files, from opening the folder to the last sum, against the bare network's forward pass.

    python benchmarks/evaluate_throughput.py [--network inception|classifier] [--side 64] [--count 256] [--weights FILE]

Both sides in turn in one process, from the same PNG files; the bare pass gets its batches ready-made. Without --weights
Inception-v3 has random ones: the time is the same.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from genae.data.sources import open_data
from genae.data.stream import open_stream
from genae.metrics.backbones import Networks, open_network
from genae.metrics.evaluation import Request
from genae.metrics.features import FeatureNetwork
from genae.metrics.frechet import Fd
from genae.metrics.metric import BATCH
from genae.metrics.of_images import ImageEvaluation
from genae.networks.inception import FidInception


def open_inception(weights: str | None, folder: Path) -> FeatureNetwork:
    """Inception-v3 with the file's weights, or random ones."""
    path = Path(weights or folder / "random.pth")
    if not weights:
        network = FidInception()
        torch.save({key.replace("head.", "fc."): value for key, value in network.state_dict().items()}, path)
    return open_network("inception", torch.device("cpu"), {"inception": path})


class Given(Networks):
    """One network under every name."""

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__(torch.device("cpu"))
        self.network = network

    def __getitem__(self, name: str) -> FeatureNetwork:
        return self.network


def main() -> None:
    """Write pictures, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("inception", "classifier"), default="inception")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--weights")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        rng = np.random.default_rng(0)
        for i in range(arguments.count):
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            coarse.resize((arguments.side,) * 2, Image.Resampling.BICUBIC).save(folder / "images" / f"{i:05d}.png")
        if arguments.network == "inception":
            network = open_inception(arguments.weights, folder)
        else:
            from genae.metrics.data_classifier import classifier_of

            data = open_data("shapes", size=arguments.side)
            network = classifier_of(data, torch.device("cpu"))
        stream = open_stream(str(folder / "images"))
        batches = [stream.read(part) for part in stream.indices.split(BATCH)]
        network(batches[0])
        ratios, rates = [], []
        for _ in range(arguments.repeats):
            begun = time.perf_counter()
            for batch in batches:
                network(batch)
            bare = time.perf_counter() - begun
            begun = time.perf_counter()
            images = open_stream(str(folder / "images"))
            evaluation = ImageEvaluation(images, images, [Fd("fd")], Request(), Given(network))
            for each in evaluation.passes():
                evaluation.go_through(each)
            whole = time.perf_counter() - begun
            ratios.append(whole / bare)
            rates.append((arguments.count / bare, arguments.count / whole))
        if arguments.network == "inception" and not arguments.weights:
            theirs = FeatureExtractorInceptionV3("other", ["2048"], str(folder / "random.pth"))
            with torch.no_grad():
                theirs(batches[0])
                begun = time.perf_counter()
                for batch in batches:
                    theirs(batch)
            print(f"torch-fidelity's Inception-v3: {arguments.count / (time.perf_counter() - begun):.1f} images/s")
    middle = statistics.median(ratios)
    bare, whole = (statistics.median(side) for side in zip(*rates, strict=True))
    print(f"{network.name}, {arguments.count} PNG files of {arguments.side} pixels, {torch.get_num_threads()} threads")
    print(f"bare forward {bare:.1f} images/s, evaluation {whole:.1f} images/s: {middle - 1:+.1%} time "
          f"({min(ratios) - 1:+.1%} to {max(ratios) - 1:+.1%})")  # fmt: skip


if __name__ == "__main__":
    main()
