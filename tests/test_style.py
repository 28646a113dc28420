"""The style networks against plain arithmetic, their growth, and what can be done with codes of every layer."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genae.autoencoders.style_alae import StyleAdversarialLatentAutoencoder, StyleGan
from genae.networks.style import Convolution, StyleEncoder, blur, channels_of, levels_of

SHAPE = (3, 16, 16)
SMALL = {"code_dim": 6, "width": 4, "most_channels": 8, "mapping_layers": 2, "batch_size": "4"}


def style_model(**options: object) -> StyleAdversarialLatentAutoencoder:
    torch.manual_seed(0)
    return StyleAdversarialLatentAutoencoder(SHAPE, **SMALL | options)  # type: ignore[arg-type]


def smoothed(x: Tensor) -> Tensor:
    """The blur, tap by tap."""
    padded = F.pad(x, (1, 1, 1, 1))
    height, width = x.shape[2:]
    taps = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    return sum(taps[i][j] / 16 * padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3))  # type: ignore[return-value]


def test_blur_is_its_taps_and_its_own_derivative_twice() -> None:
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(blur(x), smoothed(x))
    assert torch.autograd.gradcheck(blur, (x,))
    assert torch.autograd.gradgradcheck(blur, (x,))


@pytest.mark.parametrize("change", ["same", "double", "half"])
def test_convolutions_are_the_two_steps_that_they_replace(change: str) -> None:
    torch.manual_seed(0)
    layer = Convolution(5, 7, change=change).double()
    x = torch.randn(2, 5, 8, 8, dtype=torch.float64)
    weight = layer.weight * math.sqrt(2) / math.sqrt(5 * 9)
    expected = {
        "same": lambda: F.conv2d(x, weight, padding=1),
        "double": lambda: F.conv2d(F.interpolate(x, scale_factor=2), weight.transpose(0, 1).flip(2, 3), padding=1),
        "half": lambda: F.avg_pool2d(F.conv2d(x, weight, padding=1), 2),
    }[change]()
    assert torch.allclose(layer(x), expected)


def plain_encoder(encoder: StyleEncoder, x: Tensor, level: int, blend: float | None) -> Tensor:
    """E written from Section B.2 of the authors' layers: convolution, then pooling; statistics by their definitions."""

    def convolved(layer: Convolution, x: Tensor) -> Tensor:
        return F.conv2d(x, layer.weight * layer.scale, padding=1)

    def read(reading: nn.Module, x: Tensor) -> Tensor:
        statistics = torch.cat([x.mean((2, 3)), x.std((2, 3), correction=0)], 1)
        linear = reading.linear
        return F.linear(statistics, linear.weight * linear.scale, linear.bias)

    def entered(x: Tensor, level: int) -> Tensor:
        colour = encoder.from_colours[level]
        return F.leaky_relu(F.conv2d(x, colour.convolution.weight * colour.convolution.scale, colour.bias), 0.2)

    maps, w = entered(x, level), torch.zeros(())
    for i in reversed(range(level + 1)):
        block = encoder.blocks[i]
        y = F.leaky_relu(convolved(block.first, maps) + block.biases[0][:, None, None], 0.2)
        style = read(block.readings[0], y)
        y = F.avg_pool2d(convolved(block.second, smoothed(F.instance_norm(y))), 2)
        y = F.leaky_relu(y + block.biases[1][:, None, None], 0.2)
        style = style + read(block.readings[1], y)
        maps = F.instance_norm(y)
        if i == level and blend is not None:
            maps = blend * maps + (1 - blend) * entered(F.avg_pool2d(x, 2), level - 1)
            style = style * blend
        w = w + style
    return w


@pytest.mark.parametrize(("level", "blend"), [(2, None), (1, None), (2, 0.3)])
def test_encoder_is_the_authors_arithmetic(level: int, blend: float | None) -> None:
    model = style_model()
    x = torch.randn(3, 3, 4 * 2**level, 4 * 2**level)
    mix = 1.0 if blend is None else torch.tensor(blend)
    assert torch.allclose(model.encoder(x, level, mix), plain_encoder(model.encoder, x, level, blend), atol=1e-4)


def test_decoder_normalises_scales_and_shifts_every_layer() -> None:
    model = style_model().eval()
    seen = []
    hook = model.decoder.blocks[1].styled[0].register_forward_hook(lambda m, i, o: seen.append((i, o)))
    styles = torch.randn(2, 6, 6)
    model.decoder(styles, 2)
    hook.remove()
    (x, style, noise), y = seen[0]
    assert torch.equal(noise, model.decoder.noise2)
    assert torch.equal(style, styles[:, 2])
    layer = model.decoder.blocks[1].styled[0]
    activated = F.leaky_relu(x + layer.bias[:, None, None] + layer.strength[:, None, None] * noise, 0.2)
    scale, shift = F.linear(style, layer.style.weight / math.sqrt(6), layer.style.bias)[..., None, None].chunk(2, 1)
    assert torch.allclose(y, F.instance_norm(activated, eps=1e-8) * (1 + scale) + shift, atol=1e-5)


@pytest.mark.parametrize(
    ("levels", "width", "most", "channels"),
    [
        (6, 64, 256, [256, 256, 256, 256, 128, 64]),
        (7, 64, 512, [512, 512, 512, 512, 256, 128, 64]),
        (7, 32, 512, [512, 512, 512, 256, 128, 64, 32]),
        (9, 16, 512, [512, 512, 512, 512, 256, 128, 64, 32, 16]),
    ],
)
def test_channels_are_the_authors(levels: int, width: int, most: int, channels: list[int]) -> None:
    assert channels_of(levels, width, most) == channels
    assert levels_of(4 * 2 ** (levels - 1)) == levels


@pytest.mark.parametrize("shape", [(3, 12, 12), (3, 8, 16), (3, 4, 4), (3, 2048, 2048)])
def test_other_sizes_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="pixels; expected"):
        StyleGan(shape)


def test_growth_is_a_function_of_the_images() -> None:
    model = style_model(growth=100, batch_size="8,4", learning_rate="0.1,0.2,0.3")
    assert model.grown(0) == (0, 1.0)
    assert model.grown(199) == (0, 1.0)
    assert model.grown(200) == (1, 0.0)
    assert model.grown(250) == (1, pytest.approx(0.5))
    assert model.grown(300) == (1, 1.0)
    assert model.grown(425) == (2, pytest.approx((1 - math.cos(math.pi / 4)) / 2))
    assert model.grown(10**9) == (2, 1.0)
    assert [tuple(model.stage(n)) for n in (0, 200, 400)] == [(4, 8, 0.1), (8, 4, 0.2), (16, 4, 0.3)]


def test_a_level_is_blended_in_without_a_jump() -> None:
    model = style_model(growth=100).eval()
    x = torch.rand(2, *SHAPE) * 2 - 1
    w = torch.randn(2, 6)
    results = []
    for images in (399, 400):  # the end of level 1, the first moment of level 2
        seen = model.seen(x, images)
        results.append((model.encode(x), model.decode(w), seen.mean((2, 3))))
    for before, after in zip(*results, strict=True):
        assert torch.allclose(before, after, atol=1e-5)
    assert model.decode(w).shape == (2, *SHAPE)


def test_mixing_takes_the_styles_from_one_layer_on_from_another_z() -> None:
    model = style_model(mixing=1.0)
    styles = model.styles(500)
    changes = (styles[:, 1:] != styles[:, :-1]).any(2).sum(1)
    assert set(changes.tolist()) == {0, 1}  # at most one change; none where the cut falls behind the last layer
    assert float((changes == 0).float().mean()) == pytest.approx(1 / model.layers, abs=0.06)
    single = style_model(mixing=0.0).styles(50)
    assert torch.equal(single, single[:, :1].expand_as(single))


def test_decoding_is_a_function_of_the_code_and_noise_is_for_training() -> None:
    model = style_model()
    for block in model.decoder.blocks:
        for layer in block.styled:
            nn.init.ones_(layer.strength)
    w = torch.randn(2, 6)
    assert not torch.equal(model.decode(w), model.decode(w))
    model.eval()
    assert torch.equal(model.decode(w), model.decode(w))
    assert torch.equal(model.decode(w), model.decode(w[:, None].expand(-1, model.layers, -1)))


def test_lazy_slope_is_taken_every_nth_time_and_is_as_much_stronger() -> None:
    x = torch.rand(4, *SHAPE) * 2 - 1
    terms = []
    for every, images in ((1, 0), (3, 0), (3, 4), (3, 12)):
        model = style_model(slope_every=every)
        torch.manual_seed(1)
        update = next(iter(model.step(iter([x.clone()]), images)))
        terms.append((update.terms.get("slope"), update.loss))
    plain, lazy, without, again = terms
    assert torch.equal(plain[0], lazy[0])
    assert without[0] is None
    assert torch.allclose(lazy[1] - plain[1], 2 * 10 / 2 * plain[0], rtol=1e-4)
    assert torch.equal(lazy[1], again[1])
