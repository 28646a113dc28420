"""Convolutions on small maps: PyTorch's against genae's matrix products, forward and backward, on the CPU.

    python benchmarks/convolutions.py [--batch 64] [--rounds 10]

Prints milliseconds of both for the layers of genae's networks at widths 16 and 64 and of pythae's MNIST networks, in
turn in one process, and which of the two a layer takes (networks/convolution.py).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from genae.networks import convolution
from genae.networks.convolution import Conv2d, ConvTranspose2d

# Kind, channels in and out, side of the map that comes in, kernel, padding beyond the usual for a transposed one.
LAYERS = [
    ("down", 32, 64, 16, 4), ("down", 64, 128, 8, 4), ("down", 128, 256, 4, 4), ("up", 256, 128, 2, 4),
    ("down", 128, 256, 16, 4), ("down", 256, 512, 8, 4), ("down", 512, 1024, 4, 4), ("up", 1024, 512, 2, 4),
    ("up", 512, 256, 4, 4), ("down", 256, 512, 7, 4), ("down", 512, 1024, 3, 4), ("up", 1024, 512, 4, 3),
]  # fmt: skip


def milliseconds(run: Callable[[], object], rounds: int) -> float:
    """The median of some rounds, after two."""
    times = []
    for number in range(rounds + 2):
        start = time.perf_counter()
        run()
        if number >= 2:
            times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    chosen = convolution.CHANNELS_PER_POSITION
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {arguments.batch}, float32")
    for kind, inputs, outputs, side, kernel in LAYERS:
        layer: nn.Module = (Conv2d if kind == "down" else ConvTranspose2d)(inputs, outputs, kernel, 2, 1)
        layer = layer.to(memory_format=torch.channels_last)
        x = torch.randn(arguments.batch, inputs, side, side).to(memory_format=torch.channels_last).requires_grad_()
        small = min(side, layer(x).shape[2])
        found = []
        for channels in (10**9, 0):  # never, always
            convolution.CHANNELS_PER_POSITION = channels
            found.append(milliseconds(lambda layer=layer, x=x: both_ways(layer, x), arguments.rounds))  # type: ignore[misc]
        takes = "products" if max(inputs, outputs) >= chosen * small**2 else "PyTorch's"
        print(
            f"{kind:4} {inputs:4} -> {outputs:4}, kernel {kernel}, {side:2} pixels: PyTorch {found[0]:6.1f} ms, "
            f"products {found[1]:6.1f} ms, {found[0] / found[1]:.2f}x; genae takes {takes}",
            flush=True,
        )


def both_ways(layer: nn.Module, x: Tensor) -> None:
    """A forward pass, and every gradient of it."""
    y = layer(x)
    torch.autograd.grad(y, [x, *layer.parameters()], torch.ones_like(y))


if __name__ == "__main__":
    main()
