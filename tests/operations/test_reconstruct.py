"""Reconstructions for the page."""

import pytest
import torch

from genae.metrics.reconstruction import mse
from genae.operations import Session, operation


def test_the_answer_is_what_the_model_gives(session: Session, images: torch.Tensor) -> None:
    reconstructed = session.model.decode(session.model.encode(images))
    answer = operation("reconstruct", {}).answer(session, images)
    assert torch.equal(answer.images["code"], reconstructed)
    assert answer.numbers["code"]["mse"] == pytest.approx(mse(reconstructed, images).tolist())  # type: ignore[index]
    assert float(answer.heat["error"].max()) == 1
