"""Ten kill -9 of `genae pack` at random moments, each followed by the same command.

    python benchmarks/pack_kills.py [--kills 10] [--pictures 12000] [--seed 0]

Packs a folder of procedural pictures, some of which are damaged, without a break; then again with kills, as often as
it takes. Prints how far each killed packer had come, and compares the bytes of every finished file.
"""

import argparse
import io
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from genae.data.packing import beside

LATEST = 1.0
"""Seconds for which a packer lives on, at most, when it has come further than the one before."""


def make_pictures(folder: Path, count: int) -> None:
    """JPEG files of 96 x 96 pixels; every 500th is cut."""
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((96, 96), Image.Resampling.BILINEAR).save(file, "JPEG")
        content = file.getvalue()
        name = folder / "ab"[number % 2] / f"{number:06d}.jpg"
        name.write_bytes(content[: len(content) // 2] if number % 500 == 7 else content)


def start(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    """The same command every time."""
    command = [sys.executable, "-m", "genae", "pack", str(folder), "--size", "64", "--out", str(out), "--levels"]
    return subprocess.Popen([*command, "--skip-bad"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def blocks(out: Path) -> int:
    """How many blocks the journal has."""
    journal = beside(out, "journal")
    return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0


def main() -> None:
    """Pack, kill, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pictures", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder, whole, out = (Path(temporary) / name for name in ("pictures", "whole.genae", "parts.genae"))
        make_pictures(folder, arguments.pictures)
        begun = time.perf_counter()
        assert start(folder, whole).wait() == 0
        print(f"uninterrupted: {time.perf_counter() - begun:.0f} s, {whole.stat().st_size / 1e6:.0f} MB")
        kills = files = equal = 0
        while kills < arguments.kills or beside(out, "part").exists():
            before = blocks(out)
            process = start(folder, out)
            while process.poll() is None and blocks(out) <= before:
                time.sleep(0.01)
            if kills < arguments.kills:
                try:
                    process.wait(chance.uniform(0, LATEST))
                except subprocess.TimeoutExpired:
                    process.kill()
                    kills += 1
            if process.wait() < 0:
                print(f"kill {kills:2}: {blocks(out)} blocks are in the journal", flush=True)
                continue
            files += 1
            equal += out.read_bytes() == whole.read_bytes()
            print(f"finished: {'the same bytes' if equal == files else 'OTHER BYTES'}")
            out.unlink()
    print(f"{kills} kills; {equal} of {files} files have the bytes of the uninterrupted one")
    sys.exit(0 if files and equal == files else 1)


if __name__ == "__main__":
    main()
