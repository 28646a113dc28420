"""The order of images."""

import torch

from genae.data.sampler import across_classes


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
