"""Tables of measurements: unlike protocols are named."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from genae import api
from genae.data.sources import open_data
from genae.data.stream import ImageStream
from genae.reports import tables
from genae.storage import read_lines


def test_what_differs_between_the_sides_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pictures: Callable[..., Path], genae: Callable[..., int]
) -> None:
    a, b = pictures(tmp_path / "a", 20, ending="jpg"), pictures(tmp_path / "b", 20)
    big = pictures(tmp_path / "big", 20, (24, 32))
    command = ["--network", "pixels", "--metrics", "fd", "--out", tmp_path / "m.jsonl"]
    assert genae("evaluate", a, "--data", b, *command) == 0
    shown = capsys.readouterr()
    assert f"the format of the images is jpeg-q50, that of {b} is lossless" in shown.err
    assert "note" not in shown.out, "a table can be piped"
    assert genae("evaluate", big, "--data", b, *command, "--size", "12x16") == 0
    assert "the resize of the images is bicubic-antialias crop 12x16, that of" in capsys.readouterr().err
    assert genae("evaluate", b, "--data", b, *command) == 0
    assert "note:" not in capsys.readouterr().err
    records = read_lines(tmp_path / "m.jsonl", "fingerprint")
    assert [r["fingerprint"]["images_format"] for r in records] == ["jpeg-q50", "lossless", "lossless"]
    assert genae("compare", tmp_path / "m.jsonl") == 0


def test_jpeg_files_are_named_by_runs_too(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    data = open_data(str(pictures(tmp_path / "a", 8, ending="jpg")))
    assert data.format == "jpeg-q50"
    assert ImageStream(data, torch.arange(3)).format == "jpeg-q50"


def test_tables_in_markdown_and_latex(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pictures: Callable[..., Path], genae: Callable[..., int]
) -> None:
    a, b = pictures(tmp_path / "a_1", 20), pictures(tmp_path / "b", 20, seed=1)
    command = ["evaluate", a, "--data", b, "--network", "pixels", "--metrics", "fd,kid", "--out", tmp_path / "m.jsonl"]
    assert genae(*command, "--format", "latex") == 0
    text = capsys.readouterr().out
    assert text.startswith("\\begin{tabular}{lr}\n")
    assert "a\\_1 \\\\\n\\hline\nfd20-pixels & " in text
    assert genae(*command, "--format", "markdown") == 0
    assert "| fd20-pixels | " in capsys.readouterr().out


def test_unlike_numbers_are_named_in_every_respect(small_run: Path) -> None:
    records = api.evaluate(small_run, samples=300, metrics=["fd"])
    changes = {"resize": "other", "split": "train", "count": 5, "network_digest": "0", "format": "jpeg", "genae": "9"}
    for key, value in changes.items():
        other = [r | {"fingerprint": r["fingerprint"] | {key: value}} for r in records]
        notes = tables.compare({"a": records, "b": other})[2]
        assert any(f"{key} {records[0]['fingerprint'][key]} / {value}" in note for note in notes), key


def test_records_that_do_not_say_how_float32_was_computed_are_like_those_that_do(small_run: Path) -> None:
    records = api.evaluate(small_run, samples=20, metrics=["mse"])
    silent = [{key: value for key, value in r["fingerprint"].items() if key != "float32"} for r in records]
    old = [r | {"fingerprint": fingerprint} for r, fingerprint in zip(records, silent, strict=True)]
    for pair in ({"a": records, "b": old}, {"a": old, "b": records}):
        assert tables.compare(pair)[2] == []
    rounded = [r | {"fingerprint": r["fingerprint"] | {"float32": "tf32"}} for r in records]
    assert "float32 ieee / tf32" in tables.compare({"a": old, "b": rounded})[2][0]


def test_numbers_of_the_weights_that_a_report_shows_are_kept_when_others_were_measured_since() -> None:
    def record(weights: str, prior: str) -> dict[str, object]:
        return {"of": "normal", "metric": "fd", "value": 1, "fingerprint": {
            "weights": weights, "prior_weights": prior, "data": "a", "split": "test"}}  # fmt: skip

    best, last = record("best", "p"), record("last", "q")
    assert tables.newest([best, last], "best") == [best]
    assert tables.newest([best, last]) == tables.newest([best, last], "neither") == [last]
