"""Blends and paths for the page."""

import torch

from genae.operations import Session, operation


def test_blends_and_paths(session: Session, images: torch.Tensor) -> None:
    model = session.model
    codes = model.encode(images)
    blend = operation("interpolate", {"weights": [0.1, 0.2, 0.3, 0.4]}).answer(session, images).images["between"]
    expected = 0.1 * codes[0] + 0.2 * codes[1] + 0.3 * codes[2] + 0.4 * codes[3]
    assert torch.allclose(blend[0], model.decode(expected[None])[0], atol=1e-5)
    path = operation("interpolate", {"steps": 5}).answer(session, images[:2])
    assert torch.allclose(path.images["between"], model.interpolate(images[:1], images[1:2], 5)[0], atol=1e-6)
    assert path.codes is not None
    assert torch.allclose(model.decode(path.codes), path.images["between"], atol=1e-6)
