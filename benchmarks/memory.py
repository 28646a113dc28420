"""The memory of a training iteration, as the allocator counts it, against what `genae train --dry-run` says of it.

Of SWAE and StyleALAE at 64 pixels (the latter at its last level) and of the dense ALAE, in float32. Predicted are
weights with Adam's moments and the most that an iteration holds beside them (`training/memory.py`). Measured is the
peak of the second iteration: on a CUDA GPU by PyTorch's allocator, so with the work space of convolutions and products;
on the CPU from the allocations and releases that PyTorch's profiler records, to which the weights are added. The images
stay on the host, as those of a data set without room on the device would: the prediction leaves a data set out.

    python benchmarks/memory.py [--device cuda] [--models swae,style,dense]
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import count

import torch
from scaling import BUILD, NAMES
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from turns import add_device, machine, wait_for

from genae.data.sources import ImageData
from genae.data.store import MemoryStore
from genae.networks.layers import placed
from genae.protocol import Autoencoder, Part
from genae.training.feed import Feed
from genae.training.loop import Loop
from genae.training.memory import footprints


def iteration_of(model: Autoencoder, images: int) -> Callable[[], object]:
    """An iteration as `genae train` runs it at that number of images, after a first one that made Adam's moments."""
    size = model.stage(images).batch_size
    pixels = torch.randint(256, (size, *model.image_shape), dtype=torch.uint8)
    data = ImageData("noise", MemoryStore(pixels), 0, 255, {"train": torch.arange(size)})
    feed = Feed(data, model, 0, True)

    def batches(at: int, part: Part) -> Iterator[Tensor]:
        return (feed.batch(at, part, draw) for draw in count())

    loop = Loop(model, batches, betas=model.betas)
    loop.iteration(images, 1e-4)
    return lambda: loop.iteration(images, 1e-4)


def peak_on_gpu(run: Callable[[], object], device: torch.device) -> int:
    """The most bytes that tensors took on the device, everything included."""
    wait_for(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    wait_for(device)
    return torch.cuda.max_memory_allocated(device)


def peak_on_cpu(run: Callable[[], object]) -> int:
    """The most bytes that tensors took beside those that were there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()  # negative for a release
        most = max(most, now)
    return most


def main() -> None:
    """Predict, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(NAMES))
    add_device(parser)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    print(machine(arguments.device))
    print(
        f"{'model':20} {'weights, Adam':>14} {'iteration':>12} {'together':>12} {'measured':>12}   measured / predicted"
    )
    for name in arguments.models.split(","):
        torch.manual_seed(0)
        *_, predicted = footprints(BUILD[name]())
        torch.manual_seed(0)
        run = iteration_of(placed(BUILD[name](), device), predicted.begins)
        together = predicted.weights + predicted.iteration
        measured = peak_on_gpu(run, device) if device.type == "cuda" else predicted.weights + peak_on_cpu(run)
        sizes = (f"{size / 1e6:,.1f} MB" for size in (predicted.weights, predicted.iteration, together, measured))
        held = (measured - predicted.weights) / predicted.iteration
        print(
            f"{NAMES[name]:20} {'{:>14} {:>12} {:>12} {:>12}'.format(*sizes)}   {measured / together:.3f}, "
            f"of the iteration alone {held:.3f}",
            flush=True,
        )
        del run


if __name__ == "__main__":
    main()
