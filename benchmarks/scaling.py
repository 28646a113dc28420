"""Images/s of one process and of several, at the same whole batch; what communication takes.

Processes are started once, under torchrun: of one thread each on the CPU, with a GPU each where there are so many. In
turn, process 0 runs iterations of whole batches alone while the others wait, and all of them run iterations of which
each has its share. Random images: no data are read. Float32. On GPUs, what communication takes is measured in further
iterations, because the host has to wait there before and after each exchange.

    python benchmarks/scaling.py [--device cuda] [--processes 2] [--rounds 5] [--iterations 4] [--models swae,style]
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor
from turns import add_device, machine, seconds_of, wait_for

from genae import distributed
from genae.autoencoders.alae import AdversarialLatentAutoencoder
from genae.autoencoders.style_alae import StyleAdversarialLatentAutoencoder
from genae.autoencoders.swae import StackedWassersteinAutoencoder
from genae.networks.layers import placed
from genae.protocol import Autoencoder, Part
from genae.training.loop import Loop

BUILD = {
    # The networks of stacked-wae/celeba64, of ALAE's code at 64 pixels, and of alae/mnist.
    "swae": lambda: StackedWassersteinAutoencoder((3, 64, 64), width=64, batch_size=64),
    "style": lambda: StyleAdversarialLatentAutoencoder(
        (3, 64, 64), code_dim=256, width=64, most_channels=256, batch_size="16"
    ),
    "dense": lambda: AdversarialLatentAutoencoder((1, 28, 28), code_dim=50, width=1024, batch_size=128),
}
NAMES = {"swae": "SWAE, 64 px", "style": "StyleALAE, 64 px", "dense": "dense ALAE, 28 px"}


class Traffic:
    """The seconds and bytes of this process's collectives, which are wrapped."""

    def __init__(self, device: torch.device) -> None:
        self.seconds, self.bytes, self.calls = 0.0, 0, 0
        self.device = device
        self.timed = device.type == "cpu"
        self.inner = dist.all_reduce
        dist.all_reduce = self.all_reduce

    def all_reduce(self, x: Tensor, *arguments: object, **options: object) -> object:
        """As PyTorch's, measured."""
        if self.timed:
            wait_for(self.device)
        start = time.perf_counter()
        work = self.inner(x, *arguments, **options)
        if self.timed:
            wait_for(self.device)
        self.seconds += time.perf_counter() - start
        self.bytes += x.numel() * x.element_size()
        self.calls += 1
        return Waited(work, self) if work is not None else None


class Waited:
    """A collective under way; the time in which somebody waits for its end counts."""

    def __init__(self, work: dist.Work, traffic: Traffic) -> None:
        self.work, self.traffic = work, traffic

    def wait(self) -> None:
        """As PyTorch's, measured."""
        start = time.perf_counter()
        self.work.wait()
        if self.traffic.timed:
            wait_for(self.traffic.device)
        self.traffic.seconds += time.perf_counter() - start


def measure(name: str, rounds: int, iterations: int, device: torch.device) -> None:
    """Run both sides in turn; process 0 prints."""
    torch.manual_seed(0)
    model: Autoencoder = placed(BUILD[name](), device)
    images = 10**9 if name == "style" else 0  # past the growth
    whole = model.stage(images).batch_size
    pixels = (torch.rand(512, *model.image_shape) * 2 - 1).to(device)

    def batches(_: int, part: Part) -> Iterator[Tensor]:
        count = whole // part.parts
        while True:
            first = int(torch.randint(len(pixels) - count, ()))
            yield pixels[first : first + count].contiguous(memory_format=torch.channels_last)

    loop = Loop(model, batches, betas=model.betas)
    traffic = Traffic(device)

    def run(count: int) -> float:
        return count * whole / seconds_of(lambda: loop.iteration(images, 1e-4), device, count)

    run(2)
    alone, together, shares = [], [], []
    for _ in range(rounds):
        alone.append(distributed.by_writer(lambda: run(iterations)))
        traffic.seconds, traffic.bytes, traffic.calls = 0.0, 0, 0
        together.append(run(iterations))
        rate = together[-1]
        if not traffic.timed:
            traffic.seconds, traffic.bytes, traffic.calls, traffic.timed = 0.0, 0, 0, True
            rate = run(iterations)
            traffic.timed = False
        shares.append(traffic.seconds * rate / (iterations * whole))
        dist.barrier()
    dist.all_reduce = traffic.inner
    if distributed.rank() == 0:
        ratios = [b / a for a, b in zip(alone, together, strict=True)]
        print(
            f"{NAMES[name]:18} batch {whole:4}   {statistics.median(alone):7.1f} -> {statistics.median(together):7.1f} "
            f"images/s   {statistics.median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f})   "
            f"in communication {statistics.median(shares):.1%}   {traffic.bytes / iterations / 1e6:.1f} MB in "
            f"{traffic.calls / iterations:.0f} calls each iteration",
            flush=True,
        )


def main() -> None:
    """Start the processes, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--models", default="swae,style,dense")
    add_device(parser)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and torch.cuda.device_count() < arguments.processes:
        print(f"skipped: {torch.cuda.device_count()} GPUs for {arguments.processes} processes")
        return
    if "RANK" not in os.environ:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        raise SystemExit(subprocess.call([*launch, str(arguments.processes), __file__, *sys.argv[1:]], env=environment))
    torch.set_num_threads(1)
    device = distributed.start(arguments.device)
    if distributed.rank() == 0:
        print(f"{machine(str(device))}, 1 and {arguments.processes} processes, {dist.get_backend()}, float32")
    for name in arguments.models.split(","):
        measure(name, arguments.rounds, arguments.iterations, device)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
