"""Inception score."""

from typing import Any

import pytest
import torch

from genae.metrics.class_scores import SplitScores, inception_score
from tests.metrics.vectors import VECTORS, named, normal, t


@named(VECTORS["inception_score"])
def test_inception_score(case: dict[str, Any]) -> None:
    p = t(*case["logits"]).softmax(1) if "logits" in case else t(*case["probs"])
    for splits in (1, 10):
        if expected := case.get(f"splits_{splits}"):
            wanted = (expected["mean"], expected.get("std", 0.0))
            assert inception_score(p, splits) == pytest.approx(wanted, abs=1e-12)


def test_inception_score_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = normal(203, 7)
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)
    wanted = (theirs["inception_score_mean"], theirs["inception_score_std"])
    assert inception_score(logits.softmax(1), 10) == pytest.approx(wanted, rel=1e-12)


def test_inception_score_streams() -> None:
    p = normal(203, 7).softmax(1)
    scores = SplitScores(203, 10, seed=4)
    for part in p.split(11):
        scores.add(part)
    assert scores.result() == pytest.approx(inception_score(p, 10, seed=4), rel=1e-13)


def test_inception_score_bounds() -> None:
    certain = torch.eye(10).repeat(10, 1)
    assert inception_score(certain, 1)[0] == pytest.approx(10)
    assert inception_score(torch.full((50, 10), 0.1), 5) == pytest.approx((1, 0))
    assert inception_score(certain, 10, seed=3) == inception_score(certain, 10, seed=3)


def test_class_sorted_images_are_shuffled_by_a_seed() -> None:
    sorted_by_class = torch.eye(10).repeat_interleave(100, 0)
    assert inception_score(sorted_by_class, 10)[0] == pytest.approx(1)
    assert inception_score(sorted_by_class, 10, seed=0)[0] > 9
