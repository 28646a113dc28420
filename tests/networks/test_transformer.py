"""The transformer over the cells of a map."""

import pytest
import torch
from torch import nn

from genae.networks.transformer import CellTransformer, position_encoding

SHAPE = (2, 4, 6)


def rows(count: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed)).flatten(1)


@pytest.mark.parametrize("patch", [1, 2])
def test_before_training_every_gate_is_shut_and_the_velocity_is_zero(patch: int, lively) -> None:
    network = CellTransformer(SHAPE, width=16, blocks=2, patch=patch)
    x, t = rows(3), torch.rand(3, 1)
    assert torch.equal(network(x, t), torch.zeros(3, 48))
    block = network.blocks[0]
    h = torch.randn(3, 5, 16)
    assert torch.equal(block(h, torch.randn(3, 16)), h), "a block is the identity (DiT, Section 3.2)"
    lively(network)
    assert network(x, t).shape == (3, 48)
    assert not torch.equal(block(h, torch.randn(3, 16)), h)


def test_a_block_does_what_its_formula_says(lively) -> None:
    network = lively(CellTransformer((2, 1, 3), width=128, blocks=1))
    block, h, given = network.blocks[0], torch.randn(2, 3, 128), torch.randn(2, 128)
    gamma, beta, alpha = block.before_attention.told(given)[:, None].chunk(3, 2)
    normal = (h - h.mean(2, keepdim=True)) / (h.var(2, correction=0, keepdim=True) + 1e-6).sqrt() * (1 + gamma) + beta
    attended = torch.zeros_like(h)
    q, k, v = block.queries_keys_values(normal).chunk(3, 2)
    for head in (slice(0, 64), slice(64, 128)):
        weights = torch.softmax(q[..., head] @ k[..., head].mT / 8, 2)
        attended[..., head] = weights @ v[..., head]
    after = h + alpha * block.attended(attended)
    gamma, beta, alpha = block.before_mlp.told(given)[:, None].chunk(3, 2)
    normal = nn.functional.layer_norm(after, (128,), eps=1e-6) * (1 + gamma) + beta
    expected = after + alpha * block.mlp(normal)
    assert torch.allclose(block(h, given), expected, atol=1e-5)
    with torch.no_grad():  # by PyTorch's own attention
        assert torch.allclose(block(h, given), expected, atol=1e-5)


def test_cells_are_told_apart_by_their_place_alone(lively) -> None:
    network = lively(CellTransformer(SHAPE, width=16, blocks=2))
    x, t = rows(2), torch.full((1, 1), 0.3)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))

    def permuted(codes: torch.Tensor) -> torch.Tensor:
        return codes.unflatten(1, (2, 24))[:, :, order].flatten(1)

    assert not torch.allclose(network(permuted(x), t), permuted(network(x, t)), atol=1e-3)
    network.positions.zero_()
    assert torch.allclose(network(permuted(x), t), permuted(network(x, t)), atol=1e-5)


def test_a_patch_is_a_token_of_neighbouring_cells(lively) -> None:
    network = lively(CellTransformer((1, 4, 4), width=8, blocks=0, patch=2))
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 2] = 1  # in the upper right patch
    changed = network(x.flatten(1), torch.zeros(1, 1)) != network(torch.zeros(1, 16), torch.zeros(1, 1))
    expected = torch.zeros(4, 4, dtype=torch.bool)
    expected[:2, 2:] = True
    assert torch.equal(changed.view(4, 4), expected)


def test_positions_are_counted_from_the_middle_and_no_two_are_alike() -> None:
    narrow, wide = position_encoding(2, 4, 8).view(2, 4, 8), position_encoding(2, 8, 8).view(2, 8, 8)
    assert torch.equal(wide[:, 2:6], narrow)
    assert torch.pdist(wide.flatten(0, 1)).min() > 0.1
    sines = narrow[0, :, 4:6]  # of columns -1.5, -0.5, 0.5 and 1.5: longest wave last
    assert sines[:, 0].tolist() == pytest.approx([-0.9975, -0.4794, 0.4794, 0.9975], abs=1e-4)
    assert sines[3, 1] == pytest.approx(0.015, abs=1e-4)  # sin(1.5 / 100)


def test_weights_of_one_grid_work_on_any_other(lively) -> None:
    network, wide = lively(CellTransformer(SHAPE, width=16, blocks=1)), CellTransformer((2, 4, 10), width=16, blocks=1)
    wide.load_state_dict(network.state_dict())
    assert wide(rows(2, shape=(2, 4, 10)), torch.rand(2, 1)).shape == (2, 80)
    same = CellTransformer(SHAPE, width=16, blocks=1)
    same.load_state_dict(network.state_dict())
    one_time, times = torch.full((1, 1), 0.5), torch.full((2, 1), 0.5)
    assert torch.allclose(same(rows(2), one_time), network(rows(2), times), atol=1e-5)


def test_what_a_transformer_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="maps of 7 x 7 cells, which patches of 2 x 2 do not fill; choose --patch 1"):
        CellTransformer((4, 7, 7), patch=2)
    for width in (100, 10):
        with pytest.raises(ValueError, match=f"width is {width}; expected a multiple of 64, or of 4 below that"):
            CellTransformer(SHAPE, width=width)
