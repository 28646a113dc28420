"""Codes that are maps: their networks, and the objectives that train them."""

import pytest
import torch
from torch import nn

from genae.autoencoders import AUTOENCODERS
from genae.losses import gaussian_kl
from genae.networks.gridded import Attention, GridDecoder, GridEncoder, grid_of
from genae.networks.layers import normalisation
from genae.networks.variational import posterior
from genae.protocol import Part
from genae.training.loop import Loop

SHAPED = {"networks": "residual", "norm": "group", "code_grid": 2}


@pytest.mark.parametrize(
    ("shape", "cells", "grid"),
    [((3, 64, 64), 8, (8, 8)), ((1, 32, 48), 8, (8, 12)), ((3, 48, 32), 2, (3, 2)), ((1, 28, 28), 14, (14, 14))],
)
def test_the_grid_follows_the_image(shape: tuple[int, int, int], cells: int, grid: tuple[int, int]) -> None:
    assert grid_of(shape, cells) == grid
    model = AUTOENCODERS["adversarial"](shape, **SHAPED | {"code_grid": cells}, code_channels=5, width=4)
    assert model.code_shape == (5, *grid)
    assert model.code_dim == 5 * grid[0] * grid[1]
    x = torch.rand(2, *shape) * 2 - 1
    maps = model.encoder(x)
    assert maps.shape == (2, 5, *grid)
    assert torch.equal(model.encode(x), maps.flatten(1)), "outside networks a code is a row"
    assert torch.equal(model.decode(maps.flatten(1)), model.decoder(maps))
    assert model.decode(model.encode(x)).shape == x.shape
    assert model.critic is not None
    assert model.critic(x).shape[1] == 1


def test_grids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="code-grid is 7; images of 64 x 48 pixels have grids of 24, 12, 6, 3 cells"):
        grid_of((3, 64, 48), 7)
    with pytest.raises(ValueError, match="of 63 x 64 pixels have grids of no number of cells"):
        grid_of((3, 63, 64), 9)
    with pytest.raises(ValueError, match="networks is 'dcgan', whose codes are vectors; with code-grid, expected res"):
        AUTOENCODERS["ae"]((1, 8, 8), code_grid=2)
    with pytest.raises(ValueError, match="code-grid is -1; expected at least 0"):
        AUTOENCODERS["ae"]((1, 8, 8), networks="residual", code_grid=-1)
    for name in ("bigan", "ali", "alice"):
        with pytest.raises(ValueError, match="judges codes that are vectors; leave out code-grid"):
            AUTOENCODERS[name]((1, 8, 8), **SHAPED)


@pytest.mark.parametrize(
    "name",
    ["ae", "vae", "adversarial", "aaae", "stacked-wae", "wae-mmd", "wae-gan", "aae", "latent-regressor", "vae-gan",
     "age", "intro-vae", "soft-intro-vae"],
)  # fmt: skip
def test_objectives_train_shaped_codes(name: str, tiny_model, random_batches) -> None:
    model = tiny_model(name, **SHAPED)
    records = Loop(model, random_batches).iteration(0, 1e-3)  # which sees to it that every network is reached
    assert all(value.isfinite() for record in records for value in record.values.values())
    x = next(random_batches(0, Part()))
    assert model.code_shape == (4, 2, 2)
    codes = model.encode_frozen(x)
    assert codes.shape == (8, 16)
    for prior in model.priors.values():
        assert model.decode(prior.sample(3, torch.Generator())).shape == (3, 1, 8, 8)


def test_the_divergence_of_maps_sums_over_all_numbers() -> None:
    torch.manual_seed(0)
    mean, log_variance = posterior(torch.randn(5, 6, 2, 4))
    assert mean.shape == (5, 3, 2, 4)
    assert float(gaussian_kl(mean, log_variance)) == pytest.approx(
        float(gaussian_kl(mean.flatten(1), log_variance.flatten(1))), rel=1e-6
    )
    assert float(gaussian_kl(torch.ones(5, 3, 2, 4), torch.zeros(5, 3, 2, 4))) == 12  # 24 numbers, 1/2 each


def test_attention_knows_no_order_of_cells(lively) -> None:
    layer = lively(Attention(8, "none"))
    x = torch.randn(2, 8, 3, 4)
    order = torch.randperm(12)

    def shuffled(maps: torch.Tensor) -> torch.Tensor:
        return maps.flatten(2)[:, :, order].unflatten(2, (3, 4))

    torch.testing.assert_close(layer(shuffled(x)), shuffled(layer(x)))
    far = x.clone()
    far[:, :, 2, 3] += 1
    assert not torch.allclose(layer(far)[:, :, 0, 0], layer(x)[:, :, 0, 0]), "every cell asks all cells"
    queries, keys, values = layer.queries_keys_values(x).flatten(2).chunk(3, 1)
    weights = (queries.transpose(1, 2) @ keys / 8**0.5).softmax(2)
    torch.testing.assert_close(layer(x), x + layer.out((values @ weights.transpose(1, 2)).unflatten(2, (3, 4))))


def test_no_layer_is_wider_than_the_budget() -> None:
    encoder, decoder = GridEncoder((3, 64, 64), 4, 16, cells=4), GridDecoder((3, 64, 64), 4, 16, cells=4)
    for network in (encoder, decoder):
        widest = max(module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d))
        assert widest == 3 * 64, "queries, keys and values of 4 x 16 channels; no map has more than 64"


def test_groups_are_normalised_apart_and_in_float32() -> None:
    layer = normalisation("group", 24)
    x = 5 + 3 * torch.randn(2, 24, 4, 4)
    assert layer.num_groups == 6
    expected = x.unflatten(1, (6, 4))
    expected = (expected - expected.mean((2, 3, 4), keepdim=True)) / expected.std((2, 3, 4), False, keepdim=True)
    torch.testing.assert_close(layer(x), expected.flatten(1, 2), atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, layer(x.bfloat16().float()).bfloat16())
    assert [normalisation("group", n).num_groups for n in (3, 4, 16, 32, 128, 256)] == [1, 1, 4, 8, 32, 32]
