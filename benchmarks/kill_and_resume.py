"""Twenty kill -9 at random moments of one training run, each resumed by the same command.

    python benchmarks/kill_and_resume.py [--kills 20] [--images 60000] [--packed]

Trains stacked-wae on the built-in digits without a break, then again with kills, and compares the final and the best
weights. With ``--packed`` it trains on 4,000 random colour pictures of 16 pixels in a packed file, which is read ahead;
a third run, with the same pictures in memory, must have the same weights as well.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from genae.training.checkpoint import RunFolder


def start(run: Path, images: int, data: str) -> subprocess.Popen[bytes]:
    """The same command every time."""
    settings = "--checkpoint-every 640 --validate-every 1600 --precision float32 --width 16 --device cpu"
    command = [sys.executable, "-m", "genae", "train", "stacked-wae", "--run", str(run), "--images", str(images)]
    return subprocess.Popen([*command, "--data", data, *settings.split()], stdout=subprocess.DEVNULL)


def packed(folder: Path) -> tuple[str, str]:
    """The paths of an array of random smooth pictures and of a packed file of it."""
    coarse = torch.rand(4000, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    pictures = torch.nn.functional.interpolate(coarse, size=16, mode="bilinear").mul(255).round().byte()
    array, file = folder / "pictures.npz", folder / "pictures.genae"
    np.savez(array, images=pictures.permute(0, 2, 3, 1).numpy())
    subprocess.run([sys.executable, "-m", "genae", "pack", array, "--out", file], check=True)
    return str(array), str(file)


def alike(one: Path, other: Path) -> bool:
    """Whether the final and the best weights of two runs are equal bit for bit."""
    pairs = [
        (load_file(RunFolder(one).checkpoints()[-1] / "model.safetensors"),
         load_file(RunFolder(other).checkpoints()[-1] / "model.safetensors")),
        (load_file(one / "best.safetensors"), load_file(other / "best.safetensors")),
    ]  # fmt: skip
    return all(a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in b) for a, b in pairs)


def main() -> None:
    """Train, kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--packed", action="store_true", help="train from a packed file")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        array, data = packed(folder) if arguments.packed else ("", "digits")
        whole, parts = folder / "whole", folder / "parts"
        begun = time.perf_counter()
        uninterrupted = start(whole, arguments.images, data)
        while not (whole / "log.jsonl").exists() and uninterrupted.poll() is None:
            time.sleep(0.1)
        begins = time.perf_counter() - begun
        assert uninterrupted.wait() == 0
        apart = 1.6 * (time.perf_counter() - begun - begins) / arguments.kills
        kills = 0
        while kills < arguments.kills:
            process = start(parts, arguments.images, data)
            try:
                status = process.wait(timeout=chance.uniform(begins, begins + apart))
                assert status == 0
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                saved = RunFolder(parts).checkpoints()
                print(f"kill {kills:2}: newest checkpoint {saved[-1].name if saved else 'none'}", flush=True)
        assert start(parts, arguments.images, data).wait() == 0
        same = {f"{kills} kills": alike(parts, whole)}
        if array:
            assert start(folder / "memory", arguments.images, array).wait() == 0
            same["in memory"] = alike(folder / "memory", whole)
    for what, equal in same.items():
        print(f"{what}: final and best weights bit-identical: {equal}")
    sys.exit(0 if all(same.values()) else 1)


if __name__ == "__main__":
    main()
