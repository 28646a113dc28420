"""An Apple GPU that is none: real numbers on the CPU, with the rules of PyTorch's device ``mps``.

A `PretendedTensor` says that it lies on ``mps:0`` and holds a tensor of the CPU. Inside `PretendedGpu` every operation
runs on the latter, unless the device could not: float64 and complex numbers do not exist there, tensors of two devices
do not mix, and an operation needs a kernel for it in the list that PyTorch itself is built from.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

GPU = torch.device("mps", 0)
ROOM = 1 << 30
"""Bytes of its memory."""
BETWEEN_DEVICES = {"_to_copy", "copy_", "index", "index_put_", "_index_put_impl_", "_has_compatible_shallow_copy_type"}
"""Operations that may read tensors of two devices."""

IN_ORDER = {"convolution", "convolution_backward", "native_batch_norm", "native_batch_norm_backward"}
"""Operations that are wrong or slow there with tensors in channels_last."""


class PretendedTensor(Tensor):
    """What seems to lie on the GPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, real: Tensor) -> "PretendedTensor":
        """PyTorch's own code sees the device ``meta``: backward passes then need no GPU."""
        seeming = Tensor._make_wrapper_subclass(
            cls, real.shape, real.stride(), real.storage_offset(), dtype=real.dtype, device="meta"
        )
        seeming.held = real
        return seeming

    __torch_function__ = torch._C._disabled_torch_function_impl

    @property
    def device(self) -> torch.device:
        """Where it seems to lie."""
        return GPU

    def new_tensor(self, data: Any, **kwargs: Any) -> Tensor:
        """PyTorch makes it without asking the mode."""
        return PretendedTensor(self.held.new_tensor(data, **kwargs))

    def tolist(self) -> Any:
        """PyTorch refuses it of subclasses."""
        return self.held.tolist()

    def __repr__(self, **_: Any) -> str:
        return f"PretendedTensor({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Outside of the mode too."""
        return run(func, args, kwargs or {})


class PretendedGpu(TorchDispatchMode):
    """Inside, tensors can be made on ``mps`` and moved there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation where it seems to run."""
        return run(func, args, kwargs or {})


@contextmanager
def pretended_gpu() -> Iterator[list[int]]:
    """A machine with an Apple GPU; gives the seeds that its generator receives."""
    seeds: list[int] = []
    real = torch.tensor

    def make(data: Any, *, device: Any = None, **more: Any) -> Tensor:
        """PyTorch makes these tensors without asking the mode."""
        return real(data, **more) if device is None else real(data, **more).to(device)

    with (
        mock.patch("torch.backends.mps.is_available", return_value=True),
        mock.patch("torch.mps.manual_seed", seeds.append),
        mock.patch("torch.mps._get_default_mps_generator", return_value=torch.default_generator),
        mock.patch("torch.mps.recommended_max_memory", return_value=ROOM),
        mock.patch("torch.mps.driver_allocated_memory", return_value=0),
        mock.patch("torch.tensor", make),
        PretendedGpu(),
    ):
        yield seeds


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the CPU, after what the GPU would refuse is refused."""
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
    there = [t for t in tensors if isinstance(t, PretendedTensor)]
    name = func.overloadpacket.__name__
    device = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else ""
    # PyTorch's own code sees what lies on the GPU as ``meta``, and makes more there.
    target = "mps" if device in ("mps", "meta") or (there and not device) else "cpu"
    if not there and target != "mps":
        return func(*args, **kwargs)
    if there and name not in BETWEEN_DEVICES and any(t.dim() for t in tensors if not isinstance(t, PretendedTensor)):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, mps:0 and cpu")
    if kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: expected a generator of mps:0, not of the CPU")
    if target == "mps" and name != "_to_copy" and not has_kernel(str(func)):
        raise NotImplementedError(f"the operator {func} is not currently implemented for the MPS device")
    if name in IN_ORDER and any(_channels_last(t.held) for t in there):
        raise RuntimeError(f"{func}: wrong or slow in channels_last")
    inner = {key: value for key, value in kwargs.items() if key not in ("device", "pin_memory")}
    if device:
        inner["device"] = "cpu"
    result = func(*tree_map(_real, args), **tree_map(_real, inner))
    into_cpu = name == "copy_" and not isinstance(args[0], PretendedTensor)
    if target != "mps" or into_cpu:
        return args[0] if into_cpu else result
    return return_and_correct_aliasing(func, args, kwargs, tree_map(_seeming, result))


def _channels_last(real: Tensor) -> bool:
    return real.dim() == 4 and not real.is_contiguous() and real.is_contiguous(memory_format=torch.channels_last)


def _real(value: Any) -> Any:
    return value.held if isinstance(value, PretendedTensor) else value


def _seeming(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.dtype in (torch.float64, torch.complex128):
        raise TypeError(f"Cannot convert a MPS Tensor to {value.dtype} dtype: the MPS framework doesn't support it")
    return PretendedTensor(value)


def has_kernel(operator: str) -> bool:
    """Whether ``aten.add.Tensor`` has a kernel for ``mps``, or is made of operations that are looked at themselves."""
    name = operator.removeprefix("aten.").removesuffix(".default")
    entry = _kernels().get(name)
    while entry and entry[0]:
        entry = _kernels().get(entry[0])
    return entry is None or not entry[1] or any(key == "MPS" or key.startswith("Composite") for key in entry[1])


@cache
def _kernels() -> dict[str, tuple[str, set[str]]]:
    """Name of each operator -> the one that it delegates to, and the devices with a kernel of their own."""
    package = find_spec("torchgen")
    assert package is not None
    assert package.origin is not None
    text = Path(package.origin).with_name("packaged") / "ATen" / "native" / "native_functions.yaml"
    return dict(_entries(text.read_text(encoding="utf-8")))


def _entries(text: str) -> Iterator[tuple[str, tuple[str, set[str]]]]:
    for block in re.split(r"^- func: ", text, flags=re.MULTILINE)[1:]:
        delegate = re.search(r"^  structured_delegate: (\S+)", block, re.MULTILINE)
        devices = re.findall(r"^    ([A-Z]\w+(?:, \w+)*): ", block, re.MULTILINE)
        names = {device for line in devices for device in line.split(", ")}
        yield block.partition("(")[0], (delegate[1] if delegate else "", names)
