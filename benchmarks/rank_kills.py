"""Twenty kill -9 of a random process at random moments of one training in two processes, each resumed by one command.

    python benchmarks/rank_kills.py [--kills 20] [--images 24000] [--processes 2]

Trains stacked-wae on the built-in digits under torchrun without a break, then again with kills. Prints how long the
other processes lived after each kill and what they said, and compares the final weights.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from genae.training.checkpoint import RunFolder

SETTINGS = "--data digits --checkpoint-every 640 --validate-every 1600 --precision float32 --width 8 --device cpu"
LONGEST = 60.0  # seconds that the others may live


def start(run: Path, images: int, processes: int) -> subprocess.Popen[str]:
    """The same command every time."""
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
        "-m",
        "--",
    ]
    command = ["genae", "train", "stacked-wae", "--run", str(run), "--images", str(images), *SETTINGS.split()]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([*torchrun, *command], text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes)


def ranks(torchrun: int) -> list[int]:
    """The processes that torchrun started, by their rank."""
    children = Path(f"/proc/{torchrun}/task/{torchrun}/children")
    pids = {}
    for pid in map(int, children.read_text().split()):
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        numbers = [int(variable[5:]) for variable in variables if variable.startswith(b"RANK=")]
        if numbers:
            pids[numbers[0]] = pid
    return [pids[rank] for rank in sorted(pids)]


def lives(pid: int) -> bool:
    """Whether the process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def kill(process: subprocess.Popen[str], chance: random.Random) -> tuple[int, float]:
    """Kill one process at random; returns its rank and the seconds until the others had ended."""
    pids = ranks(process.pid)
    rank = chance.randrange(len(pids))
    os.kill(pids[rank], signal.SIGKILL)
    begun = time.perf_counter()
    while any(map(lives, pids)) and time.perf_counter() - begun < 2 * LONGEST:
        time.sleep(0.05)
    return rank, time.perf_counter() - begun


def same(run: Path, other: Path) -> bool:
    """Whether the final and the best weights of two runs are the same to the last bit."""
    files = [
        [RunFolder(path).checkpoints()[-1] / "model.safetensors", path / "best.safetensors"] for path in (run, other)
    ]
    for ours, theirs in zip(*map(lambda names: [load_file(name) for name in names], files), strict=True):
        if ours.keys() != theirs.keys() or not all(torch.equal(ours[key], theirs[key]) for key in theirs):
            return False
    return True


def main() -> None:
    """Train, kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--images", type=int, default=24_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = Path(folder) / "whole", Path(folder) / "parts"
        assert start(whole, arguments.images, arguments.processes).wait() == 0
        kills, longest, silent = 0, 0.0, 0
        while kills < arguments.kills:
            process = start(parts, arguments.images, arguments.processes)
            begun = len(RunFolder(parts).checkpoints()) and RunFolder(parts).checkpoints()[-1]
            while process.poll() is None and (RunFolder(parts).checkpoints() or [0])[-1] == begun:
                time.sleep(0.05)  # every start gets further than the one before
            try:
                process.wait(chance.uniform(0, 1))
                break  # the training ended
            except subprocess.TimeoutExpired:
                rank, seconds = kill(process, chance)
            sentences = [line for line in process.communicate()[1].splitlines() if line.startswith("genae: error: ")]
            kills, longest = kills + 1, max(longest, seconds)
            silent += not any(f"process {rank} " in sentence for sentence in sentences)
            newest = RunFolder(parts).checkpoints()[-1].name
            print(f"kill {kills:2} of process {rank}: others ended after {seconds:4.1f} s; newest checkpoint {newest}")
            print(*(f"        {sentence}" for sentence in sentences), sep="\n", flush=True)
        assert start(parts, arguments.images, arguments.processes).wait() == 0
        equal = same(parts, whole)
    print(f"{kills} kills; the others ended within {longest:.1f} s, {silent} times without naming the process")
    print(f"final and best weights bit-identical: {equal}")
    sys.exit(0 if equal and not silent and longest < LONGEST and kills == arguments.kills else 1)


if __name__ == "__main__":
    main()
