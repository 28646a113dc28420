"""The Gaussian that knows channels alone."""

import pytest
import torch

from genae.priors.channel_gaussian import ChannelGaussianPrior


def test_each_channel_is_standardised_over_all_cells(generator) -> None:
    maps = torch.randn(300, 3, 2, 5, generator=generator()) * torch.tensor([0.1, 1, 7])[:, None, None] + 4
    prior = ChannelGaussianPrior((3, 2, 5))
    assert torch.equal(prior.encode(maps.flatten(1)), maps.flatten(1)), "before it is fitted"
    prior.fit(maps.flatten(1))
    assert prior.mean.tolist() == pytest.approx(maps.mean((0, 2, 3)).tolist(), rel=1e-5)
    assert prior.deviation.tolist() == pytest.approx(maps.transpose(0, 1).flatten(1).std(1).tolist(), rel=1e-5)
    z = prior.encode(maps.flatten(1))
    assert torch.allclose(prior.decode(z), maps.flatten(1), atol=1e-4)
    assert torch.allclose(z.view_as(maps)[:, 2], (maps[:, 2] - prior.mean[2]) / prior.deviation[2], atol=1e-5)
    samples = prior.sample(20_000, generator()).view(-1, 3, 2, 5)
    assert samples.std(0)[:, 1, 3].tolist() == pytest.approx([0.1, 1, 7], rel=0.05)


def test_a_channel_that_never_changes_is_not_blown_up(generator) -> None:
    maps = torch.stack([torch.randn(50, 4, generator=generator()), torch.full((50, 4), 2.0)], 1)
    prior = ChannelGaussianPrior((2, 2, 2))
    prior.fit(maps.flatten(1))
    assert prior.encode(maps.flatten(1) + 0.5)[:, 4:].abs().max() == 0
    assert torch.equal(prior.sample(3, generator())[:, 4:], torch.full((3, 4), 2.0))


def test_statistics_of_one_grid_serve_any_other(generator) -> None:
    maps = torch.randn(50, 2, 2, 2, generator=generator()) * 3
    narrow, wide = ChannelGaussianPrior((2, 2, 2)), ChannelGaussianPrior((2, 2, 3))
    narrow.fit(maps.flatten(1))
    wide.load_state_dict(narrow.state_dict())
    assert wide.sample(3000, generator()).std() == pytest.approx(3, rel=0.1)
