"""Nearest neighbours are exact."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genae.data.sources import open_data
from genae.data.stream import ImageStream
from genae.metrics.neighbours import nearest
from tests.metrics.vectors import normal, t


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 5), st.integers(0, 99))
def test_nearest_is_exact(queries: int, references: int, d: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randint(4, (queries, d), generator=generator)  # few values: many ties
    b = torch.randint(4, (references, d), generator=generator)
    distance, index = nearest(a, b)
    slow = (a[:, None] - b[None]).double().square().sum(2)
    assert torch.equal(distance, slow.min(1).values.sqrt())
    assert index.tolist() == slow.numpy().argmin(1).tolist(), "the first of equal ones"


@pytest.mark.parametrize("spread", [0.1, 1e-2, 1e-4])
def test_nearest_where_more_than_four_are_within_float32s_rounding(spread: float) -> None:
    centres = 100 * normal(10, 50)
    a = centres.repeat(10, 1) + spread * normal(100, 50, seed=1)
    b = centres.repeat(40, 1) + spread * normal(400, 50, seed=2)
    slow = (a[:, None] - b[None]).square().sum(2)
    distance, index = nearest(a, b)
    assert index.tolist() == slow.argmin(1).tolist()
    assert torch.equal(distance, slow.min(1).values.sqrt())


def test_nearest_over_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(50, 6), normal(200, 6, seed=1)
    whole = nearest(a, b)
    monkeypatch.setattr("genae.metrics.neighbours.REFERENCES", 17)
    monkeypatch.setattr("genae.metrics.neighbours.QUERIES", 9)
    assert all(torch.equal(one, other) for one, other in zip(whole, nearest(a, b), strict=True))


def test_nearest_where_float32_cancels() -> None:
    references = t([1e4, 0.0], [1e4, 2e-3], [1e4, 1e-3])
    distance, index = nearest(t([1e4, 1.4e-3]), references)
    assert int(index) == 2
    assert float(distance) == pytest.approx(4e-4, rel=1e-9)


def test_nearest_far_from_the_origin() -> None:
    a, b = 1000 + 0.01 * normal(40, 32), 1000 + 0.01 * normal(500, 32, seed=1)
    assert torch.equal(nearest(a, b)[1], torch.cdist(a - 1000, b - 1000).min(1).indices)


def test_nearest_reads_images_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few at a time where they are large, and those of a stream as those of a tensor."""
    images = torch.randint(256, (300, 1, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    stream = ImageStream(open_data(images.numpy()), torch.arange(40, 300))
    sizes: list[int] = []
    plain = ImageStream.read
    monkeypatch.setattr(ImageStream, "read", lambda self, part: sizes.append(len(part)) or plain(self, part))
    monkeypatch.setattr("genae.metrics.neighbours.VALUES", 20 * 33)  # 33 images
    distance, index = nearest(images[:50], stream)
    assert all(torch.equal(a, b) for a, b in zip((distance, index), nearest(images[:50], images[40:]), strict=True))
    slow = (images[:50, None] - images[None, 40:].double()).flatten(2).square().sum(2)
    assert torch.equal(distance, slow.min(1).values.sqrt())
    assert index[40:].tolist() == list(range(10)), "themselves"
    assert sorted(sizes) == 2 * [29] + 14 * [33], "twice"
