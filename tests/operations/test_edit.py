"""Images and samples moved along directions."""

import pytest
import torch

from genae.errors import GenaeError
from genae.metrics.reconstruction import mse
from genae.operations import Session, command, operation
from genae.reports import figures

STRENGTHS = [-1.5, -0.75, 0, 0.75, 1.5]


def test_images_move_along_a_direction(session: Session, images: torch.Tensor) -> None:
    model, data = session.model, session.data
    codes = model.encode(images)
    direction = session.direction("3")
    edit = operation("edit", {"amounts": {"3": 1.5}})
    answer = edit.answer(session, images)
    assert torch.allclose(answer.images["edited"], model.decode(codes + 1.5 * direction), atol=1e-5)
    assert answer.numbers["mse"] == pytest.approx(mse(model.decode(codes), images).tolist(), rel=1e-4)
    drawn = figures.edit_grid(model, codes, direction, "3", STRENGTHS, images=images)
    assert edit.figure(session, images).tobytes() == drawn.tobytes()
    train = data.split("train")
    assert data.labels is not None
    assert torch.allclose(direction, model.direction(data.images(train), data.labels[train] == 3), atol=1e-5)


def test_samples_take_the_same_road(session: Session, images: torch.Tensor) -> None:
    model = session.model
    settings = {"amounts": {"3": 1.5}, "on": "samples", "count": 3, "seed": 7}
    edit = operation("edit", settings)
    codes = model.sample_codes(3, 7)
    answer = edit.answer(session, images[:0])
    assert torch.equal(answer.images["sample"], model.decode(codes))
    assert torch.allclose(answer.images["edited"], model.decode(codes + 1.5 * session.direction("3")), atol=1e-5)
    drawn = figures.edit_grid(model, codes, session.direction("3"), "3", STRENGTHS)
    assert edit.figure(session, images[:0]).tobytes() == drawn.tobytes()
    line = command("RUN", edit, 0, "edit.png")
    assert line[:5] == ["genae", "edit", "RUN", "--attribute", "3"]
    assert line[6:] == ["--on", "samples", "--count", "3", "--seed", "7", "--out", "edit.png"]
    with pytest.raises(GenaeError, match="on is 'pictures'; expected images or samples"):
        operation("edit", {"on": "pictures"})
