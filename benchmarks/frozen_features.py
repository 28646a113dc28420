"""Features of frozen layers kept in memory, kept on disk and computed again: memory, time and the same numbers.

A PatchVAE's trunk with fresh weights, random images of ten classes in a packed file, mirror images. A head is trained
for some epochs in a process of its own for each place and number of images. With `none` nothing is frozen.
Memory is what the process had at its most, less what it had before the layers were frozen: beside the batches it should
be the size of the features in memory, and nothing elsewhere. The losses of all batches must be equal to the last bit.

    python benchmarks/frozen_features.py [--images 5000,20000] [--size 64] [--width 16] [--epochs 1]
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from genae.data.sources import open_data, pack
from genae.metrics import frozen_features
from genae.metrics.recognition import calibrate, freeze, recognise
from genae.networks.residual import ResidualTrunk

FROZEN = "conv1-5"
PLACES = {"memory": (1e15, 0.0), "disk": (1.0, 1e6), "again": (1.0, 0.0)}
"""Place -> bytes of memory that the machine pretends to have, GB of disk that the user gives."""


def resident(which: str) -> float:
    """Megabytes of memory of this process, as Linux counts them: ``VmRSS`` now, ``VmHWM`` at its most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1e3


def measure(path: str, place: str, frozen: str, width: int, epochs: int) -> dict[str, object]:
    """In this process: the seconds before the training and of it, memory, and a hash of all losses."""
    memory, keep = PLACES[place]
    frozen_features.physical_memory = lambda: int(memory)
    losses: list[float] = []
    plain = F.cross_entropy

    def noted(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = plain(logits, labels)
        losses.append(float(loss.detach()))
        return loss

    F.cross_entropy = noted
    data = open_data(path)
    data = replace(data, labels=torch.arange(len(data)) % 10, classes=tuple("abcdefghij"))
    torch.manual_seed(0)
    network = ResidualTrunk(data.image_shape, width)
    trunk = torch.nn.ModuleList([network.stem, *network.stages])
    calibrate(trunk, data)
    before, begun = resident("VmRSS"), time.monotonic()
    with freeze(trunk, data, frozen, flip=True, keep_features=keep) as layers:
        frozen_in = time.monotonic() - begun
        found = recognise(layers, epochs=epochs, learning_rate=1e-3)
        features = len(data) + len(data.split("train"))
        size = layers.features.nbytes(features) / 1e6
    digest = hashlib.sha256(repr((losses, found)).encode()).hexdigest()[:12]
    seconds = time.monotonic() - begun - frozen_in
    return {
        "before": frozen_in,
        "training": seconds,
        "memory": resident("VmHWM") - before,
        "size": size,
        "digest": digest,
    }


def main() -> None:
    """Print a row for each place and number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="5000,20000")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.child:
        print(json.dumps(measure(*flags.child, flags.width, flags.epochs)))
        return
    print(f"{'images':>8}  {'frozen':<8} {'place':<8} {'features, MB':>12} {'memory, MB':>11} {'before, s':>10} "
          f"{'training, s':>12}  losses")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for count in map(int, flags.images.split(",")):
            pixels = np.random.default_rng(0).integers(0, 256, (count, 3, flags.size, flags.size), np.uint8)
            path = Path(folder) / f"{count}.genae"
            pack(pixels, path)
            digests = set()
            for frozen, place in (*((FROZEN, place) for place in PLACES), ("none", "again")):
                command = [sys.executable, __file__, "--width", str(flags.width), "--epochs", str(flags.epochs)]
                result = subprocess.run([*command, "--child", str(path), place, frozen], capture_output=True, text=True)
                if result.returncode:
                    sys.exit(result.stderr)
                row = json.loads(result.stdout.splitlines()[-1])
                size = row["size"] if frozen == FROZEN else 0.0
                print(f"{count:>8,}  {frozen:<8} {place:<8} {size:>12,.0f} {row['memory']:>11,.0f} "
                      f"{row['before']:>10.1f} {row['training']:>12.1f}  {row['digest']}", flush=True)  # fmt: skip
                if frozen == FROZEN:
                    digests.add(row["digest"])
            print(f"{'equal' if len(digests) == 1 else 'NOT EQUAL'} losses of {FROZEN} wherever its features are")


if __name__ == "__main__":
    main()
