"""Convolutions as matrix products: against PyTorch's, to any derivative, and the rule that chooses between them."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genae.networks import convolution
from genae.networks.convolution import Conv2d, ConvTranspose2d


@pytest.fixture(autouse=True)
def always_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "CHANNELS_PER_POSITION", 0)


def ready(layer: torch.nn.Module) -> torch.nn.Module:
    """As genae's models are: weights in channels_last."""
    return layer.to(memory_format=torch.channels_last)


sides, kernels, strides = st.integers(1, 7), st.integers(1, 4), st.integers(1, 3)


@given(sides, sides, kernels, kernels, strides, st.integers(0, 2), st.booleans(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_convolution_equals_pytorchs(
    height: int, width: int, rows: int, columns: int, stride: int, padding: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    if min(height + 2 * padding - rows, width + 2 * padding - columns) < 0:
        return
    layer = ready(Conv2d(3, 5, (rows, columns), stride, padding, bias=bias)).double()
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, stride, padding))


@given(sides, sides, kernels, strides, st.integers(0, 2), st.integers(0, 1), st.booleans(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_transposed_convolution_equals_pytorchs(
    height: int, width: int, kernel: int, stride: int, padding: int, extra: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    extra = min(extra, stride - 1)
    if min((side - 1) * stride - 2 * padding + kernel + extra for side in (height, width)) < 1:
        return
    layer = ready(ConvTranspose2d(3, 5, kernel, stride, padding, extra, bias=bias)).double()
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    expected = F.conv_transpose2d(x, layer.weight, layer.bias, stride, padding, extra)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("layer", [Conv2d(2, 3, 4, 2, 1), ConvTranspose2d(2, 3, 3, 2, 1, 1), Conv2d(2, 2, 3, 1, 1)])
def test_first_and_second_derivatives(layer: torch.nn.Module) -> None:
    layer = ready(layer).double()
    x = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    inputs = (x, *(p.detach().requires_grad_() for p in layer.parameters()))
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize("layer", [Conv2d(4, 6, 4, 2, 1), ConvTranspose2d(4, 6, 4, 2, 1)])
def test_a_backward_pass_computes_only_what_it_is_asked_for(
    layer: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("_down", "_up", "_across"):
        of = getattr(convolution, name)

        def counted(*args: object, of: convolution.Product = of, name: str = name) -> Tensor:
            calls.append(name)
            return of(*args)  # type: ignore[arg-type]

        monkeypatch.setitem(convolution._DERIVATIVES, counted, convolution._DERIVATIVES[of])
        monkeypatch.setattr(convolution, name, counted)
    x = torch.randn(2, 4, 4, 4, requires_grad=True)
    y = ready(layer)(x)
    calls.clear()
    y.sum().backward(inputs=[x], retain_graph=True)
    assert "_across" not in calls
    assert layer.weight.grad is None
    calls.clear()
    y.sum().backward(inputs=[layer.weight])
    assert calls == ["_across"]


def test_autocast_and_weights_of_pytorchs_layers() -> None:
    ours, theirs = ready(Conv2d(4, 6, 3, 1, 1)), torch.nn.Conv2d(4, 6, 3, 1, 1)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y, expected = ours(x), theirs(x)
    assert y.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(y, expected, atol=0.05, rtol=0.05)


def test_bfloat16_taps_are_added_up_in_float32() -> None:
    layer = ready(Conv2d(64, 64, 4, 2, 1))
    x = torch.randn(8, 64, 4, 4)
    exact = layer.double()(x.double())
    layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = layer(x), F.conv2d(x, layer.weight, layer.bias, 2, 1)
    assert (ours - exact).norm() < 1.5 * (theirs - exact).norm()


def taps(x: Tensor, layer: torch.nn.Module) -> Tensor:
    """What each tap of the kernel adds to the output [B, channels, taps, positions], in float64, by einsum."""
    weight = layer.weight.double().flatten(2)
    patches = F.unfold(x, layer.kernel_size, padding=layer.padding, stride=layer.stride)
    return torch.einsum("bckl,ock->bokl", patches.unflatten(1, (x.shape[1], -1)), weight)


def transposed_taps(x: Tensor, layer: torch.nn.Module) -> Tensor:
    """The same of a transposed convolution, before they are laid over one another [B, channels x taps, positions]."""
    return torch.einsum("bol,ock->bckl", x.flatten(2), layer.weight.double().flatten(2)).flatten(1, 2)


ROUNDING = 2.0**-8
"""Of bfloat16: the largest relative error."""


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [3, 64])
def test_bfloat16_is_the_einsum_of_its_taps_up_to_rounding(channels: int, stride: int) -> None:
    torch.manual_seed(0)
    down = ready(Conv2d(channels, 16, 4, stride, 1, bias=False)).bfloat16()
    up = ready(ConvTranspose2d(channels, 16, 4, stride, 1, bias=False)).bfloat16()
    x = torch.randn(2, channels, 6, 5).bfloat16()
    terms = taps(x.double(), down)
    y = down(x)
    expected = terms.sum(2).unflatten(2, y.shape[2:])
    room = terms.abs().sum(2).unflatten(2, y.shape[2:]) + expected.abs()
    assert ((y - expected).abs() <= ROUNDING * room).all()

    terms = transposed_taps(x.double(), up)
    y = up(x)

    def laid(terms: Tensor) -> Tensor:
        return F.fold(terms, y.shape[2:], up.kernel_size, padding=up.padding, stride=up.stride)

    room = laid(terms.abs()) + laid(terms).abs()
    assert ((y - laid(terms)).abs() <= ROUNDING * room).all()


@pytest.fixture
def no_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "_down", None)  # would fail if it were called
    monkeypatch.setattr(convolution, "_up", None)


@pytest.mark.usefixtures("no_products")
def test_the_library_runs_large_maps_and_few_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "CHANNELS_PER_POSITION", 32)
    ready(Conv2d(2, 127, 4, 2, 1))(torch.randn(1, 2, 4, 4))  # 2 x 2 positions: from 128 channels
    Conv2d(2, 128, 4, 2, 1)(torch.randn(1, 2, 4, 4))  # weights that are not in channels_last
    with pytest.raises(TypeError):
        ready(Conv2d(2, 128, 4, 2, 1))(torch.randn(1, 2, 4, 4))


@pytest.mark.usefixtures("no_products")
@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"padding_mode": "reflect", "padding": 1}, (1, 4, 4, 4)),
        ({"groups": 2}, (1, 4, 4, 4)),
        ({"padding": "same"}, (1, 4, 4, 4)),
        ({"dilation": 2, "padding": 2}, (1, 4, 4, 4)),
        ({"padding": 1}, (4, 4, 4)),
    ],
)
def test_the_library_runs_what_products_do_not_know(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    layer = ready(Conv2d(4, 6, 3, **options))
    theirs = torch.nn.Conv2d(4, 6, 3, **options)
    theirs.load_state_dict(layer.state_dict())
    x = torch.randn(shape)
    torch.testing.assert_close(layer(x), theirs(x))


def test_maps_smaller_than_the_kernel_are_refused() -> None:
    with pytest.raises(RuntimeError, match="Kernel size"):
        ready(Conv2d(2, 3, 4))(torch.randn(1, 2, 3, 3))


def test_functional_transforms_see_pytorchs_layer() -> None:
    layer = ready(Conv2d(2, 3, 4, 2, 1))
    x = torch.randn(1, 2, 4, 4)
    jacobian = torch.func.jacrev(layer)(x)
    torch.testing.assert_close(jacobian, torch.autograd.functional.jacobian(layer, x))
    torch.testing.assert_close(torch.func.jvp(layer, (x,), (x,))[0], layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x[None])[0], layer(x))
