"""Where parts occur, and swapped appearances."""

from pathlib import Path

import pytest
import torch

from genae.errors import GenaeError
from genae.model import load
from genae.operations import Session, operation


def test_parts_are_answered(parted: Path) -> None:
    model = load(parted)
    session = Session(model, parted)
    images = session.data.images(session.data.split("test")[:2])
    occurrence = model.parts(images)[1]
    heat = operation("parts", {"parts": [2, 0]}).answer(session, images).heat
    assert list(heat) == ["part 2", "part 0"]
    assert torch.equal(heat["part 2"][:, 0], occurrence[:, 2])
    swapped = operation("swap", {}).answer(session, images).images["swapped"]
    assert torch.equal(swapped[1:2], model.swap_part(images[:1], images[1:], 0))
    across = operation("swap", {"parts": [0], "from_part": 1}).answer(session, images).images["swapped"]
    assert torch.equal(across[1:], model.swap_part(images[:1], images[1:], 0, 1))
    with pytest.raises(GenaeError, match="there is no part 3; the model has parts 0 to 2"):
        operation("parts", {"parts": [3]}).answer(session, images)
