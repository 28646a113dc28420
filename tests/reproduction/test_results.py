"""The results of a table: what is noted of protocols and trainings, and what a file is continued from."""

import json
from pathlib import Path

import pytest

from genae.errors import GenaeError
from genae.reproduction.output import write_table
from genae.reproduction.results import Cell, Results, reasons


def test_unlike_protocols_in_a_column_are_said(tmp_path: Path) -> None:
    results = Results("aaae/table1", "cpu")
    results.note_protocol("mnist_icp", "a, mnist_icp", {"images": 10_000, "split": "test"})
    results.note_protocol("mnist_icp", "b, mnist_icp", {"images": 10_000, "split": "test"})
    assert not results.unlike
    results.note_protocol("mnist_icp", "b, mnist_icp", {"images": 200, "split": "test"})
    assert results.unlike == {"b, mnist_icp": "images 10000 / 200"}
    results.note_protocol("mnist_icp", "b, mnist_icp", {"images": 10_000, "split": "test"})
    assert not results.unlike, "measured again, alike"

    results.unlike = {f"a, mnist_icp, seed {seed}": "images 10000 / 200" for seed in (10, 2)}
    results.unlike |= {"a, mnist_icp, seed 3": "images 10000 / 300", "of old, mnist_icp": "images 10000 / 200"}
    text = write_table(tmp_path / "table.json", results).read_text()
    differs = "not comparable with the rest of its column: images 10000 /"
    assert f"- a, mnist_icp, seed 2, 10: {differs} 200\n- a, mnist_icp, seed 3: {differs} 300\n" in text
    assert f"- of old, mnist_icp: {differs} 200\n" in text


def test_seeds_that_were_trained_otherwise_are_said(tmp_path: Path) -> None:
    seen: Cell = {"paper": None, "measured": None, "why": None, "values": {}}
    cells: dict[str, Cell] = {"mnist_icp": {**seen, "values": {"0": 1.0}}, "mnist_mse": seen, "cifar10_icp": seen}
    results = Results("aaae/table1", "cpu", rows={"a": cells})
    results.note_training("a", "mnist", 0, "a: width 4")
    results.note_training("a", "mnist", 1, "a: width 4")
    results.note_training("a", "cifar10", 1, "a: width 8")
    assert not results.otherwise
    for seed in (2, 3):
        results.note_training("a", "mnist", seed, "a: width 8")
    text = write_table(tmp_path / "table.json", results).read_text()
    assert "- a, mnist, seed 2, 3: not trained as the row's other seeds: a: width 8\n" in text
    assert "- a, mnist: a: width 4\n- a, cifar10: a: width 8\n" in text
    results.note_training("a", "mnist", 2, "a: width 4")
    assert list(results.otherwise) == ["a, mnist, seed 3"]
    cells["mnist_icp"]["values"] = {}
    results.note_training("a", "mnist", 0, "a: width 8")
    assert results.how["a, mnist"] == "a: width 8", "nothing is left of those before"


def test_a_cell_holds_the_mean_and_the_deviation_of_its_seeds() -> None:
    results = Results("aaae/table1", "cpu")
    assert results.values("aaae", "mnist_mse") == {}
    results.fill("aaae", "mnist_mse", 0.011, {"10": 3.0, "2": 1.0})
    cell = results.rows["aaae"]["mnist_mse"]
    assert cell["measured"] == {"mean": 2.0, "std": 1.0, "n": 2}, "the divisor is n"
    assert list(cell["values"]) == ["2", "10"], "in the order of seeds"
    results.leave_out("aaae", "mnist_mse", 0.011)
    assert results.rows["aaae"]["mnist_mse"] is cell, "what was measured before stays"


def test_reasons_name_the_seeds_where_not_all_failed_alike() -> None:
    assert reasons({}, [0, 1]) is None
    assert reasons({"no data": [0, 1]}, [0, 1]) == "no data"
    assert reasons({"no data": [0], "no room": [1]}, [0, 1]) == "seed 0: no data; seed 1: no room"


def test_a_file_is_continued_with_the_same_budget_alone(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    results = Results.begin(path, "aaae/table1", "cpu", "float32", "one")
    results.leave_out("ali", "mnist_mse", 0.38)
    write_table(path, results)
    again = Results.begin(path, "aaae/table1", "cpu", "float32", "two")
    assert again.rows == results.rows
    assert again.command == "one\ntwo"
    assert Results.begin(path, "aaae/table1", "cpu", "float32", "one").command == "one", "each command once"
    text = path.read_text()
    for budget, precision, message in (
        ("gpu", "float32", "a table of budget cpu, not gpu"),
        ("cpu", "bfloat16", "a table of precision float32, not bfloat16"),
    ):
        with pytest.raises(GenaeError, match=message):
            Results.begin(path, "aaae/table1", budget, precision, "two")
    assert path.read_text() == text, "a table of hours is not replaced"


def test_files_of_earlier_versions_lack_a_key_and_are_continued(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    write_table(path, Results("aaae/table1", "cpu", "one"))
    fields = json.loads(path.read_text())
    del fields["otherwise"], fields["precision"]
    path.write_text(json.dumps(fields))
    assert Results.begin(path, "aaae/table1", "cpu", "float32", "one") == Results("aaae/table1", "cpu", "one")


@pytest.mark.parametrize("text", ["", "[]", '{"budget": "cpu", "unknown": 1}'])
def test_a_file_that_is_no_table_is_refused_and_kept(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(GenaeError, match=r"table.json is not a table that genae wrote; move it away, or choose"):
        Results.begin(path, "aaae/table1", "cpu", "float32", "one")
    assert path.read_text() == text
