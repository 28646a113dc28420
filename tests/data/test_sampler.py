"""Which images come next."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from genae.data.sampler import shuffled


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 5))
def test_every_epoch_of_the_stream_is_a_permutation(total: int, batch: int, stream: int) -> None:
    stream_of = torch.cat([shuffled(i * batch, batch, total, 0, stream) for i in range(-(-3 * total // batch))])
    for epoch in range(3):
        assert sorted(stream_of[epoch * total : (epoch + 1) * total].tolist()) == list(range(total))


def test_the_stream_depends_on_seed_and_draw_and_not_on_how_it_is_read() -> None:
    whole = shuffled(0, 50, 20, seed=1)
    assert torch.equal(whole, torch.cat([shuffled(0, 13, 20, seed=1), shuffled(13, 37, 20, seed=1)]))
    assert not torch.equal(whole, shuffled(0, 50, 20, seed=2))
    assert not torch.equal(whole, shuffled(0, 50, 20, seed=1, stream=1))
