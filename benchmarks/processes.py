"""Every shared command with 1, 2 and 3 processes: the same files, the same output, the same numbers.

    python benchmarks/processes.py [--most 3] [--keep FOLDER]

`genae train` trains on the built-in digits with each number of processes. `prior`, `evaluate` and `probe` then work on
copies of the one-process run, so that their own share of the differences is seen. `reproduce` trains, fits and measures
cells of two tables. What is compared with one process: which files exist, what is printed (without numbers), the
largest difference of a weight and of a code, and the largest relative difference of a measurement.

A training enlarges the rounding of its first iterations, a thousandfold within a few dozen where it is adversarial or
its learning rate is high. For a measure of it each command is also run by one process with other instructions of the
processor (``1, other rounding``), which changes some sums and not others. tests/test_protocol.py compares processes in
float64, where nothing is left of it.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file

TRAIN = """train aaae/mnist-plus --data digits --size 16 --width 8 --images 640 --anneal 0 --validate-every 320
    --checkpoint-every 320 --precision float32 --device cpu --run run"""
COMMANDS = {
    "train, and a prior": TRAIN,
    "prior, in closed form": "prior {run} mixture --components 8",
    "prior, trained": "prior {run} flow-matching --images 40000 --batch-size 100 --width 32",
    "evaluate": "evaluate {run} --metrics mse,psnr,icp,fd,1nn,knn,nearest,swd,fpl,cost --samples 1000",
    "probe": "probe {run} --frozen conv1 --heads mlp,knn --epochs 3 --seeds 0,1",
    "reproduce, a fitted prior": "reproduce aaae/table1 --budget smoke --rows aaae,aaae-plus --columns mnist_icp",
    "reproduce, recognition": "reproduce patchvae/table1 --budget smoke --rows patchvae --columns cifar100_conv1-5",
}
OTHER_ROUNDING = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
NOT_COMPARED = {"seconds", "images_per_second", "data_share", "train_seconds"}


class Compared(NamedTuple):
    """What a command did with several processes, beside what it did with one."""

    files: str
    printed: str
    weights: float
    """Largest absolute difference."""
    numbers: float
    """Largest relative difference."""


def launch(processes: int, words: list[str], folder: Path, more: Mapping[str, str]) -> tuple[str, float]:
    """Run ``genae`` with so many processes in ``folder``, and ``more`` in the environment; its standard output, and
    the seconds."""
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", "29533", "-m", "--"]
    command = [sys.executable, *(torchrun if processes > 1 else ["-m"]), "genae", *words]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=os.environ | more, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)} with {processes} processes failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout, time.perf_counter() - begun


def compare(one: Path, several: Path, texts: tuple[str, str]) -> Compared:
    """The files of two folders, and what was printed."""
    theirs, ours = files_of(one), files_of(several)
    files = "same" if theirs.keys() == ours.keys() else f"differ: {', '.join(sorted(theirs.keys() ^ ours.keys())[:3])}"
    weights = numbers = 0.0
    for name in sorted(theirs.keys() & ours.keys()):
        if name.endswith(".safetensors") and "optimisers" not in name:
            values = load_file(ours[name])
            for key, value in load_file(theirs[name]).items():
                if value.numel():
                    weights = max(weights, (values[key].double() - value.double()).abs().max().item())
        elif name.endswith((".json", ".jsonl")):
            for (where, value), (same, number) in zip(numbers_of(ours[name]), numbers_of(theirs[name]), strict=True):
                assert where == same, (name, where, same)
                numbers = max(numbers, abs(value - number) / max(abs(number), 1e-12))
    printed = [re.sub(r"[\d.,]+", "#", text) for text in texts]
    return Compared(files, "same" if printed[0] == printed[1] else "differs", weights, numbers)


def files_of(folder: Path) -> dict[str, Path]:
    """Files by their names; codes are named by a hash of the weights, which rounding changes."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {re.sub("train-[0-9a-f]{16}", "train-WEIGHTS", str(file.relative_to(folder))): file for file in files}


def numbers_of(file: Path) -> Iterator[tuple[str, float]]:
    """Every number in a file of JSON or of lines of JSON, with where it stands; times are left out."""

    def walk(value: object, where: str) -> Iterator[tuple[str, float]]:
        if isinstance(value, dict):
            if value.get("metric") in NOT_COMPARED:
                return
            for key, inner in value.items():
                if key not in NOT_COMPARED:
                    yield from walk(inner, f"{where}/{key}")
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                yield from walk(inner, f"{where}/{number}")
        elif isinstance(value, int | float):
            yield where, value

    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    for number, line in enumerate(lines):
        yield from walk(json.loads(line), str(number))


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=3, help="the largest number of processes")
    parser.add_argument("--keep", type=Path, help="folder to work in, which is kept")
    arguments = parser.parse_args()
    root = arguments.keep or Path(tempfile.mkdtemp())
    rows = [["command", "processes", "seconds", "files", "printed", "weights differ by", "numbers differ by"]]
    sides: dict[str, tuple[int, dict[str, str]]] = {"1": (1, {}), "1, other rounding": (1, OTHER_ROUNDING)}
    sides |= {str(processes): (processes, {}) for processes in range(2, arguments.most + 1)}
    for number, (name, command) in enumerate(COMMANDS.items()):
        first: tuple[Path, str] | None = None
        for place, (side, (processes, environment)) in enumerate(sides.items()):
            folder = root / f"{number}-{place}"
            folder.mkdir(parents=True)
            if "{run}" in command:
                shutil.copytree(root / "0-0" / "run", folder / "run")
            more = environment | {"OMP_NUM_THREADS": "1", "GENAE_CACHE": str(root / f"cache-{place}")}
            text, seconds = launch(processes, command.format(run="run").split(), folder, more)
            row = [name, side, f"{seconds:.0f}", "", "", "", ""]
            if first:
                compared = compare(first[0], folder, (first[1], text))
                row[3:] = [compared.files, compared.printed, *map(in_words, compared[2:])]
            first = first or (folder, text)
            rows.append(row)
            print("\t".join(row), file=sys.stderr, flush=True)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if not arguments.keep:
        shutil.rmtree(root)


def in_words(difference: float) -> str:
    """``nothing`` for equal to the last bit."""
    return f"{difference:.1e}" if difference else "nothing"


if __name__ == "__main__":
    main()
