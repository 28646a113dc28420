"""Samples for the page."""

import torch

from genae.operations import Session, operation


def test_samples_are_the_models_own(session: Session, images: torch.Tensor) -> None:
    drawn = operation("sample", {"count": 5, "seed": 3}).answer(session, images[:0])
    assert torch.equal(drawn.images["samples"], session.model.sample(5, 3, session.model.priors[0]))
