"""Several sides measured in turn, so that whatever slows the machine down slows all of them; on a CPU or a GPU."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from genae.training.captured import CapturedLoop
from genae.training.loop import Loop

Run = Callable[[], object]
"""An iteration, or several."""


def add_device(parser: argparse.ArgumentParser) -> None:
    """``--device``, which is the CPU unless somebody asks for a GPU."""
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:NUMBER or mps")


def machine(device: str) -> str:
    """What is measured, and how PyTorch multiplies float32 there: on NVIDIA's GPUs it rounds convolutions unasked."""
    if not device.startswith("cuda"):
        return f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads"
    products = "TensorFloat-32" if torch.backends.cuda.matmul.allow_tf32 else "float32"
    convolutions = "TensorFloat-32" if torch.backends.cudnn.allow_tf32 else "float32"
    return (
        f"torch {torch.__version__}, {torch.cuda.get_device_name(device)}; float32 means {products} in matrix products "
        f"and {convolutions} in convolutions, on every side"
    )


def wait_for(device: str | torch.device) -> None:
    """Until the device has done all that it was given: a GPU works on after the call that gave it work."""
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds_of(run: Run, device: str | torch.device, times: int = 1) -> float:
    """The seconds that ``times`` runs take together, to the end of the device's work."""
    wait_for(device)
    start = time.perf_counter()
    for _ in range(times):
        run()
    wait_for(device)
    return time.perf_counter() - start


def of_genae(make: Callable[..., Run], device: str, *, steady: bool = True) -> dict[str, Run]:
    """genae's loop in float32 and with bfloat16; on a CUDA GPU also with captured iterations, of ``steady`` models.

    ``make(kind, **options)`` gives an iteration of a new `Loop` of that kind with those options.
    """
    kinds = {"genae": Loop, "genae, captured": CapturedLoop}
    if not (steady and device.startswith("cuda")):
        del kinds["genae, captured"]
    sides: dict[str, Run] = {}
    for name, kind in kinds.items():
        sides |= {name: make(kind), f"{name}, bf16": make(kind, precision="bfloat16")}
    return sides


def rates_in_turn(
    sides: Mapping[str, Run], *, rounds: int, iterations: int, images: int, device: str
) -> dict[str, list[float]]:
    """Images/s of every side in every round; an iteration takes ``images``. Five go before, unmeasured."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for run in sides.values():
        for _ in range(5):
            run()
    for _ in range(rounds):
        for name, run in sides.items():
            rates[name].append(iterations * images / seconds_of(run, device, iterations))
    return rates


def show(rates: Mapping[str, Sequence[float]], *bases: str) -> None:
    """A line for each side: its median, and its ratio to each base, round by round (median, range)."""
    for name, values in rates.items():
        ratios = [[a / b for a, b in zip(values, rates[base], strict=True)] for base in bases]
        against = "   ".join(f"{statistics.median(r):.2f}x ({min(r):.2f}-{max(r):.2f})" for r in ratios)
        print(f"{name:24} {statistics.median(values):7.1f} images/s   {against}")


def with_pytorchs_products(run: Run) -> Callable[[], None]:
    """``run`` with float32 matrix products by the library that PyTorch takes unasked: see `training/precision.py`."""
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]

    def as_pytorch() -> None:
        products.fp32_precision = "ieee"
        run()
        products.fp32_precision = "none"

    return as_pytorch
