"""What a device multiplies fastest: bfloat16 or float32, and float32 with which library."""

import math
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

BACKENDS: Any = torch.backends  # whose attributes are made at run time


def bfloat16_is_faster(device: torch.device) -> bool:
    """Whether a product takes at most 0.8 of float32's time, measured on the spot."""
    with fast_float32(device):
        return _seconds(device, torch.bfloat16) < 0.8 * _seconds(device, torch.float32)


@contextmanager
def fast_float32(device: torch.device) -> Iterator[None]:
    """Inside, an AMD CPU multiplies float32 matrices with oneDNN, where that is no less exact.

    PyTorch multiplies them with MKL, which takes twice as long there (docs/performance.md). The way to oneDNN is to
    allow it bfloat16, of which it makes use where the CPU is built for that: such a CPU keeps MKL. So does a process
    in which somebody chose a precision. No clock decides: a run that is resumed multiplies as before.
    """
    if device.type == "cpu" and _nothing_chosen() and _onednn_is_better():
        with _onednn():
            yield
    else:
        yield


def _nothing_chosen() -> bool:
    return BACKENDS.mkldnn.matmul.fp32_precision == "none" and BACKENDS.fp32_precision == "none"


@contextmanager
def _onednn() -> Iterator[None]:
    BACKENDS.mkldnn.matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        BACKENDS.mkldnn.matmul.fp32_precision = "none"


@cache
def _onednn_is_better() -> bool:
    cpu = Path("/proc/cpuinfo")
    if "AuthenticAMD" not in (cpu.read_text() if cpu.exists() else platform.processor()):
        return False
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    usual = (a @ b - exact).norm()
    with _onednn():
        return bool((a @ b - exact).norm() < 4 * usual)  # rounded to bfloat16: thousands of times


def _seconds(device: torch.device, dtype: torch.dtype) -> float:
    """The shortest of three products, after one to warm up."""
    a = torch.ones(1024, 1024, device=device, dtype=dtype)
    best = math.inf
    for repeat in range(4):
        start = time.perf_counter()
        (a @ a).sum().item()  # .item() waits for the device
        if repeat:
            best = min(best, time.perf_counter() - start)
    return best
