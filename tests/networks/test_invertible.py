"""Invertible maps: inverses, and volumes against autograd's Jacobian."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.networks.invertible import (
    ActNorm,
    Coupling,
    EdgeConvolution,
    InvertibleConvolution,
    Scales,
    Standardised,
    initialise_by,
)


def stirred(module: nn.Module) -> nn.Module:
    """With weights that are neither zero nor the identity."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    return module


def jacobian_volume(forward: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """log |det| of one image's Jacobian, by autograd and an LU decomposition in float64."""
    matrix = torch.autograd.functional.jacobian(lambda row: forward(row.view_as(x)).flatten(), x.flatten())
    return float(torch.linalg.slogdet(matrix.double()).logabsdet)


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) - 0.5


@pytest.mark.parametrize(("shape", "levels"), [((1, 4, 8), 2), ((3, 2, 4), 1)])
@pytest.mark.parametrize("kind", ["affine", "additive"])
def test_the_flow_has_its_inverse_and_the_volume_of_autograd(
    shape: tuple[int, int, int], levels: int, kind: str
) -> None:
    torch.manual_seed(0)
    flow = stirred(Scales(shape[0], levels, depth=2, width=5, coupling=kind))
    x = images(2, *shape)
    code, volume = flow(x)
    assert code.shape == x.shape
    assert (flow.inverse(code) - x).abs().max() < 1e-5
    assert (flow(flow.inverse(torch.randn_like(x)))[0].isfinite()).all()
    expected = [jacobian_volume(lambda y: flow(y)[0], row[None]) for row in x]
    assert volume.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert abs(expected[0] - expected[1]) > 2e-4 or kind == "additive", "it depends on the image"


def test_the_gradient_of_the_volume_is_that_of_the_jacobians() -> None:
    torch.manual_seed(0)
    flow, x = stirred(Scales(1, 1, depth=1, width=3, coupling="affine")).double(), images(1, 1, 4, 4).double()
    parameters = list(flow.parameters())
    mine = torch.autograd.grad(flow(x)[1].sum(), parameters, allow_unused=True)

    def of_row(row: Tensor) -> Tensor:
        return flow(row.view_as(x))[0].flatten()

    matrix = torch.autograd.functional.jacobian(of_row, x.flatten(), create_graph=True)
    its = torch.autograd.grad(torch.linalg.slogdet(matrix).logabsdet, parameters, allow_unused=True)
    for a, b in zip(mine, its, strict=True):
        zero = torch.zeros(1, dtype=torch.float64)
        torch.testing.assert_close(zero if a is None else a, zero.expand_as(a) if b is None and a is not None else b)


@pytest.mark.parametrize("channels", [1, 4, 12])
def test_the_convolution_begins_as_a_rotation_and_its_volume_is_that_of_its_matrix(channels: int) -> None:
    torch.manual_seed(channels)
    layer = InvertibleConvolution(channels)
    units = torch.eye(channels)[:, :, None, None]

    def matrix() -> Tensor:
        return layer(units)[:, :, 0, 0].T

    torch.testing.assert_close(matrix() @ matrix().T, torch.eye(channels))
    assert float(layer.cell_volume().detach()) == pytest.approx(0, abs=1e-5)
    stirred(layer)
    volume = float(torch.linalg.slogdet(matrix().detach().double()).logabsdet)
    assert float(layer.cell_volume().detach()) == pytest.approx(volume, abs=1e-5)
    torch.testing.assert_close(layer.inverse(layer(units)), units)


def test_actnorm_is_an_affine_map_of_channels() -> None:
    norm, x = stirred(ActNorm(3)), images(2, 3, 4, 4)
    scale = (3 * norm.log_scale).exp()
    torch.testing.assert_close(norm(x), scale * x + scale * norm.shift)
    torch.testing.assert_close(norm.inverse(norm(x)), x)
    assert float(norm.cell_volume().detach()) == pytest.approx(float(scale.log().sum().detach()), rel=1e-5)


def test_every_actnorm_is_initialised_by_what_reaches_it() -> None:
    torch.manual_seed(0)
    flow, x = Scales(1, 2, depth=2, width=5, coupling="affine"), images(64, 1, 8, 8)
    initialise_by(flow, x)
    outputs: list[Tensor] = []
    norms = [module for module in flow.modules() if isinstance(module, ActNorm)]
    for norm in norms:
        norm.register_forward_hook(lambda norm, inputs, y: outputs.append(y))
    flow(x)
    assert len(outputs) == len(norms) == 2 * 2 * 3
    for y in outputs:
        variance, mean = torch.var_mean(y, (0, 2, 3), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)
        torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-3, rtol=0)


def test_couplings_begin_without_a_shift_and_with_the_authors_scale() -> None:
    x = images(2, 4, 4, 4)
    for kind, scale in (("affine", torch.sigmoid(torch.tensor(2.0))), ("additive", torch.tensor(1.0))):
        y, volume = Coupling(4, 5, kind)(x)
        torch.testing.assert_close(y, torch.cat([x[:, :2], scale * x[:, 2:]], 1))
        torch.testing.assert_close(volume, (2 * 16 * scale.log()).expand(2))


def test_what_stays_at_a_level_has_the_density_of_a_gaussian_that_is_told_the_rest() -> None:
    layer = stirred(Standardised(2, 3))
    z, given = images(2, 3, 4, 4), images(2, 2, 4, 4)
    e, volume = layer(z, given)
    mean, log_deviation = layer.network(given).chunk(2, 1)
    density = torch.distributions.Normal(mean, log_deviation.exp()).log_prob(z).flatten(1).sum(1)
    standard = torch.distributions.Normal(0, 1).log_prob(e).flatten(1).sum(1)
    torch.testing.assert_close(standard + volume, density)
    torch.testing.assert_close(layer.inverse(e, given), z)


def test_convolutions_are_told_where_the_image_ends() -> None:
    layer = EdgeConvolution(2, 3)
    x = images(1, 2, 4, 5)
    outside = torch.ones(1, 1, 6, 7)
    outside[..., 1:-1, 1:-1] = 0
    expected = F.conv2d(torch.cat([F.pad(x, (1, 1, 1, 1)), outside], 1), layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), expected)
    constant = EdgeConvolution(0, 1)(torch.empty(1, 0, 5, 5))
    assert constant.shape == (1, 1, 5, 5)
    assert constant[..., 1:-1, 1:-1].unique().numel() == 1, "inside there is nothing to be told"
