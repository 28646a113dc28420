"""Is a training the same when it is repeated, and when it is resumed at half? For small models of several kinds.

Each is trained in one go, in one go again, and in two halves, with the same settings. Compared are all numbers of the
last checkpoint: weights, statistics of batch normalisation, Adam's moments.

    python benchmarks/repeats.py [--device cuda] [--images 512] [--deterministic]

With ``--deterministic``, cuDNN takes only kernels that it calls deterministic. Captured trainings need a CUDA GPU.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from turns import add_device, machine

from genae.autoencoders import AUTOENCODERS
from genae.settings.presets import PRESETS
from genae.training.checkpoint import RunFolder
from genae.training.config import resolve
from genae.training.start import train

DIGITS = {"data": "digits", "width": 16}
SHAPES = {"data": "shapes", "size": "32"}
MODELS = {
    "ae": DIGITS,
    "stacked-wae": DIGITS,
    "alae": {"data": "digits"},
    "style-alae/tiny": SHAPES,
    "patch-vae": SHAPES | {"width": 16},
}
CAPTURED = ("stacked-wae", "alae")


def numbers(run: Path) -> dict[str, Tensor]:
    """Of the newest checkpoint."""
    files = sorted(RunFolder(run).checkpoints()[-1].glob("*.safetensors"))
    return {f"{file.name} {key}": value for file in files for key, value in load_file(file).items()}


def compared(run: Path, other: Path) -> str:
    """How many numbers' tensors differ."""
    ours, theirs = numbers(run), numbers(other)
    unlike = sum(not torch.equal(value, theirs[key]) for key, value in ours.items())
    return f"{unlike} of {len(ours)} tensors differ" if unlike else f"all {len(ours)} tensors are equal bit for bit"


def main() -> None:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--deterministic", action="store_true")
    add_device(parser)
    arguments = parser.parse_args()
    torch.backends.cudnn.deterministic = arguments.deterministic
    print(f"{machine(arguments.device)}, {arguments.images} images, deterministic: {arguments.deterministic}")
    half = arguments.images // 2
    run_settings = {"device": arguments.device, "images": arguments.images, "checkpoint_every": half}
    for name, settings in MODELS.items():
        captures = (False, True) if name in CAPTURED and arguments.device.startswith("cuda") else (False,)
        for precision, capture in ((p, c) for p in ("float32", "bfloat16") for c in captures):
            how = {"precision": precision, "capture": capture}
            config = resolve(name, settings | run_settings | how, PRESETS, AUTOENCODERS)
            with tempfile.TemporaryDirectory() as folder:
                once, again, halves = (Path(folder) / run for run in ("once", "again", "halves"))
                train(config, once)
                train(config, again)
                train(replace(config, images=half), halves)
                train(config, halves)
                label = f"{name}, {precision}{', --capture' if capture else ''}"
                print(f"{label:34} again: {compared(once, again)};   resumed: {compared(once, halves)}", flush=True)


if __name__ == "__main__":
    main()
