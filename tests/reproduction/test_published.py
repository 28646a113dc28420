"""The papers' tables: every row, column and setting in them exists."""

from typing import get_type_hints

import pytest

from genae.autoencoders import AUTOENCODERS
from genae.reproduction.budgets import BUDGETS, DATA
from genae.reproduction.columns import measure_of
from genae.reproduction.published import TABLES
from genae.training.config import Config, option_types, resolve
from genae.training.prior_fit import Fit, prior_options


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_complete_and_their_settings_are_real(table: str) -> None:
    columns, rows = TABLES[table]
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
    rows = TABLES["swae/table1"][1]
    for name in ("swae (normal)", "swae (uniform)"):
        row = rows[name][0]
        assert row.on_cpu is not None
        assert row.on_cpu.fitted is not None
        assert row.on_cpu.prior.endswith(row.prior)
        assert row.on_cpu.fitted["distribution"] == row.prior
