"""Labs: every stage I with every stage II, what is measured of both, and what cannot be."""

import json
import shutil
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from PIL import Image

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError
from genae.reproduction.budgets import DATA
from genae.reproduction.cells import Request
from genae.reproduction.labs import LABS
from genae.reproduction.published import TABLES
from genae.reproduction.table import reproduce
from genae.training.config import Config, option_types
from genae.training.prior_fit import Fit, prior_options


def cells_of(folder: Path) -> dict[str, dict[str, Any]]:
    return json.loads((folder / "lab-mnist-smoke.json").read_text())["rows"]


def test_every_stage_two_is_measured_on_the_codes_of_each_stage_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    evaluate = api.evaluate

    def watched(*run: Any, **settings: Any) -> Any:
        asked.append(settings["priors"])
        if broken & {*settings["priors"]}:
            raise GenaeError("its samples are no codes")
        return evaluate(*run, **settings)

    def again(*columns: str) -> str:
        return reproduce("lab/mnist", budget="smoke", rows=["ae", "vae"], columns=columns, runs=tmp_path / "runs",
                         out=tmp_path).read_text()  # fmt: skip

    broken: set[str] = set()
    monkeypatch.setattr(api, "evaluate", watched)
    text = again("code", "own", "gaussian", "wgan-gp")
    assert asked == [["lab-gaussian", "lab-wgan-gp"], ["normal", "lab-gaussian", "lab-wgan-gp"]], "each run once"
    cells = cells_of(tmp_path)["vae"]

    def value(figure: str, column: str) -> float:
        return cells[f"mnist_{figure} of {column}"]["values"]["0"]

    assert value("mse", "gaussian") == pytest.approx(value("mse", "code"), abs=1e-4), "it encodes and decodes exactly"
    assert cells["mnist_mse of wgan-gp"] == {"paper": None, "measured": None, "values": {}, "why": None}, "no encoder"
    assert value("seconds", "gaussian") > value("seconds", "own") == value("seconds", "code") > 0
    assert value("parameters", "gaussian") - value("parameters", "code") == 16 + 2 * 16 * 16
    assert len({value("fd", column) for column in ("code", "own", "gaussian", "wgan-gp")}) == 4
    assert cells["mnist_copies of code"]["measured"] is None
    for figure in ("ssim", "1nn", "logistic"):
        assert 0 < value(figure, "code") <= 1
    assert value("ssim", "gaussian") == pytest.approx(value("ssim", "code"), abs=1e-4)
    assert cells["mnist_1nn of gaussian"]["measured"] is None, "it is of codes"
    for figure in ("precision", "recall", "copies"):
        assert 0 <= value(figure, "own") <= 1
    assert f"| vae | - | {value('copies', 'own'):.4g} |" in text
    assert "- ae, own: ae has no prior of its own\n" in text
    assert text.count(" of its own\n") == 1, "one reason for all figures"
    assert "flow" not in text.split("**mse**")[1].split("![")[0], "what nobody has asked for is not there"
    assert f"| vae | {value('parameters', 'code'):.4g} |" in text
    assert "- gaussian, mnist: kind gaussian\n" in text
    assert "batch_size 100, width 32, precision float32\n- vae, mnist: vae: images 1500" in text, "both stages"
    for row, lines in (("ae", 3), ("vae", 4), ("reconstructions", 3)):
        assert f"(lab-mnist-smoke-{row}.png)" in text
        assert Image.open(tmp_path / f"lab-mnist-smoke-{row}.png").height == pytest.approx(lines * 66, abs=40)

    broken = {"lab-flow"}
    asked.clear()
    text = again("gaussian", "gaussian+label", "flow", "wae-gan")
    told, flow, wae = ["lab-gaussian-label"], ["lab-flow"], ["lab-wae-gan"]
    assert asked == [told + flow + wae, told, flow, wae] * 2, (
        "what was measured is not measured again, and one spoils no other"
    )
    cells = cells_of(tmp_path)["ae"]
    assert cells["mnist_icp of flow"]["why"] == "its samples are no codes"
    assert cells["mnist_icp of wae-gan"]["measured"]["n"] == cells["mnist_icp of wgan-gp"]["measured"]["n"] == 1
    assert "- ae, flow: its samples are no codes\n" in text
    assert 0 <= cells["mnist_given_accuracy of gaussian+label"]["values"]["0"] <= 1
    assert cells["mnist_given_accuracy of gaussian"]["measured"] is None, "it is told no class"
    assert not json.loads((tmp_path / "lab-mnist-smoke.json").read_text())["unlike"]


def test_a_run_of_the_user_is_a_row_and_keeps_its_own_priors(small_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run, ignore=shutil.ignore_patterns("metrics.jsonl", "priors"))
    api.fit_prior(run, "gaussian")
    mine = (run / "priors" / "gaussian.safetensors").stat().st_mtime_ns
    options: dict[str, Any] = {"budget": "smoke", "rows": ["imported"], "columns": ["code", "gaussian"]}
    options |= {"runs": tmp_path / "runs", "out": tmp_path, "seeds": (0, 1)}
    reproduce("lab/mnist", **options)
    assert cells_of(tmp_path)["imported"]["mnist_fd of code"]["why"].startswith("seed 0: no run: name one with --data ")
    page = reproduce("lab/mnist", sources={"imported": str(run)}, **options).read_text()
    cell = cells_of(tmp_path)["imported"]["mnist_fd of gaussian"]
    assert list(cell["values"]) == ["0"]
    assert cell["why"] == "seed 1: imported is one run, not one for each seed"
    assert f"--data imported={run}" in page
    assert f"the run {run}\n" in page
    assert not (tmp_path / "runs").exists(), "nothing is trained"
    assert (run / "priors" / "gaussian.safetensors").stat().st_mtime_ns == mine
    with pytest.raises(GenaeError, match="swae/table1 has no data set 'imported'"):
        reproduce("swae/table1", sources={"imported": str(run)})


@pytest.mark.parametrize("lab", LABS)
def test_the_settings_of_labs_are_real(lab: str) -> None:
    assert LABS[lab].data in DATA
    for settings in LABS[lab].fitted.values():
        own = {key: value for key, value in settings.items() if key not in get_type_hints(Fit)}
        prior_options(settings["kind"], own)
    for row in LABS[lab].rows.values():
        assert row is None or {*row.options} <= {*option_types(AUTOENCODERS[row.model]), *get_type_hints(Config)}


def test_a_lab_takes_the_runs_of_the_papers_tables() -> None:
    def request(row: Any, column: str) -> Request:
        return Request(row.within("cpu"), column, "cpu", 0, {}, None, Path("runs"))

    ours = request(LABS["lab/mnist"].rows["aaae"], "mnist_mse")
    for table, row in (("aaae/table1", "aaae"), ("swae/table1", "swae (normal)"), ("swae/table1", "swae-plus")):
        theirs = request(TABLES[table].rows[row][0], "mnist_icp")
        assert (ours.run, ours.config()) == (theirs.run, theirs.config())
