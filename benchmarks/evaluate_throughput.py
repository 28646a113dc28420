"""Images/s of an evaluation of files, from opening the folder to the last sum, against the bare network's forward pass.

    python benchmarks/evaluate_throughput.py [--device cuda] [--network classifier] [--side 64] [--weights FILE]

Both sides in turn in one process, from the same PNG files; the bare pass gets its batches ready-made, on
the device. Without --weights Inception-v3 has random ones: the time is the same.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from turns import add_device, machine, seconds_of

from genae.data.sources import open_data
from genae.data.stream import open_stream
from genae.metrics.backbones import Networks, open_network
from genae.metrics.data_classifier import classifier_of
from genae.metrics.evaluation import Request
from genae.metrics.features import FeatureNetwork
from genae.metrics.frechet import Fd
from genae.metrics.metric import BATCH
from genae.metrics.of_images import ImageEvaluation
from genae.networks.arithmetic import exact_float32
from genae.networks.inception import FidInception


def open_inception(weights: str | None, folder: Path, device: torch.device) -> FeatureNetwork:
    """Inception-v3 with the file's weights, or random ones."""
    path = Path(weights or folder / "random.pth")
    if not weights:
        network = FidInception()
        torch.save({key.replace("head.", "fc."): value for key, value in network.state_dict().items()}, path)
    return open_network("inception", device, {"inception": path})


class Given(Networks):
    """One network under every name."""

    def __init__(self, network: FeatureNetwork, device: torch.device) -> None:
        super().__init__(device)
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
    add_device(parser)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    with tempfile.TemporaryDirectory() as name, exact_float32():  # as every measurement
        print(machine(arguments.device))
        folder = Path(name)
        (folder / "images").mkdir()
        rng = np.random.default_rng(0)
        for i in range(arguments.count):
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            coarse.resize((arguments.side,) * 2, Image.Resampling.BICUBIC).save(folder / "images" / f"{i:05d}.png")
        if arguments.network == "inception":
            network = open_inception(arguments.weights, folder, device)
        else:
            network = classifier_of(open_data("shapes", size=arguments.side), device)
        stream = open_stream(str(folder / "images"))
        batches = [stream.read(part).to(device) for part in stream.indices.split(BATCH)]

        def bare_pass() -> None:
            for batch in batches:
                network(batch)

        def evaluate() -> None:
            images = open_stream(str(folder / "images"))
            evaluation = ImageEvaluation(images, images, [Fd("fd")], Request(), Given(network, device))
            for each in evaluation.passes():
                evaluation.go_through(each)

        network(batches[0])
        ratios, rates = [], []
        for _ in range(arguments.repeats):
            bare, whole = (seconds_of(run, device) for run in (bare_pass, evaluate))
            ratios.append(whole / bare)
            rates.append((arguments.count / bare, arguments.count / whole))
        if arguments.network == "inception" and not arguments.weights:
            theirs = FeatureExtractorInceptionV3("other", ["2048"], str(folder / "random.pth")).to(device)

            def their_pass() -> None:
                for batch in batches:
                    theirs(batch)

            with torch.no_grad():
                theirs(batches[0])
                rate = arguments.count / seconds_of(their_pass, device)
            print(f"torch-fidelity's Inception-v3: {rate:.1f} images/s")
    middle = statistics.median(ratios)
    bare, whole = (statistics.median(side) for side in zip(*rates, strict=True))
    print(f"{network.name}, {arguments.count} PNG files of {arguments.side} pixels")
    print(f"bare forward {bare:.1f} images/s, evaluation {whole:.1f} images/s: {middle - 1:+.1%} time "
          f"({min(ratios) - 1:+.1%} to {max(ratios) - 1:+.1%})")  # fmt: skip


if __name__ == "__main__":
    main()
