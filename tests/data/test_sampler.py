"""Which images come next."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from genae.data.sampler import across_classes, shuffled


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


def test_classes_take_turns_in_a_fixed_random_order() -> None:
    indices, labels = torch.arange(100, 130), torch.arange(30) // 10  # sorted by class
    order = across_classes(indices, labels)
    assert sorted(order.tolist()) == indices.tolist()
    of = labels[order - 100].view(10, 3)
    assert (of.sort(1).values == torch.arange(3)).all(), "each class once in every turn"
    assert torch.equal(order, across_classes(indices, labels))
    assert not torch.equal(order, across_classes(indices, labels, seed=1))
    few = across_classes(indices, torch.tensor([0] * 29 + [1]))
    assert 129 in few[:2], "a rare class is among the first"
    assert sorted(across_classes(indices).tolist()) == indices.tolist()
