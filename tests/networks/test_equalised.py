"""Dense networks with an equalised learning rate."""

import pytest
import torch

from genae.networks.equalised import (
    DenseDecoder,
    DenseEncoder,
    DenseJointCritic,
    EqualisedDense,
    EqualisedLinear,
    Mapping,
    pixel_norm,
)


@pytest.mark.parametrize(("gain", "multiplier"), [(2**0.5, 1.0), (1.0, 0.1), (0.03, 1.0)])
def test_a_layer_starts_at_its_gain_whatever_its_multiplier(gain: float, multiplier: float) -> None:
    torch.manual_seed(0)
    layer = EqualisedLinear(400, 500, gain, multiplier)
    y = layer(torch.randn(300, 400))
    assert float(y.std()) == pytest.approx(gain, rel=0.02)
    assert float(layer.weight.std()) == pytest.approx(1 / multiplier, rel=0.02)


def test_a_step_of_adam_moves_a_layer_by_its_multiplier() -> None:
    moved = []
    for multiplier in (1.0, 0.1):
        torch.manual_seed(0)
        layer = EqualisedLinear(20, 30, multiplier=multiplier)
        x = torch.randn(8, 20)
        before = layer(x).detach()
        optimiser = torch.optim.Adam(layer.parameters(), 1e-4, betas=(0.0, 0.99))
        layer(x).square().sum().backward()
        optimiser.step()
        moved.append(float((layer(x) - before).norm()))
    assert moved[1] == pytest.approx(0.1 * moved[0], rel=1e-3)


def test_pixel_norm_gives_rows_a_mean_square_of_one() -> None:
    z = torch.randn(5, 7) * torch.tensor([[0.1], [1.0], [5.0], [20.0], [100.0]])
    assert torch.allclose(pixel_norm(z).square().mean(1), torch.ones(5), rtol=1e-4)
    mapping = Mapping(7, 3)
    assert torch.allclose(mapping(z), mapping(2 * z), rtol=1e-3, atol=1e-4), "only the direction of z counts"


def test_shapes_features_and_parameter_counts_of_the_papers_networks() -> None:
    encoder, decoder = DenseEncoder((1, 28, 28), 50, 1024, 0.01), DenseDecoder((1, 28, 28), 50, 1024)
    images = torch.randn(3, 1, 28, 28)
    assert encoder.features(images).shape == (3, 1024)
    assert torch.equal(encoder.judge(encoder.features(images)), encoder(images))
    assert decoder(encoder(images)).shape == images.shape
    counts = [sum(p.numel() for p in network.parameters()) for network in (encoder, decoder, Mapping(50, 6))]
    assert counts == [1_904_690, 1_905_424, 15_300]  # the authors' E, G and F


def test_dark_pixels_are_zero_inside_the_networks() -> None:
    encoder, decoder = DenseEncoder((1, 4, 4), 3, 8), DenseDecoder((1, 4, 4), 3, 8)
    pair = DenseJointCritic((1, 4, 4), 3, 8)
    dark = torch.full((2, 1, 4, 4), -1.0)
    assert encoder(dark).abs().max() == 0, "biases start at 0"
    assert torch.equal(decoder(torch.zeros(2, 3)), dark)
    assert pair(dark, torch.zeros(2, 3)).abs().max() == 0


def test_batch_normalisation_stands_before_each_leaky_relu(generator) -> None:
    torch.manual_seed(0)
    dense = EqualisedDense(5, 2, 7, 2, norm="batch")
    x = 3 + torch.randn(64, 5, generator=generator())
    hidden = x
    for linear in dense.layers[:-1]:
        hidden = linear(hidden)
        hidden = (hidden - hidden.mean(0)) / (hidden.var(0, correction=0) + 1e-5).sqrt()
        hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    assert torch.allclose(dense(x), dense.layers[-1](hidden), atol=1e-5)
    assert [*EqualisedDense(5, 2, 7, 2).state_dict()] == [*EqualisedDense(5, 2, 7, 2, norm="none").state_dict()]
