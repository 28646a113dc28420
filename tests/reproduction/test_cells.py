"""What a cell of a table trains: settings within the budgets."""

from dataclasses import replace
from pathlib import Path

import pytest

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.progress import silent
from genae.reproduction.budgets import DATA
from genae.reproduction.cells import Request, training_settings
from genae.reproduction.lookup import evaluation
from genae.reproduction.published import TABLES
from genae.settings.presets import FITTED, PRESETS
from genae.training.config import option_types, resolve


def test_the_plus_preset_is_the_row_of_the_table() -> None:
    row = TABLES["aaae/table1"].rows["aaae-plus"][0]
    settings = training_settings(row, "mnist", "cpu", {})
    preset = resolve("aaae/mnist-plus", {}, PRESETS, AUTOENCODERS)
    assert resolve("aaae", settings, {}, AUTOENCODERS) == preset
    assert FITTED["aaae/mnist-plus"] == {"name": row.prior, **(row.fitted or {})}


def test_the_preset_of_a_lossless_stage_two_has_the_stage_one_of_its_row() -> None:
    row = TABLES["swae/table1"].rows["swae-plus"][0].within("cpu")
    ours = resolve("stacked-wae/mnist-plus", {}, PRESETS, AUTOENCODERS)
    theirs = resolve(row.model, training_settings(row, "mnist", "cpu", {}), {}, AUTOENCODERS)
    assert FITTED["stacked-wae/mnist-plus"] == {"name": row.prior, **(row.fitted or {})}
    stage_one = {*option_types(AUTOENCODERS["adversarial"])}
    assert {key: ours.options[key] for key in stage_one} == {key: theirs.options[key] for key in stage_one}
    assert replace(ours, model=theirs.model, options=theirs.options) == theirs


@pytest.mark.parametrize("model", ["alae", "ae"])
def test_small_networks_keep_the_papers_settings_on_the_cpu(model: str) -> None:
    row = TABLES["alae/table2"].rows[{"alae": "alae", "ae": "ae (l1)"}[model]][0]
    settings = training_settings(row, "dw", "cpu", {})
    assert settings["width"] == 1024
    assert settings["images"] == DATA["dw"].cpu_images
    assert settings["anneal"] == 0
    assert settings["patience"] == 0


def test_images_have_the_size_that_the_budget_gives_them() -> None:
    row = TABLES["alae/table4"].rows["stylealae W"][0]
    assert row.on_cpu is not None
    assert "size" not in training_settings(row, "ffhq", "smoke", {})
    assert training_settings(row.on_cpu, "ffhq", "cpu", {"ffhq": "x"})["size"] == "32"
    large = training_settings(row, "ffhq", "gpu", {"ffhq": "x"})
    assert large["size"] == "1024"
    assert large["width"] == 16
    bedrooms = training_settings(row, "lsun_bedroom", "gpu", {"lsun_bedroom": "x"})
    assert (bedrooms["size"], bedrooms["width"]) == ("256", 32)


def request(row: str, data: str, budget: str, precision: str = "float32", table: str = "alae/table3") -> Request:
    entry = TABLES[table].rows[row][0].within(budget)
    return Request(entry, f"{data}_fid", budget, 0, {data: "x"}, None, Path("runs"), precision)


@pytest.mark.parametrize("budget", ["smoke", "cpu", "gpu"])
def test_every_budget_names_the_precision_that_it_trains_in(budget: str) -> None:
    usual, other = (request("aaae", "celeba", budget, p, "aaae/table1") for p in ("float32", "bfloat16"))
    assert usual.config().precision == "float32", "whichever a machine multiplies faster"
    assert other.config().precision == "bfloat16"
    assert other.config() == replace(usual.config(), precision="bfloat16")
    assert other.run == Path(f"runs/{budget}-bfloat16/celeba/aaae-seed0"), "runs of the two never mix"
    assert usual.run == Path(f"runs/{budget}/celeba/aaae-seed0")


@pytest.mark.parametrize(("data", "preset"), [
    ("ffhq", "ffhq1024"), ("lsun_bedroom", "bedroom256"), ("celebahq256", "celeba-hq256"),
])  # fmt: skip
@pytest.mark.parametrize("processes", [1, 2, 4, 8])
def test_style_models_train_as_their_presets_do(
    data: str, preset: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    for row, model in (("stylealae generation", "style-alae"), ("stylegan", "stylegan")):
        theirs = resolve(f"{model}/{preset}", {"data": "x", "precision": "float32"}, PRESETS, AUTOENCODERS)
        assert request(row, data, "gpu").config() == theirs, "batches of the levels depend on the number of processes"
    small = request("stylealae generation", data, "cpu").config()
    tiny = resolve("style-alae/tiny", {"data": "x", "size": "32", "precision": "float32"}, PRESETS, AUTOENCODERS)
    assert small == tiny


def test_glow_is_trained_as_its_preset_and_not_as_stylealae() -> None:
    full, small, smoke = (
        request("glow", "celebahq256", budget, "float32", "alae/table5").config() for budget in ("gpu", "cpu", "smoke")
    )
    preset = resolve("glow/celeba-hq256", {"data": "x", "precision": "float32", "flip": True}, PRESETS, AUTOENCODERS)
    assert (full.options, full.images, full.size, full.flip) == (preset.options, preset.images, "256", True)
    assert (small.size, small.options["levels"], small.options["width"]) == ("32", 3, 16)
    assert smoke.options["levels"] == 2


@pytest.mark.parametrize("row", ["pggan", "pioneer", "balanced pioneer"])
@pytest.mark.parametrize("budget", ["cpu", "gpu"])
def test_other_models_that_grow_do_so_as_stylealae_on_the_same_data(row: str, budget: str) -> None:
    for data in ("lsun_bedroom", "celebahq256"):
        theirs, ours = (request(name, data, budget).config() for name in ("stylealae generation", row))
        assert (ours.images, ours.size, ours.average) == (theirs.images, theirs.size, theirs.average)
        shared = ("growth", "batch_size", "learning_rate", "width", "most_channels", "code_dim")
        assert {key: ours.options[key] for key in shared} == {key: theirs.options[key] for key in shared}
        assert request(row, data, budget).row.space == "z"


def test_style_models_are_evaluated_as_their_authors_did(monkeypatch: pytest.MonkeyPatch, small_run: Path) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(api, "evaluate", lambda run, **settings: asked.update(settings))
    for budget, protocol in (("gpu", (50_000, "train")), ("cpu", (10_000, "test"))):
        entry = request("stylealae generation", "ffhq", budget)
        sought = evaluation(entry.row, entry.measure, budget, small_run)
        sought.measure(silent)
        assert (asked["samples"], asked["split"]) == protocol
        assert (sought.fingerprint["images"], sought.fingerprint["split"]) == protocol
    entry = request("aaae", "celeba", "gpu", table="aaae/table1")
    evaluation(entry.row, entry.measure, "gpu", small_run).measure(silent)
    assert (asked["samples"], asked["split"]) == (10_000, "test")


@pytest.mark.parametrize(("table", "row", "data", "preset"), [
    ("aaae/table1", "aaae", "mnist", "aaae/mnist"),
    ("aaae/table1", "aaae", "cifar10", "aaae/cifar10"),
    ("aaae/table1", "aaae", "celeba", "aaae/celeba64"),
    ("aaae/table2", "lambda1=0.01", "celeba", "aaae/celeba64-lambda1-0.01"),
    ("aaae/table1", "aaae", "oxford102", "aaae/flowers102"),
    ("swae/table1", "swae (normal)", "mnist", "stacked-wae/mnist"),
    ("swae/table1", "swae (normal)", "cifar10", "stacked-wae/cifar10"),
    ("swae/table1", "swae (normal)", "celeba", "stacked-wae/celeba64"),
    ("swae/table1", "swae (w/o D1)", "celeba", "stacked-wae/celeba64-without-critic"),
])  # fmt: skip
def test_rows_train_as_the_presets_that_name_them(table: str, row: str, data: str, preset: str) -> None:
    theirs = resolve(preset, {"data": "x", "precision": "float32"}, PRESETS, AUTOENCODERS)
    assert request(row, data, "gpu", table=table).config() == theirs
