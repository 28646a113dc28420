"""What a cell of a table trains: settings within the budgets."""

from dataclasses import replace

import pytest

from genae.autoencoders import AUTOENCODERS
from genae.reproduction.budgets import DATA
from genae.reproduction.cells import training_settings
from genae.reproduction.published import TABLES
from genae.settings.presets import FITTED, PRESETS
from genae.training.config import resolve


def test_the_plus_preset_is_the_row_of_the_table() -> None:
    row = TABLES["aaae/table1"][1]["aaae-plus"][0]
    settings = training_settings(row, "mnist", "cpu", {})
    preset = resolve("aaae/mnist-plus", {}, PRESETS, AUTOENCODERS)
    assert replace(resolve("aaae", settings, {}, AUTOENCODERS), precision="auto") == preset
    assert FITTED["aaae/mnist-plus"] == {"name": row.prior, **(row.fitted or {})}


@pytest.mark.parametrize("model", ["alae", "ae"])
def test_small_networks_keep_the_papers_settings_on_the_cpu(model: str) -> None:
    row = TABLES["alae/table2"][1][{"alae": "alae", "ae": "ae (l1)"}[model]][0]
    settings = training_settings(row, "dw", "cpu", {})
    assert settings["width"] == 1024
    assert settings["images"] == DATA["dw"].cpu_images
    assert settings["anneal"] == 0
    assert settings["patience"] == 0


def test_images_have_the_size_that_the_budget_gives_them() -> None:
    row = TABLES["alae/table4"][1]["stylealae W"][0]
    assert row.on_cpu is not None
    assert "size" not in training_settings(row, "ffhq", "smoke", {})
    assert training_settings(row.on_cpu, "ffhq", "cpu", {"ffhq": "x"})["size"] == "32"
    large = training_settings(row, "ffhq", "gpu", {"ffhq": "x"})
    assert large["size"] == "1024"
    assert large["width"] == 16
    bedrooms = training_settings(row, "lsun_bedroom", "gpu", {"lsun_bedroom": "x"})
    assert (bedrooms["size"], bedrooms["width"]) == ("256", 32)
