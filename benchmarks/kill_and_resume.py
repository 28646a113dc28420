"""Twenty kill -9 at random moments of one training run, each resumed by the same command.

    python benchmarks/kill_and_resume.py [--kills 20] [--images 60000]

Trains stacked-wae on the built-in digits without a break, then again with kills, and compares the final weights.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from genae.training.checkpoint import RunFolder


def start(run: Path, images: int) -> subprocess.Popen[bytes]:
    """The same command every time."""
    settings = "--data digits --checkpoint-every 640 --validate-every 1600 --precision float32 --width 16 --device cpu"
    command = [sys.executable, "-m", "genae", "train", "stacked-wae", "--run", str(run), "--images", str(images)]
    return subprocess.Popen([*command, *settings.split()], stdout=subprocess.DEVNULL)


def main() -> None:
    """Train, kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = Path(folder) / "whole", Path(folder) / "parts"
        begun = time.perf_counter()
        assert start(whole, arguments.images).wait() == 0
        whole_seconds = time.perf_counter() - begun
        kills = 0
        while kills < arguments.kills:
            process = start(parts, arguments.images)
            try:
                status = process.wait(timeout=chance.uniform(4, 4 + 1.6 * whole_seconds / arguments.kills))
                assert status == 0
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                saved = RunFolder(parts).checkpoints()
                print(f"kill {kills:2}: newest checkpoint {saved[-1].name if saved else 'none'}", flush=True)
        assert start(parts, arguments.images).wait() == 0
        ours, theirs = (load_file(RunFolder(run).checkpoints()[-1] / "model.safetensors") for run in (parts, whole))
        best = [load_file(run / "best.safetensors") for run in (parts, whole)]
        same = all(torch.equal(ours[key], theirs[key]) for key in theirs) and ours.keys() == theirs.keys()
        same_best = all(torch.equal(best[0][key], best[1][key]) for key in best[1])
    print(f"{kills} kills; final weights bit-identical: {same}; best weights bit-identical: {same_best}")
    sys.exit(0 if same and same_best else 1)


if __name__ == "__main__":
    main()
