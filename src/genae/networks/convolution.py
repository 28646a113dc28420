"""Convolutions that run as matrix products on the CPU where maps are small and channels many.

oneDNN, which PyTorch calls for convolutions on the CPU, blocks over positions of the map. On a map of 2 x 2 there are
too few: 4 x 4 kernels from 512 to 1,024 channels run there at a quarter of the speed of matrix products over the same
numbers, one for each tap of the kernel; and a tap that falls on padding costs nothing (benchmarks/convolutions.py).
The weights, and so the saved files, are those of PyTorch's layers.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

CHANNELS_PER_POSITION = 32
"""A layer runs as matrix products from so many channels for each position of its smaller map."""


class Geometry(NamedTuple):
    """Where taps fall: a map of ``large`` pixels strided down to one of ``small``."""

    large: tuple[int, int]
    small: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def taps(self) -> Iterator[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
        """Row and column of each tap in the kernel, the positions that it reads on the large map, and those on the
        small map that it serves: only positions inside both."""
        rows, columns = (self._along(axis) for axis in (0, 1))
        for i, large_rows, small_rows in rows:
            for j, large_columns, small_columns in columns:
                yield i, j, (large_rows, large_columns), (small_rows, small_columns)

    def _along(self, axis: int) -> list[tuple[int, slice, slice]]:
        found = []
        large, small, stride = self.large[axis], self.small[axis], self.stride[axis]
        for tap in range(self.kernel[axis]):
            offset = tap - self.padding[axis]
            first = max(0, -(offset // stride))  # smallest position with first * stride + offset >= 0
            count = min(small, (large - 1 - offset) // stride + 1) - first
            if count > 0:
                start = first * stride + offset
                found.append((tap, slice(start, start + (count - 1) * stride + 1, stride), slice(first, first + count)))
        return found


# Maps are [B, H, W, channels], weights [small channels, large channels, kernel height, kernel width].


def _sums(like: Tensor, *shape: int) -> Tensor:
    """Zeros [B, *shape] to add taps to: in float32 at least, as a bfloat16 sum would lose what it is given."""
    return like.new_zeros(len(like), *shape, dtype=torch.promote_types(like.dtype, torch.float32))


def _rows_times(rows: Tensor, matrix: Tensor) -> Tensor:
    """[..., a] x [a, b] -> [..., b].

    Of rows that do not lie together, PyTorch would make a product for each map, and copy the matrix once for each of
    them, which takes ten to a hundred times as long as the products: the rows are copied instead.
    """
    return (rows.flatten(0, -2) @ matrix).unflatten(0, rows.shape[:-1])


def _down(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Large map, weights -> small map: a convolution."""
    y = _sums(x, *geometry.small, weight.shape[0])
    for i, j, large, small in geometry.taps():
        y[:, *small] += _rows_times(x[:, *large], weight[:, :, i, j].T)
    return y.to(x.dtype)


def _up(y: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Small map, weights -> large map: a transposed convolution."""
    x = _sums(y, *geometry.large, weight.shape[1])
    for i, j, large, small in geometry.taps():
        x[:, *large] += _rows_times(y[:, *small], weight[:, :, i, j])
    return x.to(y.dtype)


def _across(x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
    """Large map, small map -> weights, in channels_last."""
    weight = x.new_zeros(y.shape[3], *geometry.kernel, x.shape[3]).permute(0, 3, 1, 2)
    for i, j, large, small in geometry.taps():
        weight[:, :, i, j] = y[:, *small].flatten(0, 2).T @ x[:, *large].flatten(0, 2)
    return weight


Product = Callable[[Tensor, Tensor, Geometry], Tensor]
# The three are linear in each argument, and each is the derivative of the others: g -> derivative by a, and by b.
_DERIVATIVES: dict[Product, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    _down: (lambda a, b, g, at: product(_up, g, b, at), lambda a, b, g, at: product(_across, a, g, at)),
    _up: (lambda a, b, g, at: product(_down, g, b, at), lambda a, b, g, at: product(_across, g, a, at)),
    _across: (lambda a, b, g, at: product(_up, b, g, at), lambda a, b, g, at: product(_down, a, g, at)),
}


def product(of: Product, a: Tensor, b: Tensor, geometry: Geometry) -> Tensor:
    """``of(a, b)``, differentiable any number of times.

    Two nodes and not one: a backward pass that is asked for one argument's gradient (``backward(inputs=...)``) walks
    past the other node, while a single Python node would compute both. Each sees the other argument in a list, which
    hides it from autograd's search.
    """
    y = _First.apply(a, [b], of, geometry)
    return y + _Second.apply(b, [a], of, geometry, y.shape) if b.requires_grad and torch.is_grad_enabled() else y


Context = Any
"""What `forward` leaves for `backward`; torch lets it take any attribute."""


class _First(Function):
    """The product, with the derivative by a alone."""

    @staticmethod
    def forward(ctx: Context, a: Tensor, other: list[Tensor], of: Product, geometry: Geometry) -> Tensor:
        (b,) = other
        ctx.save_for_backward(a, b)
        ctx.of, ctx.geometry = of, geometry
        return of(a, b, geometry)

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _DERIVATIVES[ctx.of][0](*ctx.saved_tensors, *grads, ctx.geometry), None, None, None


class _Second(Function):
    """Zero, with the product's derivative by b."""

    @staticmethod
    def forward(
        ctx: Context, b: Tensor, other: list[Tensor], of: Product, geometry: Geometry, shape: torch.Size
    ) -> Tensor:
        (a,) = other
        ctx.save_for_backward(a, b)
        ctx.of, ctx.geometry = of, geometry
        return b.new_zeros(()).expand(shape)

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _DERIVATIVES[ctx.of][1](*ctx.saved_tensors, *grads, ctx.geometry), None, None, None, None


def as_products(x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d, positions: int) -> bool:
    """Whether matrix products are the faster way, measured at widths 8 to 64 on one and two cores, and can be taken.

    Weights have to lie in channels_last, as genae's models do. Compilers, tracers, `torch.func` and forward-mode
    derivatives get PyTorch's layer, which they know.
    """
    weight = layer.weight
    return (
        max(weight.shape[:2]) >= positions * CHANNELS_PER_POSITION
        and positions > 0
        and x.device.type == "cpu"
        and weight.is_contiguous(memory_format=torch.channels_last)
        and layer.groups == 1
        and set(layer.dilation) == {1}
        and layer.padding_mode == "zeros"
        and not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
    )


def cast(*tensors: Tensor) -> list[Tensor]:
    """Inside autocast, what PyTorch does before its own convolutions."""
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
        return [tensor if tensor.dtype == torch.float64 else tensor.to(kind) for tensor in tensors]
    return list(tensors)


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, in_channels, H, W] -> [B, out_channels, h, w]."""
        if x.ndim != 4 or isinstance(self.padding, str):
            return super().forward(x)
        kernel, stride, padding = self.kernel_size, self.stride, self.padding
        small = [max(0, (x.shape[2 + i] + 2 * int(padding[i]) - kernel[i]) // stride[i] + 1) for i in (0, 1)]
        if not as_products(x, self, small[0] * small[1]):
            return super().forward(x)
        geometry = Geometry((x.shape[2], x.shape[3]), (small[0], small[1]), kernel, stride, padding)  # type: ignore[arg-type]
        x, weight = cast(x.permute(0, 2, 3, 1), self.weight)
        y = product(_down, x, weight, geometry)
        return (y if self.bias is None else y + self.bias.to(y.dtype)).permute(0, 3, 1, 2)


class ConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Maps [B, in_channels, h, w] -> [B, out_channels, H, W]."""
        if x.ndim != 4:
            return super().forward(x, output_size)
        small = (x.shape[2], x.shape[3])
        if output_size or not as_products(x, self, small[0] * small[1]):
            return super().forward(x, output_size)
        kernel, stride, padding = self.kernel_size, self.stride, self.padding
        large = [(small[i] - 1) * stride[i] - 2 * int(padding[i]) + kernel[i] + self.output_padding[i] for i in (0, 1)]
        geometry = Geometry((large[0], large[1]), small, kernel, stride, padding)  # type: ignore[arg-type]
        x, weight = cast(x.permute(0, 2, 3, 1), self.weight)
        y = product(_up, x, weight, geometry)
        return (y if self.bias is None else y + self.bias.to(y.dtype)).permute(0, 3, 1, 2)
