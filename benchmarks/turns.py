"""Several sides measured in turn, so that whatever slows the machine down slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch


def rates_in_turn(
    sides: Mapping[str, Callable[[], object]], *, rounds: int, iterations: int, images: int
) -> dict[str, list[float]]:
    """Images/s of every side in every round; an iteration takes ``images``. Five go before, unmeasured."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for run in sides.values():
        for _ in range(5):
            run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    for _ in range(rounds):
        for name, run in sides.items():
            start = time.perf_counter()
            for _ in range(iterations):
                run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            rates[name].append(iterations * images / (time.perf_counter() - start))
    return rates


def show(rates: Mapping[str, Sequence[float]], *bases: str) -> None:
    """A line for each side: its median, and its ratio to each base, round by round (median, range)."""
    for name, values in rates.items():
        ratios = [[a / b for a, b in zip(values, rates[base], strict=True)] for base in bases]
        against = "   ".join(f"{statistics.median(r):.2f}x ({min(r):.2f}-{max(r):.2f})" for r in ratios)
        print(f"{name:20} {statistics.median(values):7.1f} images/s   {against}")


def with_pytorchs_products(run: Callable[[], object]) -> Callable[[], None]:
    """``run`` with float32 matrix products by the library that PyTorch takes unasked: see `training/precision.py`."""
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]

    def as_pytorch() -> None:
        products.fp32_precision = "ieee"
        run()
        products.fp32_precision = "none"

    return as_pytorch
