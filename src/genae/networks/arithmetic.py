"""How exactly networks compute while something is measured."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch

T = TypeVar("T")
BACKENDS: Any = torch.backends  # whose attributes are made at run time
SWITCHES = (
    BACKENDS.cuda.matmul, BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn,
    BACKENDS.mkldnn.matmul, BACKENDS.mkldnn.conv, BACKENDS.mkldnn.rnn,
)  # fmt: skip
"""Where PyTorch lets a device round float32 numbers before it multiplies them."""
PRECISE = ("none", "ieee")
"""Values of ``fp32_precision`` that round nothing; PyTorch's own for the convolutions of a GPU is ``tf32``."""
FLOAT32 = "ieee"
"""What a fingerprint says of numbers that were measured in `exact_float32`."""


@contextmanager
def exact_float32() -> Iterator[None]:
    """Inside, float32 is float32: no TensorFloat-32, no bfloat16, no autocast, and cuDNN's choices are repeatable.

    Every measurement runs in it: TensorFloat-32 keeps 10 of 23 bits, which moves a Fréchet distance in its third digit
    and multiplies a path length. It also serves as a decorator, and may be nested. The settings are those of the
    process, so a training in another thread meanwhile computes with them too. On a CPU it changes nothing but what the
    caller chose.
    """
    with ExitStack() as stack:
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.callback(_choose, *_choose(False, True))
        if any(switch.fp32_precision not in PRECISE for switch in SWITCHES):
            stack.callback(_round, *_round([FLOAT32] * len(SWITCHES), False, "highest"))
        yield


def _choose(benchmark: bool, deterministic: bool) -> tuple[bool, bool]:
    """Set how cuDNN chooses its algorithms; returns how it did."""
    before = BACKENDS.cudnn.benchmark, BACKENDS.cudnn.deterministic
    BACKENDS.cudnn.benchmark, BACKENDS.cudnn.deterministic = benchmark, deterministic
    return before


def _round(values: list[str], cudnn: bool | None, matmul: str | None) -> tuple[list[str], bool | None, str | None]:
    """Set every switch; returns how they were.

    ``cudnn`` and ``matmul`` are PyTorch's two older settings of the same. Whatever reads those (torch.compile does) is
    told of a contradiction if the switches alone are set, so they go first, and None where they already contradicted.
    """
    before = [switch.fp32_precision for switch in SWITCHES], _old(_cudnn), _old(torch.get_float32_matmul_precision)
    if cudnn is not None:
        BACKENDS.cudnn.allow_tf32 = cudnn
    if matmul is not None:
        torch.set_float32_matmul_precision(matmul)
    for switch, value in zip(SWITCHES, values, strict=True):
        switch.fp32_precision = value
    return before


def _cudnn() -> bool:
    return BACKENDS.cudnn.allow_tf32


def _old(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except RuntimeError:
        return None
