"""How long commands take before they answer, as ratios to ``python -c "import torch"``.

    python benchmarks/startup.py [--rounds 7] [--run RUN]

The commands are started in turn, so that another load on the machine meets all of them; medians are compared. Without
``--run`` a small run is trained first, whose decoding takes milliseconds. --help and list stay far below 1, sample at
most 1.5.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GENAE = [sys.executable, "-m", "genae"]
TINY = ["--data", "digits", "--images", "640", "--width", "8", "--device", "cpu", "--precision", "float32"]


def seconds(command: list[str], folder: str) -> float:
    """Wall-clock seconds of one start."""
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--run", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = str(arguments.run.resolve()) if arguments.run else "run"
        if not arguments.run:
            seconds([*GENAE, "train", "stacked-wae", "--run", run, *TINY], folder)
        commands = {
            'python -c "import torch"': [sys.executable, "-c", "import torch"],
            'python -c "import torch, torchvision"': [sys.executable, "-c", "import torch, torchvision"],
            'python -c "import genae"': [sys.executable, "-c", "import genae"],
            "genae --help": [*GENAE, "--help"],
            "genae list": [*GENAE, "list"],
            "genae data digits": [*GENAE, "data", "digits"],
            "genae sample RUN --count 16": [*GENAE, "sample", run, "--count", "16", "--out", "s.png"],
            "genae reconstruct RUN --count 4": [*GENAE, "reconstruct", run, "--count", "4", "--out", "r.png"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.rounds + 1):
            for name, command in commands.items():
                times[name].append(seconds(command, folder))
    medians = {
        name: statistics.median(values[1:]) for name, values in times.items()
    }  # the first fills the disk's cache
    torch = next(iter(medians.values()))
    print("| command | seconds | of import torch |\n| --- | --- | --- |")
    for name, median in medians.items():
        print(f"| `{name}` | {median:.2f} | {median / torch:.2f} |")


if __name__ == "__main__":
    main()
