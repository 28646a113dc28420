"""The papers' tables: every row, column and setting in them exists."""

import json
from pathlib import Path
from typing import get_type_hints

import pytest

from genae.autoencoders import AUTOENCODERS
from genae.reproduction.budgets import BUDGETS, DATA
from genae.reproduction.columns import measure_of
from genae.reproduction.output import to_markdown
from genae.reproduction.published import TABLES
from genae.reproduction.results import Results
from genae.reproduction.table import reproduce
from genae.training.config import Config, option_types, resolve
from genae.training.prior_fit import Fit, prior_options


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_complete_and_their_settings_are_real(table: str) -> None:
    columns, rows = TABLES[table].columns, TABLES[table].rows
    assert len(TABLES[table].title) > 10
    assert all(measure_of(column).data in DATA for column in columns)
    every = [(row, published) for row, published in rows.values()]
    every += [(row.on_cpu, published) for row, published in every if row.on_cpu]
    for row, published in every:
        assert len(published) == len(columns)
        if row.fitted is not None:
            prior_options(row.fitted["kind"], {k: v for k, v in row.fitted.items() if k not in get_type_hints(Fit)})
        if row.model:
            known = {*option_types(AUTOENCODERS[row.model]), *get_type_hints(Config)}
            assert set(row.options) <= known
            resolve(row.model, {"data": "digits", **row.options}, {}, AUTOENCODERS)
    assert set(BUDGETS) == {"smoke", "cpu", "gpu"}


def test_stage_two_of_the_cpu_budget_learns_from_the_codes_of_a_shared_stage_one() -> None:
    rows = TABLES["swae/table1"].rows
    for name in ("swae (normal)", "swae (uniform)"):
        row = rows[name][0]
        assert row.on_cpu is not None
        assert row.on_cpu.fitted is not None
        assert row.on_cpu.prior.endswith(row.prior)
        assert row.on_cpu.fitted["distribution"] == row.prior


def test_the_tables_of_styles_have_all_their_published_rows(tmp_path: Path) -> None:
    """And each row says in what it is unlike the published one."""
    quoted = ["introvae"]
    path = reproduce("alae/table3", budget="smoke", rows=quoted, runs=tmp_path, out=tmp_path, say=print)
    text = path.read_text()
    assert "| introvae | - / - | 8.84 / - |" in text
    assert text.count("- introvae: genae has no IntroVAE: the published number alone\n") == 1
    assert "50,000 samples are compared with 50,000 training images" in text
    assert "- balanced pioneer: trained as long, with as many channels, and at the rates of StyleALAE" in text
    assert "- stylegan: the published numbers are of a StyleGAN that was trained for 25 million images" in text
    cells = json.loads(path.with_suffix(".json").read_text())["rows"]
    assert cells["introvae"]["lsun_bedroom_fid"]["why"] == "genae has no IntroVAE: the published number alone"

    results = Results("alae/table4", "gpu")
    for row, published in TABLES["alae/table4"].rows.items():
        results.leave_out(row, "ppl_full", published[1][0])
    assert "- stylegan Z: the paper's row is a traditional generator" in to_markdown(results, tmp_path / "x.json")

    fifth = reproduce("alae/table5", budget="smoke", rows=["glow"], runs=tmp_path, out=tmp_path).read_text()
    assert "The published numbers of this table are unverified" in fifth
    assert "| stylealae | 19.21 / - | 33.29 / - |" in fifth
    assert "| balanced pioneer | 25.25 / - | 146.2 / - |" in fifth
