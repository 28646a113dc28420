"""Samples for the page."""

from pathlib import Path
from typing import Any

import pytest
import torch

from genae.errors import GenaeError
from genae.model import load
from genae.operations import Session, command, operation
from genae.operations.sample import Sample
from genae.reports import figures


def test_samples_are_the_models_own(session: Session, images: torch.Tensor) -> None:
    drawn = operation("sample", {"count": 5, "seed": 3}).answer(session, images[:0])
    assert torch.equal(drawn.images["samples"], session.model.sample(5, 3, session.model.priors[0]))


@pytest.fixture
def knowing(told: Path) -> Session:
    """A session whose prior is told digits."""
    return Session(load(told), told)


def test_samples_of_classes_are_the_models_own(knowing: Session, images: torch.Tensor) -> None:
    model = knowing.model
    one = operation("sample", {"count": 5, "seed": 3, "given": ["7"]}).answer(knowing, images[:0])
    assert torch.equal(one.images["samples"], model.sample(5, 3, "gaussian", given="7"))
    assert one.numbers["classes"] == ["7"] * 5
    every = operation("sample", {"given": ["all"]}).answer(knowing, images[:0])
    names = [name for name in "0123456789" for _ in range(8)]
    assert torch.equal(every.images["samples"], model.sample(80, 0, "gaussian", given=names))
    assert every.numbers["classes"] == names
    some = operation("sample", {"count": 2, "given": ["9, 3", "3"]})
    assert some.answer(knowing, images[:0]).numbers["classes"] == ["9", "9", "3", "3"]
    assert command("RUN", some, 0, "s.png")[3:] == ["--count", "2", "--given", "9, 3", "--given", "3", "--out", "s.png"]


def test_a_class_is_truncated_towards_its_own_mean(knowing: Session, images: torch.Tensor) -> None:
    codes, _ = Sample(count=2, given=("7", "1"), truncation=0.0).drawn(knowing.model)
    means = [knowing.model.sample_codes(1000, 0, "gaussian", name).mean(0) for name in "71"]
    assert torch.allclose(codes, torch.stack([means[0], means[0], means[1], means[1]]), atol=1e-6)
    alone = knowing.model.sample(2, 0, "gaussian", 0.0, given="1")
    assert torch.allclose(alone, knowing.model.decode(codes[2:]), atol=1e-5)


def test_a_class_may_have_any_name(knowing: Session) -> None:
    gaussian = knowing.model.autoencoder.priors["gaussian"]
    gaussian.classes = ("all", "red, round", *"23456789")  # type: ignore[assignment]
    assert Sample(given=("all", "red, round,2")).classes(knowing.model) == ["all", "red", "round", "2"]
    assert Sample(given=("red, round", "all")).classes(knowing.model) == ["red, round", "all"]


def test_a_figure_of_classes_has_a_row_for_each(knowing: Session, images: torch.Tensor) -> None:
    drawn = operation("sample", {"count": 3, "given": ["4", "all"]}).figure(knowing, images[:0])
    assert drawn.height == 26 + 10 * 66 + 2
    rows = knowing.model.sample(30, 0, "gaussian", given=[name for name in "4012356789" for _ in range(3)])
    expected = figures.class_grid(rows.unflatten(0, (10, 3)), list("4012356789"), "Samples, gaussian prior, seed 0")
    assert drawn.tobytes() == expected.tobytes()
    sheet = operation("sample", {"count": 9, "given": ["4"]}).figure(knowing, images[:0])
    assert sheet.height == 26 + 3 * 66 + 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"given": ["77"]}, "the gaussian prior of run knows no class '77'; did you mean '7'"),
        ({"given": ["7"], "prior": "plain"}, "the plain prior of run knows no classes; priors that do: gaussian"),
        ({"given": ["all"], "prior": "plain"}, "the plain prior of run knows no classes; priors that do: gaussian"),
        ({"given": ["7"], "guidance": 2}, "guidance is 2, and the gaussian prior of run has none; .*: leave it out"),
        ({"given": ["7"], "guidance": 0}, "guidance is 0; expected a number above 0"),
        ({"given": ["7"], "guidance": -1}, "guidance is -1; expected a number above 0"),
        ({"guidance": 2}, "guidance is 2, and no class is given; name one with given, or leave"),
        ({"given": ["7"], "count": 0}, "count is 0; expected at least 1"),
        ({"given": ["6", "7"], "count": 300}, "count is 600; expected at most 400"),
    ],
)
def test_errors_are_sentences(settings: dict[str, Any], message: str, knowing: Session, images: torch.Tensor) -> None:
    with pytest.raises(GenaeError, match=message):
        operation("sample", settings, 400).answer(knowing, images[:0])
