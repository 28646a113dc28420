"""The papers' tables: what is measured, what is not and why, and that nothing is done twice."""

import json
import math
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from genae import api
from genae.data.sources import open_data
from genae.data.store import MemoryStore
from genae.errors import GenaeError
from genae.metrics import frozen_features
from genae.progress import screen
from genae.reproduction.budgets import BUDGETS, DATA, SAMPLES, SMOKE_FIT
from genae.reproduction.published import TABLES
from genae.reproduction.table import reproduce
from genae.storage import read_lines
from tests.reading import pixels_of


def test_a_table_is_trained_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    steps: list[str] = []

    def again() -> Path:
        return reproduce(
            "aaae/table1", budget="smoke", seeds=(0, 1), rows=["aaae", "wgan-gp"], columns=["mnist_icp", "mnist_mse"],
            runs=tmp_path / "runs", out=tmp_path / "results", say=said.append,
            progress=lambda step, done, total: steps.append(f"{step}: {done} of {total}"),
        )  # fmt: skip

    text = again().read_text()
    assert "training of aaae-seed1: 1500 of 1500" in steps, "a long training is not silent"
    assert any(step.startswith("wgan-gp samples: ") for step in steps), "nor is a long measurement"
    table = json.loads((tmp_path / "results" / "aaae-table1-smoke.json").read_text())
    cell = table["rows"]["aaae"]["mnist_mse"]
    assert cell["paper"] == 0.011
    assert cell["measured"]["n"] == 2
    assert cell["measured"]["std"] > 0
    assert cell["why"] is None
    assert table["rows"]["wgan-gp"]["mnist_mse"]["why"] == "wgan-gp has no encoder"
    assert table["rows"]["wgan-gp"]["mnist_icp"]["measured"]["n"] == 2
    assert table["rows"]["ali"]["mnist_mse"] == {"paper": 0.38, "measured": None, "why": "not asked for"}
    assert table["protocol"]["mnist_icp"]["network"] == "classifier-digits-8x8"
    assert "the figures mean nothing" in text
    assert "wgan-gp, mnist_mse: wgan-gp has no encoder" in text

    assert "- aaae, mnist: aaae: images 1500" in text
    assert "![Held-out images of mnist and what each row gives back](aaae-table1-smoke-mnist.png)" in text
    assert Image.open(tmp_path / "results" / "aaae-table1-smoke-mnist.png").size[1] < 3 * 80, "images and one row"
    for kind, lines in (("samples", 6), ("interpolations", 2)):  # two of each row, and of held-out images
        picture = Image.open(tmp_path / "results" / f"aaae-table1-smoke-mnist-{kind}.png")
        assert picture.size[1] == pytest.approx(lines * 66, abs=50)
        assert f"(aaae-table1-smoke-mnist-{kind}.png)" in text

    # What a person measured in other ways is not the table's, and what the table has is not measured twice.
    run = tmp_path / "runs" / "smoke" / "mnist" / "aaae-seed0"
    api.evaluate(run, metrics=["mse", "icp"], split="train", samples=300, seed=5)
    monkeypatch.setattr(api, "evaluate", None)
    assert again().read_text() == text

    one_more = reproduce(
        "aaae/table1", budget="smoke", rows=["aaae"], columns=["mnist_mse"], runs=tmp_path / "runs",
        out=tmp_path / "results",
    )  # fmt: skip
    merged = json.loads(one_more.with_suffix(".json").read_text())
    assert merged["rows"]["aaae"]["mnist_mse"] == cell, "and other seeds of a cell"
    assert merged["rows"]["wgan-gp"] == table["rows"]["wgan-gp"], "cells of an earlier command stay"
    begin, end = (
        "genae reproduce aaae/table1 --budget smoke",
        f"--runs {tmp_path / 'runs'} --out {tmp_path / 'results'}",
    )
    assert merged["command"].splitlines() == [
        f"{begin} --seeds 0,1 --rows aaae,wgan-gp --columns mnist_icp,mnist_mse {end}",
        f"{begin} --rows aaae --columns mnist_mse {end}",
    ]


def test_rows_with_a_fitted_prior_share_a_run_and_follow_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"budget": "smoke", "columns": ["celeba_fid"], "runs": tmp_path / "runs", "out": tmp_path}
    reproduce("aaae/table1", rows=["aaae + mixture", "aaae-plus"], **options)  # type: ignore[arg-type]
    (run,) = (tmp_path / "runs" / "smoke" / "celeba").iterdir()
    assert {file.name for file in (run / "priors").glob("*.safetensors")} == {"mixture.safetensors", "plus.safetensors"}

    def measured(prior: str) -> set[str]:
        records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        return {r["fingerprint"]["prior_weights"] for r in records if r["of"] == prior and "fd" in r["metric"]}

    (mixture,), (plus,) = measured("mixture"), measured("plus")
    assert mixture != plus
    rows = json.loads((tmp_path / "aaae-table1-smoke.json").read_text())["rows"]
    assert rows["aaae-plus"]["celeba_fid"]["measured"]["n"] == 1

    monkeypatch.setitem(SMOKE_FIT, "components", 2)
    reproduce("aaae/table1", rows=["aaae + mixture"], **options)  # type: ignore[arg-type]
    assert len(measured("mixture") - {mixture}) == 1, "another fit is measured anew"


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    reproduce("aaae/table2", budget="cpu", rows=["lambda1=0.1"], runs=tmp_path / "runs", out=tmp_path)
    cell = json.loads((tmp_path / "aaae-table2.json").read_text())["rows"]["lambda1=0.1"]["celeba_fid"]
    why = "no data: give a folder with --data celeba=FOLDER"
    assert cell == {"paper": 22.245, "measured": None, "values": {}, "why": why}


def test_a_seed_that_fails_is_said_and_the_others_are_measured(tmp_path: Path) -> None:
    (tmp_path / "runs" / "smoke" / "mnist").mkdir(parents=True)
    (tmp_path / "runs" / "smoke" / "mnist" / "aaae-seed1").write_text("in the way")
    said: list[str] = []
    table = reproduce(
        "aaae/table1", budget="smoke", seeds=(0, 1, 2), rows=["aaae"], columns=["mnist_mse"], runs=tmp_path / "runs",
        out=tmp_path, say=said.append,
    )  # fmt: skip
    cell = json.loads(table.with_suffix(".json").read_text())["rows"]["aaae"]["mnist_mse"]
    assert list(cell["values"]) == ["0", "2"]
    assert cell["measured"]["n"] == 2
    assert cell["measured"]["mean"] == sum(cell["values"].values()) / 2
    assert cell["why"].startswith("seed 1: ")
    assert f"- aaae, mnist_mse: {cell['why']}" in table.read_text()
    assert cell["why"].removeprefix("seed 1: ") in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "aae/table1"}, "no table 'aae/table1'; did you mean 'aaae/table1'"),
        ({"budget": "tiny"}, "budget is 'tiny'; expected one of cpu, gpu, smoke"),
        ({"precision": "half"}, "precision is 'half'; expected one of bfloat16, float32"),
        ({"rows": ["alise"]}, "no row 'alise'; did you mean 'alice'"),
        ({"columns": ["mnist"]}, "no column 'mnist'; did you mean"),
        ({"seeds": (0, 0)}, r"seeds are \[0, 0\]; expected different whole numbers"),
        ({"seeds": (-1,)}, r"seeds are \[-1\]; expected different whole numbers from 0 up"),
        ({"sources": {"celeb": "x"}}, "no data set 'celeb'; did you mean 'celeba'"),
    ],
)
def test_wrong_requests_are_explained(options: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match=message):
        reproduce(**{"table": "swae/table1", "out": tmp_path / "results", **options})  # type: ignore[arg-type]
    assert not (tmp_path / "results").exists()


def test_the_cpu_budget_says_what_it_trains_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"width": 4, "code_dim": 8, "batch_size": 50, "prior_width": 16, "prior_dim": 4, "learning_rate": 1e-3}
    monkeypatch.setitem(BUDGETS, "cpu", small)
    monkeypatch.setitem(DATA, "mnist", replace(DATA["mnist"], source="digits", options={}, cpu_images=500))
    monkeypatch.setitem(SAMPLES, "cpu", 200)
    row = TABLES["swae/table1"].rows["swae (normal)"][0]
    assert row.on_cpu is not None
    assert row.on_cpu.fitted is not None
    monkeypatch.setitem(row.on_cpu.fitted, "images", 1000)  # type: ignore[arg-type]
    path = reproduce(
        "swae/table1", rows=["swae (normal)"], columns=["mnist_icp", "mnist_mse"], runs=tmp_path / "r", out=tmp_path
    )
    table = json.loads(path.with_suffix(".json").read_text())
    how = table["how"]["swae (normal), mnist"]
    assert how.startswith("aaae: images 500")
    assert "then, on its frozen codes, kind wae-gan, distribution normal, latent_dim 8" in how
    cells = table["rows"]["swae (normal)"]
    assert cells["mnist_icp"]["measured"]["n"] == cells["mnist_mse"]["measured"]["n"] == 1
    assert how in path.read_text()


def test_real_data_are_measured_without_a_training(tmp_path: Path) -> None:
    reproduce("swae/table1", budget="smoke", rows=["true data"], columns=["mnist_icp"],
              runs=tmp_path / "runs", out=tmp_path)  # fmt: skip
    table = json.loads((tmp_path / "swae-table1-smoke.json").read_text())
    assert table["rows"]["true data"]["mnist_icp"]["measured"]["n"] == 1
    lines = (tmp_path / "runs" / "smoke" / "mnist" / "data-seed0" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["images"] <= 64


def test_probes_of_features_are_in_per_cent(tmp_path: Path) -> None:
    columns = ["1nn_sw_short", "1nn_sw_long", "svm_dw_long"]
    reproduce("alae/table2", budget="smoke", rows=["ae (l1)", "jlr", "alae"], columns=columns,
              runs=tmp_path / "runs", out=tmp_path)  # fmt: skip
    rows = json.loads((tmp_path / "alae-table2-smoke.json").read_text())["rows"]
    assert all(20 < rows[row][column]["measured"]["mean"] <= 100 for row in ("ae (l1)", "alae") for column in columns)
    assert {cell["paper"] for cell in rows["alae"].values()} >= {93.79, 98.64}
    for data in ("sw", "dw"):  # of alae alone: autoencoders have no z, latent regressors encode into it
        assert f"(alae-table2-smoke-{data}-paths.png)" in (tmp_path / "alae-table2-smoke.md").read_text()
    assert rows["ae (l1)"]["1nn_sw_short"]["measured"] != rows["ae (l1)"]["1nn_sw_long"]["measured"]
    assert {run.name for run in (tmp_path / "runs" / "smoke" / "sw").iterdir()} == {
        "ae-error=l1-seed0", "latent-regressor-joint=True-seed0", "alae-seed0",
    }  # fmt: skip

    # Another row on another machine: the picture is not drawn anew without the rows whose runs are not here.
    picture = tmp_path / "alae-table2-smoke-sw.png"
    drawn = picture.read_bytes()
    (tmp_path / "runs" / "smoke" / "sw").rename(tmp_path / "elsewhere")
    reproduce("alae/table2", budget="smoke", rows=["ae (l2)"], columns=columns[:1], runs=tmp_path / "runs",
              out=tmp_path)  # fmt: skip
    assert picture.read_bytes() == drawn
    shutil.move(tmp_path / "runs" / "smoke" / "sw" / "ae-error=l2-seed0", tmp_path / "elsewhere")
    (tmp_path / "runs" / "smoke" / "sw").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "runs" / "smoke" / "sw")
    reproduce("alae/table2", budget="smoke", rows=["ae (l2)"], columns=columns[:1], runs=tmp_path / "runs",
              out=tmp_path)  # fmt: skip
    assert Image.open(picture).size[1] > Image.open(BytesIO(drawn)).size[1], "one row more"

    # What was learnt from other images is not the table's.
    run = tmp_path / "runs" / "smoke" / "sw" / "alae-seed0"
    digits = open_data("digits")
    turned = replace(digits, store=MemoryStore(255 - pixels_of(digits)))
    (foreign,) = api.evaluate(run, digits, metrics=["1nn"], train_data=turned)
    again = reproduce("alae/table2", budget="smoke", rows=["alae"], columns=columns[:1], runs=tmp_path / "runs",
                      out=tmp_path / "again")  # fmt: skip
    cell = json.loads(again.with_suffix(".json").read_text())["rows"]["alae"]["1nn_sw_short"]
    assert cell["values"] == rows["alae"]["1nn_sw_short"]["values"]
    assert cell["values"]["0"] != 100 * foreign["value"]


def test_path_lengths_and_reconstructions_of_style_models(tmp_path: Path) -> None:
    options = {"budget": "smoke", "runs": tmp_path / "runs", "out": tmp_path}
    reproduce(
        "alae/table4", columns=["ppl_full"], rows=["stylegan no mixing W", "stylealae Z", "stylealae W"], **options
    )  # type: ignore[arg-type]
    rows = json.loads((tmp_path / "alae-table4-smoke.json").read_text())["rows"]
    along_z, along_w = (rows[f"stylealae {space}"]["ppl_full"]["measured"]["mean"] for space in "ZW")
    assert along_z != along_w
    assert rows["stylegan no mixing W"]["ppl_full"]["measured"]["n"] == 1
    reproduce("alae/table3", columns=["ffhq_fid"], rows=["stylealae generation", "stylealae reconstruction"], **options)  # type: ignore[arg-type]
    table = json.loads((tmp_path / "alae-table3-smoke.json").read_text())
    values = {name: cells["ffhq_fid"]["measured"] for name, cells in table["rows"].items()}
    assert values["stylealae generation"] != values["stylealae reconstruction"]
    assert {run.name for run in (tmp_path / "runs" / "smoke" / "ffhq").iterdir()} == {
        "stylegan-mixing=0.0-seed0",
        "style-alae-seed0",
    }  # fmt: skip, one training serves both tables


def test_recognition_above_frozen_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["patchvae + Lw", "imagenet pretrained", "random trunk", "supervised"]
    options = {"budget": "smoke", "rows": rows, "runs": tmp_path / "runs", "out": tmp_path, "keep_features": 0.5}
    notes: list[str] = []
    monkeypatch.setattr(screen, "note", notes.append)
    monkeypatch.setattr(frozen_features, "physical_memory", lambda: 10_000)
    columns = ["cifar10_conv1-3", "cifar10_conv1-5"]
    reproduce("patchvae/table1", columns=columns, **options)  # type: ignore[arg-type]
    table = json.loads((tmp_path / "patchvae-table1-smoke.json").read_text())
    cells = table["rows"]
    assert cells["imagenet pretrained"]["cifar10_conv1-5"]["why"].endswith("quoted")
    for row in ("patchvae + Lw", "random trunk", "supervised"):
        assert all(1 < cells[row][column]["measured"]["mean"] <= 100 for column in columns)
    assert "supervised, cifar10_conv1-5, seed 0" in table["unlike"], "nothing is frozen there"
    assert len(notes) == 4, "nothing is kept where nothing is frozen"
    assert all("they are kept on disk meanwhile" in note for note in notes)
    assert "--keep-features 0.5" in (tmp_path / "patchvae-table1-smoke.md").read_text()
    assert not any(cell.startswith("random trunk") for cell in table["unlike"])
    options["rows"] = ["random trunk"]
    reproduce("patchvae/table1", columns=columns[1:], seeds=(0, 1), **options)  # type: ignore[arg-type]
    table = json.loads((tmp_path / "patchvae-table1-smoke.json").read_text())
    assert table["rows"]["random trunk"]["cifar10_conv1-5"]["measured"]["n"] == 2
    assert not any(cell.startswith("random trunk") for cell in table["unlike"]), "a seed is no protocol"
    assert {run.name for run in (tmp_path / "runs" / "smoke" / "cifar10").iterdir()} == {
        "patch-vae-edges=True-seed0", "patch-vae-seed0", "patch-vae-seed1",
    }  # fmt: skip
    monkeypatch.setattr(api, "probe", None)
    reproduce("patchvae/table1", columns=columns, **options)  # type: ignore[arg-type]
    again = json.loads((tmp_path / "patchvae-table1-smoke.json").read_text())
    assert again["rows"] == table["rows"], "nothing is measured twice, nothing forgotten"


def test_reconstructions_of_a_table_of_errors(tmp_path: Path) -> None:
    reproduce("patchvae/table7", budget="smoke", sources={"imagenet": "digits"}, runs=tmp_path / "runs", out=tmp_path)
    rows = json.loads((tmp_path / "patchvae-table7-smoke.json").read_text())["rows"]
    for row in rows.values():
        usual, papers = (row[f"imagenet_{name}"]["measured"]["mean"] for name in ("psnr01", "psnr"))
        assert 3 < usual < 60
        assert papers == pytest.approx(usual + 20 * math.log10((0.229 + 0.224 + 0.225) / 3), abs=0.01)
        assert -1 < row["imagenet_ssim"]["measured"]["mean"] <= 1
        assert row["imagenet_fid"]["measured"]["mean"] > 0


def test_precisions_are_different_protocols_that_never_mix(tmp_path: Path) -> None:
    pages = [
        reproduce("aaae/table2", budget="smoke", precision=precision, rows=["lambda1=0.01"], columns=["celeba_mse"],
                  runs=tmp_path / "runs", out=tmp_path)
        for precision in ("float32", "bfloat16")
    ]  # fmt: skip
    assert [page.name for page in pages] == ["aaae-table2-smoke.md", "aaae-table2-smoke-bfloat16.md"]
    assert "(budget smoke, bfloat16)" in pages[1].read_text()
    assert "--precision bfloat16" in pages[1].read_text()
    values = []
    for page, folder, precision in zip(pages, ("smoke", "smoke-bfloat16"), ("float32", "bfloat16"), strict=True):
        assert f"precision {precision}" in page.read_text()
        run = tmp_path / "runs" / folder / "celeba" / "aaae-critic_weight=0.01-seed0"
        records = read_lines(run / "metrics.jsonl", "metric")
        assert {record["fingerprint"]["trained_in"] for record in records} == {precision}
        values.append(json.loads(page.with_suffix(".json").read_text())["rows"]["lambda1=0.01"]["celeba_mse"]["values"])
    assert values[0] != values[1]
