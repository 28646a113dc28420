"""The Markdown of a table."""

import json
from pathlib import Path

import pytest

from genae.reproduction.output import to_markdown
from genae.reproduction.results import Results

COMMITTED = sorted((Path(__file__).parents[2] / "results").glob("*-table*.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_the_committed_tables_are_what_the_code_writes(path: Path) -> None:
    results = Results(**json.loads(path.read_text()))
    assert to_markdown(results, path) == path.with_suffix(".md").read_text()


def test_there_are_committed_tables() -> None:
    assert {path.stem for path in COMMITTED} >= {"swae-table1", "aaae-table1", "alae-table2", "patchvae-table1"}
