"""Reconstructions for the page."""

import pytest
import torch

from genae.errors import GenaeError
from genae.metrics.reconstruction import mse
from genae.operations import Session, operation


def test_the_answer_is_what_the_model_gives(session: Session, images: torch.Tensor) -> None:
    reconstructed = session.model.decode(session.model.encode(images))
    answer = operation("reconstruct", {}).answer(session, images)
    assert torch.equal(answer.images["code"], reconstructed)
    assert answer.numbers["code"]["mse"] == pytest.approx(mse(reconstructed, images).tolist())  # type: ignore[index]
    assert float(answer.heat["error"].max()) == 1


@pytest.mark.parametrize("truncation", [1.0, 0.5])
def test_a_model_without_encoder_says_so(
    truncation: float, session: Session, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(session.model.autoencoder), "has_encoder", False)
    request = operation("reconstruct", {"truncation": truncation})
    for attempt in (request.answer, request.figure):
        with pytest.raises(GenaeError, match="has no encoder: it can sample and decode, not encode"):
            attempt(session, images)
