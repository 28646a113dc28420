"""Networks that grow against plain arithmetic, and spectral norms against singular values."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.networks.progressive import ProgressiveCritic, ProgressiveDecoder, ProgressiveEncoder
from genae.networks.spectral import SpectralConvolution, follow_weights
from genae.networks.style_layers import Convolution, channels_of

CHANNELS = [8, 6, 4]


def pixels_normalised(x: Tensor) -> Tensor:
    """Each pixel divided by the root of its mean square over channels."""
    return torch.stack([x[:, i] / (x.square().sum(1) / x.shape[1] + 1e-8).sqrt() for i in range(x.shape[1])], 1)


def equalised(layer: Convolution, x: Tensor, gain: float = math.sqrt(2)) -> Tensor:
    """The layer's convolution; images are doubled before or halved after it."""
    weight = layer.weight
    if layer.change == "double":
        weight, x = weight.transpose(0, 1).flip(2, 3), F.interpolate(x, scale_factor=2)
    return F.conv2d(x, weight * gain / math.sqrt(weight[0].numel()), padding=weight.shape[-1] // 2)


def coloured(layer: nn.Module, x: Tensor, gain: float) -> Tensor:
    return equalised(layer.convolution, x, gain) + layer.bias[:, None, None]


def activated(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(x + bias[:, None, None], 0.2)


def with_biases(network: nn.Module) -> nn.Module:
    """Biases start at 0, which would hide a missing one."""
    for name, p in network.named_parameters():
        if "bias" in name:
            nn.init.normal_(p)
    return network


def plain_decoder(decoder: ProgressiveDecoder, z: Tensor, level: int, blend: float) -> Tensor:
    """G of Karras et al. 2018, Table 2, layer by layer."""
    x, below = pixels_normalised(z), None
    for i, block in enumerate(decoder.blocks[: level + 1]):
        below = x
        if i == 0:
            weight = block.first.weight[:, :, 0, 0] * math.sqrt(2) / 4 / math.sqrt(z.shape[1])
            x = (x @ weight.T).view(len(x), -1, 4, 4)
        else:
            x = equalised(block.first, x)
        x = pixels_normalised(activated(x, block.biases[0]))
        x = pixels_normalised(activated(equalised(block.second, x), block.biases[1]))
    image = coloured(decoder.to_colours[level], x, 1.0)
    if blend == 1:
        return image
    return blend * image + (1 - blend) * F.interpolate(
        coloured(decoder.to_colours[level - 1], below, 1.0), scale_factor=2
    )


@pytest.mark.parametrize(("level", "blend"), [(0, 1.0), (2, 1.0), (2, 0.3)])
def test_decoder_is_the_papers_arithmetic(level: int, blend: float) -> None:
    torch.manual_seed(0)
    decoder = with_biases(ProgressiveDecoder(3, 6, CHANNELS))
    z = torch.randn(5, 6)
    mix = 1.0 if blend == 1 else torch.tensor(blend)
    assert torch.allclose(decoder(z, level, mix), plain_decoder(decoder, z, level, blend), atol=1e-5)
    assert torch.allclose(decoder(3 * z, level, mix), decoder(z, level, mix), atol=1e-5), "a code is a direction"


def plain_critic(critic: ProgressiveCritic, x: Tensor, level: int, blend: float) -> Tensor:
    """D of Karras et al. 2018, Table 2; the deviation is that of all images, here four."""
    entered = [
        F.leaky_relu(coloured(layer, image, math.sqrt(2)), 0.2)
        for layer, image in zip(critic.from_colours[level - 1 : level + 1], (F.avg_pool2d(x, 2), x), strict=True)
    ]
    maps = entered[1]
    for i in range(level, 0, -1):
        block = critic.blocks[i]
        maps = activated(equalised(block.first, maps), block.biases[0])
        maps = activated(F.avg_pool2d(equalised(block.second, maps), 2), block.biases[1])
        if i == level:
            maps = blend * maps + (1 - blend) * entered[0]
    verdict = critic.blocks[0]
    deviation = sum(maps[:, c, i, j].std(correction=0) for c in range(8) for i in range(4) for j in range(4)) / 128
    maps = torch.cat([maps, deviation.expand(4, 1, 4, 4)], 1)
    maps = activated(equalised(verdict.convolution, maps), verdict.bias)
    hidden = F.leaky_relu(maps.flatten(1) @ (verdict.dense.weight.T / math.sqrt(64)) + verdict.dense.bias, 0.2)
    return hidden @ verdict.logit.weight.T / math.sqrt(8) + verdict.logit.bias


@pytest.mark.parametrize("blend", [1.0, 0.3])
def test_critic_is_the_papers_arithmetic_and_sees_the_deviation_over_the_batch(blend: float) -> None:
    torch.manual_seed(0)
    critic = with_biases(ProgressiveCritic(3, CHANNELS))
    x = torch.randn(4, 3, 16, 16)
    mix = 1.0 if blend == 1 else torch.tensor(blend)
    assert torch.allclose(critic(x, 2, mix), plain_critic(critic, x, 2, blend), atol=1e-4)


def test_networks_have_as_many_parameters_as_the_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn", torch.empty)
    channels = channels_of(9, 16, 512)
    networks = ProgressiveDecoder(3, 512, channels), ProgressiveCritic(3, channels)
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert [round(count / 1e6, 1) for count in counts] == [23.1, 23.1]


@pytest.mark.parametrize("change", ["same", "double", "half"])
def test_spectral_convolutions_divide_by_the_largest_singular_value(change: str) -> None:
    torch.manual_seed(0)
    layer = SpectralConvolution(5, 7, change=change).double()
    assert float(layer.weight.detach().std(correction=0)) == pytest.approx(math.sqrt(2 / 45), rel=0.1)
    x = torch.randn(2, 5, 8, 8, dtype=torch.float64)
    for _ in range(200):
        follow_weights(layer)

    matrix = (layer.weight.transpose(0, 1) if change == "double" else layer.weight).flatten(1)
    largest = torch.linalg.svdvals(matrix)[0]
    assert torch.allclose(layer.spectral_norm(), largest)
    ours, theirs = (torch.autograd.grad(norm, layer.weight)[0] for norm in (layer.spectral_norm(), largest))
    assert torch.allclose(ours, theirs, atol=1e-6)

    plain = Convolution(5, 7, change=change).double()
    with torch.no_grad():
        plain.weight.copy_(layer.weight / largest / plain.scale)
    assert torch.allclose(layer(x), plain(x))
    layer.direction.fill_(1)
    layer(x)
    assert (layer.direction == 1).all(), "a pass leaves it as it is"
    follow_weights(nn.Sequential(layer))
    assert not (layer.direction == 1).any()


def test_spectral_norms_are_near_from_the_start() -> None:
    torch.manual_seed(0)
    layer = SpectralConvolution(16, 16)
    largest = float(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0])
    assert float(layer.spectral_norm().detach()) == pytest.approx(largest, rel=0.05)


def test_encoder_reads_colours_linearly_and_every_layer_has_norm_one() -> None:
    torch.manual_seed(0)
    encoder = with_biases(ProgressiveEncoder(3, 6, CHANNELS))
    layers = [module for module in encoder.modules() if isinstance(module, SpectralConvolution)]
    assert len(layers) == 2 * len(CHANNELS)

    plain = copy.deepcopy(encoder)
    x = torch.randn(2, 3, 16, 16)

    def convolved(layer: SpectralConvolution, x: Tensor, bias: Tensor) -> Tensor:
        weight = layer.weight / layer.spectral_norm()
        x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return (F.avg_pool2d(x, 2) if layer.change == "half" else x) + bias[:, None, None]

    maps = coloured(plain.from_colours[2], x, math.sqrt(2))
    for i in (2, 1):
        block = plain.blocks[i]
        maps = F.leaky_relu(convolved(block.first, maps, block.biases[0]), 0.2)
        maps = F.leaky_relu(convolved(block.second, maps, block.biases[1]), 0.2)
    last = plain.blocks[0]
    maps = F.leaky_relu(convolved(last.convolution, maps, last.biases[0]), 0.2)
    code = convolved(last.linear, maps.flatten(1)[:, :, None, None], last.biases[1]).flatten(1)
    assert torch.allclose(encoder(x, 2), F.normalize(code), atol=1e-5)


def test_the_spectral_decoder_has_no_pixel_norm() -> None:
    torch.manual_seed(0)
    decoder = ProgressiveDecoder(3, 6, CHANNELS, spectral=True)
    z = F.normalize(torch.randn(4, 6)) * math.sqrt(6)
    maps = decoder.blocks[1](decoder.blocks[0](z))
    assert torch.allclose(decoder.blocks[1](2 * decoder.blocks[0](z)), 2 * maps, atol=1e-5)
