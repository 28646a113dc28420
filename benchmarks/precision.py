"""float32 against bfloat16 for every preset, and whether ``--precision auto`` chooses the faster one.

Presets with equal networks are measured once, on random images of the preset's size with its batch size, in one process
and in turn. Growing models are measured at their largest level whose batches this machine trains in a few seconds.

    OMP_NUM_THREADS=1 python benchmarks/precision.py [--only stacked-wae] [--rounds 7] [--seconds 12] [--device cpu]
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import count

import torch
from torch import Tensor

from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError
from genae.protocol import Autoencoder, Part
from genae.settings.presets import PRESETS
from genae.training.config import Config, resolve
from genae.training.loop import Loop
from genae.training.precision import preferred_precision, wide_share
from genae.training.start import build_model

SHAPES = {"digits": (1, 8), "mnist": (1, 28), "shapes": (3, 64), "cifar10": (3, 32), "cifar100": (3, 32)}
NARROW = {"stacked-wae/mnist-small": (4, 8), "stacked-wae/digits": (8,), "alae/mnist": (32,), "style-alae/tiny": (4,),
          "patch-vae/shapes": (8,)}  # fmt: skip
"""Presets that are measured with smaller widths too: the side of the rule on which no preset lies."""
LARGEST = 64  # pixels: larger presets take minutes for an iteration on a processor core
PRECISIONS = ("float32", "bfloat16")


def shape_of(config: Config) -> tuple[int, int, int]:
    """(C, H, W) of the preset's images; of growing models, of a level that fits."""
    channels, side = SHAPES.get(config.data, (3, 64))
    side = min(int(config.size or side), LARGEST)
    return channels, side, side


def distinct(only: str) -> Iterator[tuple[str, Autoencoder]]:
    """The presets that fit, built once for all with the same algorithm, networks and batch size."""
    seen = set()
    for name, settings in PRESETS.items():
        if only not in name or int(settings.get("size", 0)) > 128 or "-part" in name.partition("/")[2]:
            continue  # too large here; ablations of PatchVAE vary its small bottleneck alone
        for width in (None, *NARROW.get(name, ())):
            data = {"data": settings.get("data", "pictures")}
            config = resolve(name, data if width is None else data | {"width": width}, PRESETS, AUTOENCODERS)
            model = build_model(config, shape_of(config))
            batch = model.stage(model.changes()[-1]).batch_size
            networks = (type(model), model.image_shape, batch, tuple(p.shape for p in model.parameters()))
            if networks not in seen:
                seen.add(networks)
                yield name if width is None else f"{name} --width {width}", model


def loop_of(model: Autoencoder, precision: str, device: torch.device) -> Loop:
    """A loop over random images, on a copy of the model."""
    batch = model.stage(model.changes()[-1]).batch_size
    images = torch.rand(2 * batch, *model.image_shape, device=device) * 2 - 1

    def batches(_: int, __: Part) -> Iterator[Tensor]:
        for draw in count():
            yield images[draw % 2 * batch :][:batch].contiguous(memory_format=torch.channels_last)

    return Loop(model.to(device), batches, betas=model.betas, precision=precision)


def seconds(loop: Loop, images: int, iterations: int) -> float:
    """Of so many iterations."""
    start = time.perf_counter()
    for _ in range(iterations):
        loop.iteration(images, 1e-5)
    if loop.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(model: Autoencoder, device: torch.device, rounds: int, most: float) -> tuple[float, float, float]:
    """Images/s in float32 and in bfloat16, and the median ratio of their rounds."""
    images = model.changes()[-1] + (2 * model.growth if hasattr(model, "growth") else 0)
    batch = model.stage(images).batch_size
    loops = [loop_of(model, precision, device) for precision in PRECISIONS]
    warm = max(seconds(loop, images, 1) for loop in loops)
    iterations = max(1, int(0.4 / warm))
    times: list[list[float]] = []
    begun = time.perf_counter()
    while len(times) < 2 or (len(times) < rounds and time.perf_counter() - begun < most):
        order = range(2) if len(times) % 2 == 0 else (1, 0)
        turn = {i: seconds(loops[i], images, iterations) for i in order}
        times.append([turn[0], turn[1]])
    speeds = [batch * iterations / statistics.median(t[i] for t in times) for i in range(2)]
    return speeds[0], speeds[1], statistics.median(a / b for a, b in times)


def main() -> None:
    """Print a table, and how often auto is at least 0.95 times as fast as the better choice."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="presets whose name holds this")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=12.0, help="after which no further round of a preset begins")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    print("| preset | images | batch | wide | float32 | bfloat16 | ratio | auto | >= 0.95 of the better |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    good = []
    for name, model in distinct(arguments.only):
        choice, _ = preferred_precision(model, device)
        wide = wide_share(model)
        batch = model.stage(model.changes()[-1]).batch_size
        try:
            single, half, ratio = measure(model, device, arguments.rounds, arguments.seconds)
        except GenaeError as error:
            print(f"| {name} | does not run: {error} |")
            continue
        auto = ratio if choice == "bfloat16" else 1.0
        good.append(auto >= 0.95 * max(ratio, 1.0))
        shape = "x".join(map(str, model.image_shape))
        print(
            f"| {name} | {shape} | {batch} | {wide:.2f} | {single:,.0f} | {half:,.0f} | {ratio:.2f} | {choice} | "
            f"{'yes' if good[-1] else 'no'} |",
            flush=True,
        )
    print(f"\nauto is at least 0.95 times as fast as the better choice for {sum(good)} of {len(good)}")


if __name__ == "__main__":
    main()
