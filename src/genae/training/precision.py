"""Precision: whether a model trains faster in float32 or bfloat16, by a rule over model and device, never a clock."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from genae.networks.layers import batch_norm_explained
from genae.protocol import Autoencoder

BACKENDS: Any = torch.backends  # whose attributes are made at run time
CPU_INFO = Path("/proc/cpuinfo")
CPU_FLAGS = ("amx_bf16", "avx512_bf16")
"""Of processors that multiply bfloat16 faster than float32."""


WIDE = 64
"""Channels in and out from which a layer gains by bfloat16."""
ENOUGH = 0.4
"""Share of the work in such layers from which a model gains."""


class Precision(NamedTuple):
    """``name`` is ``float32`` or ``bfloat16``; ``reason`` says in words why."""

    name: str
    reason: str


def preferred_precision(model: Autoencoder, device: torch.device) -> Precision:
    """In which precision the model trains faster, by a rule that was measured: see docs/performance.md.

    bfloat16 where the device has instructions for it and enough of the model's work is in wide layers; else float32.
    """
    able, why = multiplies_bfloat16(device)
    if not able:
        return Precision("float32", why)
    share = wide_share(model)
    work = f"{share:.0%} of the work is in layers of {WIDE} channels or more"
    if share < ENOUGH:
        return Precision("float32", f"{work}; bfloat16 gains from {ENOUGH:.0%}")
    return Precision("bfloat16", f"{why}, and {work}")


def wide_share(model: Autoencoder) -> float:
    """The share of an iteration's multiply-adds that layers with at least `WIDE` channels in and out make, 0 to 1.

    Counted in the forward passes of one iteration at the model's last resolution, on shapes alone.
    """
    images = model.changes()[-1]
    ghost = deepcopy(model).on_shapes()
    batch = torch.empty(model.stage(images).batch_size, *model.image_shape, device="meta")
    with batch_norm_explained(), _Products() as products:
        for _ in ghost.step((batch.clone() for batch in repeat(batch)), images):
            pass
    return products.wide / products.all if products.all else 0.0


def multiplies_bfloat16(device: torch.device) -> tuple[bool, str]:
    """Whether the device has instructions that multiply bfloat16 faster than float32, and what says so."""
    if device.type == "cpu":
        flags = _cpu_flags()
        able = [flag for flag in CPU_FLAGS if flag in flags]
        if not able:
            return False, f"this processor has no {' or '.join(CPU_FLAGS)}"
        return True, f"this processor has {able[0]}"
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return major >= 8, f"this GPU has compute capability {major}.{minor}" + ("" if major >= 8 else ", below 8.0")
    if device.type == "mps":  # autocast works there from macOS 14 on; some report it slower, none here has measured it
        return False, "bfloat16 is not known to be faster than float32 on Apple's GPUs"
    return False, f"bfloat16 has not been measured on {device.type}"


def _cpu_flags() -> set[str]:
    return set(CPU_INFO.read_text(encoding="utf-8").split()) if CPU_INFO.exists() else set()


class _Products(TorchDispatchMode):
    """Counts the multiply-adds of matrix products and convolutions: all, and those of wide layers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.all = self.wide = 0

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            x, weight, transposed = args[0], args[1], args[6]
            narrowest = min(weight.shape[:2])
            work = (x if transposed else result).numel() * weight[0].numel()
        elif name in ("mm", "bmm", "addmm", "baddbmm"):
            x, y = args[:2] if name in ("mm", "bmm") else args[1:3]
            narrowest = min(x.shape[-1], y.shape[-1])
            work = x.numel() * y.shape[-1]
        else:
            return result
        self.all += work
        self.wide += work if narrowest >= WIDE else 0
        return result


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
    if "AuthenticAMD" not in (CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.exists() else platform.processor()):
        return False
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    usual = (a @ b - exact).norm()
    with _onednn():
        return bool((a @ b - exact).norm() < 4 * usual)  # rounded to bfloat16: thousands of times
