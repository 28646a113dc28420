"""The pictures beside a table: every row on the same images and from the same seed."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from genae import api
from genae.errors import GenaeError
from genae.model import load
from genae.reproduction.pictures import ACROSS, picture_path, side_by_side
from genae.reproduction.published import CURVES, INTERPOLATIONS, RECONSTRUCTIONS, SAMPLES
from genae.reproduction.table import reproduce
from genae.storage import read_lines

LINE = 66
"""Pixels of a line of digits."""


def test_rows_stand_side_by_side_even_where_they_cannot_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unmeasured(*_: object, **__: object) -> None:
        raise GenaeError("no weights")

    monkeypatch.setattr(api, "evaluate", unmeasured)
    options = {"budget": "smoke", "runs": tmp_path / "runs", "out": tmp_path}
    page = reproduce("swae/figure5", rows=["ali", "swae (normal)", "swae (uniform)"], **options)  # type: ignore[arg-type]
    table = page.with_suffix(".json")
    samples, given_back = (picture_path(table, "celeba", kind) for kind in (SAMPLES, RECONSTRUCTIONS))
    assert f"({samples.name})" in page.read_text()
    assert "ali, celeba_fid: no weights" in page.read_text()
    assert "- ali, celeba: ali: images 1500" in page.read_text()
    assert Image.open(samples).height == pytest.approx(2 * 4 * LINE, abs=40), "held out, ali, and two priors of one run"
    assert Image.open(given_back).height == pytest.approx(4 * LINE, abs=40)
    assert not list(tmp_path.glob("*-interpolations.png")), "the paper's figure has none"
    assert {run.name for run in (tmp_path / "runs/smoke/celeba").iterdir()} == {"ali-seed0", "stacked-wae-seed0"}, (
        "the runs of the paper's table"
    )

    drawn = samples.read_bytes()
    samples.unlink()
    reproduce("swae/figure5", rows=["ali"], **options)  # type: ignore[arg-type]
    assert samples.read_bytes() == drawn, "the same seed, and rows of an earlier command stay"


def test_the_course_of_training_is_drawn_for_each_row(tmp_path: Path) -> None:
    page = reproduce("swae/figure4", budget="smoke", rows=["k=1", "k=4"], columns=["celeba_mse"],
                     runs=tmp_path / "runs", out=tmp_path)  # fmt: skip
    curves = picture_path(page.with_suffix(".json"), "celeba", CURVES)
    assert f"![During training, celeba]({curves.name})" in page.read_text()
    colours = {colour for _, colour in Image.open(curves).getcolors(1 << 20) or ()}
    assert {(31, 119, 180), (255, 127, 14)} <= colours, "a colour for each row"
    assert Image.open(curves).width > 1200, "errors, and Fréchet distances of samples"
    assert {run.name for run in (tmp_path / "runs/smoke/celeba").iterdir()} == {
        f"stacked-wae-inner_steps={k}-seed0" for k in (1, 4)
    }


def test_the_last_weights_are_measured_and_shown_where_a_row_says_so(tmp_path: Path) -> None:
    page = reproduce("swae/figure10", budget="smoke", columns=["celeba_mse"],
                     rows=["25 epochs, best (uniform)", "50 epochs, last (uniform)"],
                     runs=tmp_path / "runs", out=tmp_path)  # fmt: skip
    run = tmp_path / "runs/smoke/celeba/stacked-wae-2x-seed0"
    measured = {record["fingerprint"]["weights"] for record in read_lines(run / "metrics.jsonl", "metric")}
    (last,) = (run / "checkpoints").glob("images-000003000/model.safetensors")
    assert measured == {load(last).digest}
    rows = json.loads(page.with_suffix(".json").read_text())["rows"]
    assert rows["50 epochs, last (uniform)"]["celeba_mse"]["paper"] == 0.15
    assert rows["50 epochs, last (uniform)"]["celeba_mse"]["measured"]["n"] == 1
    for kind in (RECONSTRUCTIONS, SAMPLES, INTERPOLATIONS):
        assert picture_path(page.with_suffix(".json"), "celeba", kind).exists()


def test_large_images_are_reduced() -> None:
    lines = torch.zeros(2, ACROSS, 3, 256, 256)
    lines[0, :, :, ::2] = 1.0
    picture = side_by_side(lines, ["a", "b"], "")
    assert picture.width < ACROSS * 140
    assert picture.getpixel((100, 40)) == (191, 191, 191), "by means of their pixels"
