"""Samples measured during a training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from genae import api
from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.model import load
from genae.progress import silent
from genae.reproduction.milestones import FILE, distances, measure_samples, milestones, train_in_parts
from genae.storage import read_lines
from genae.training.config import Config
from genae.training.start import train
from genae.training.trainer import Outcome


def test_milestones_are_validations_and_the_end(short_config: Callable[..., Config]) -> None:
    config = short_config(images=4_069_250, validate_every=50_000)
    ends = milestones(config, 25)
    assert len(ends) == 25
    assert ends[0] == 150_000
    assert ends[-1] == 4_069_250
    assert all(end % 50_000 == 0 for end in ends[:-1])
    assert milestones(replace(config, images=120), 3) == [120]


def test_a_training_in_parts_is_the_training(
    tmp_path: Path, short_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = short_config(images=120, validate_every=40, options={"priors": "normal,uniform"})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole)
    data = open_data("digits")
    measure = measure_samples(parts, data, "celeba", "smoke", silent)

    def until(part: Config) -> Outcome:
        return train(part, parts, data=data)

    def interrupted(part: Config) -> Outcome:
        return until(part) if part.images == 40 else replace(until(replace(part, images=56)), stopped="interrupted")

    assert train_in_parts(parts, config, 3, interrupted, measure).stopped == "interrupted"
    assert {line["images"] for line in read_lines(parts / FILE, "images")} == {40}
    train_in_parts(parts, config, 3, until, measure)
    assert {line["images"] for line in read_lines(parts / FILE, "images")} >= {40, 80, 120}
    assert {prior: len({images for images, _ in points} & {40, 80, 120}) for prior, points in distances(parts)} == {
        "normal": 3, "uniform": 3,
    }  # fmt: skip

    def last(run: Path) -> str:
        return load(run / "checkpoints" / "images-000000120" / "model.safetensors").digest

    assert last(parts) == last(whole), "bit for bit"
    errors = [
        {line["images"]: line["validation"] for line in read_lines(run / "log.jsonl", "validation")}
        for run in (whole, parts)
    ]
    assert errors[0].items() <= errors[1].items(), "beside that of the interruption"
    assert {*errors[1]} - {*errors[0]} == {56}
    assert load(parts).digest == load(whole).digest

    lines = (parts / FILE).read_text()
    monkeypatch.setattr(api, "evaluate", None)
    train_in_parts(parts, config, 3, until, measure)
    assert (parts / FILE).read_text() == lines, "nothing is measured twice"


def test_a_training_goes_on_where_samples_cannot_be_measured(
    tmp_path: Path, short_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unmeasured(*_: object, **__: object) -> None:
        raise GenaeError("no weights")

    monkeypatch.setattr(api, "evaluate", unmeasured)
    config, data = short_config(images=24, validate_every=8), open_data("digits")
    measure = measure_samples(tmp_path / "run", data, "celeba", "smoke", silent)
    outcome = train_in_parts(
        tmp_path / "run", config, 3, lambda part: train(part, tmp_path / "run", data=data), measure
    )
    assert (outcome.images, outcome.stopped) == (24, "finished")
    assert not list(distances(tmp_path / "run"))
