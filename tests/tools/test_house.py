"""The figures of the house, each on a made-up package that keeps its limit and on one that passes it."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def house():
    """tools/house.py as a module."""
    spec = importlib.util.spec_from_file_location("house", ROOT / "tools" / "house.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["house"]


@pytest.fixture
def measured(house, tmp_path):
    """measured({"cli/a.py": text, ...}) -> the figures of such a package, by name."""

    def measure(files, rooms=("cli", "training", "errors __init__")):
        for name, text in {"__init__.py": "", **files}.items():
            path = tmp_path / "genae" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return {figure.name: figure for figure in house.figures(tmp_path / "genae", rooms)}

    return measure


def function(lines, signature="a"):
    return f"def long({signature}):\n" + "".join(f"    a += {i}\n" for i in range(1, lines))


def test_the_longest_function_may_have_80_lines(measured):
    figure = measured({"errors.py": function(80)})["longest function, lines"]
    assert (figure.value, figure.kept, figure.where) == (80, True, "errors:1 long")
    figure = measured({"errors.py": "class A:\n" + "".join(f"    {line}\n" for line in function(81).splitlines())})
    assert (figure["longest function, lines"].value, figure["longest function, lines"].kept) == (81, False)
    assert figure["longest function, lines"].where == "errors:2 long (81)"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("def f(a, /, b, *c, d, **e): ...", 3),
        ("class A:\n    def f(self, a, b): ...", 2),
        ("class A:\n    @classmethod\n    def f(cls, a): ...", 1),
        (f"async def f({', '.join(f'p{i}' for i in range(11))}): ...", 11),
        (f"@app.command()\ndef f({', '.join(f'p{i}' for i in range(20))}): ...", 0),
        (f"@app.command\ndef f({', '.join(f'p{i}' for i in range(20))}): ...", 0),
        (f"@cache\ndef f({', '.join(f'p{i}' for i in range(20))}): ...", 20),
    ],
)
def test_parameters_are_counted_without_self_and_without_commands(measured, text, value):
    figure = measured({"errors.py": text + "\n"})["most parameters"]
    assert (figure.value, figure.kept) == (value, value <= 10)


def test_any_is_counted_as_a_token(measured):
    text = '"""Any words: Any."""\nfrom typing import Any\nx: Any = "Any"  # Any\nAnyone: dict[str, Any] = {}\n'
    figure = measured({"errors.py": text + "y = 1\n" * 496})["Any per 1,000 lines"]
    assert (figure.value, figure.kept, figure.where) == (6, False, "errors (3)")  # fewer than 6
    assert measured({"errors.py": text + "y = 1\n" * 500})["Any per 1,000 lines"].kept


def test_the_root_holds_eleven_modules(measured):
    files = {f"m{i}.py": "" for i in range(10)} | {"cli/__init__.py": "", "cli/a.py": ""}
    figure = measured(files)["modules at the root"]
    assert (figure.value, figure.kept) == (11, True)  # with __init__
    assert not measured({"__main__.py": ""})["modules at the root"].kept


def test_file_names_may_stand_in_two_rooms_three_times(measured):
    files = {f"{room}/{name}.py": "" for room in ("cli", "training") for name in ("__init__", "a", "b", "c")}
    figure = measured(files | {"cli/d.py": "", "cli/deep/d.py": ""})["file names in two rooms"]
    assert (figure.value, figure.kept) == (3, True)  # one room's own folders are one room
    figure = measured({"d.py": ""})["file names in two rooms"]
    assert (figure.value, figure.kept) == (4, False)
    assert "d.py (cli the root)" in figure.where


@pytest.mark.parametrize(
    ("a", "b", "value"),
    [
        ("import genae.training.b\n", "import genae.errors\n", 0),
        ("from genae.training import b\n", "from genae.training.a import x\n", 1),
        ("from genae.training.b import y\n", "def f():\n    from genae.training import a\n", 1),
        ("from . import b\n", "from .a import x\n", 1),
        ("from ..training.b import y\n", "from ..training import a\n", 1),
        ("import genae.training.b\n", "if TYPE_CHECKING:\n    import genae.training.a\n", 0),
        ("import genae.training.b\n", "if TYPE_CHECKING:\n    pass\nelse:\n    import genae.training.a\n", 1),
    ],
)
def test_circles_of_imports(measured, a, b, value):
    files = {"training/__init__.py": "", "training/a.py": a, "training/b.py": b, "errors.py": ""}
    figure = measured(files)["import circles"]
    assert (figure.value, figure.kept) == (value, not value)
    assert figure.where == ("training.a <-> training.b" if value else "-")


def test_a_circle_of_three_files_and_one_through_a_package(measured):
    figure = measured(
        {
            "training/__init__.py": "from genae.training.a import x\n",
            "training/a.py": "from genae.training.b import x\n",
            "training/b.py": "from genae.training import x\n",
        }
    )["import circles"]
    assert (figure.value, figure.where) == (1, "training <-> training.a <-> training.b")


def test_imports_point_down(measured):
    files = {"cli/__init__.py": "from genae.training.a import x\n", "training/a.py": "from genae.errors import E\n"}
    files["errors.py"] = "import os\n"
    assert measured(files)["imports that point up"].value == 0
    files["errors.py"] = "x = 1\n\n\ndef f():\n    from genae.training import a\n"
    figure = measured(files)["imports that point up"]
    assert (figure.value, figure.kept, figure.where) == (1, False, "errors:5 -> training.a")


def test_a_room_must_have_a_place_in_the_order(measured):
    figure = measured({"cellar/a.py": ""})["imports that point up"]
    assert (figure.kept, figure.where) == (False, "cellar has no place in ROOMS")


def test_cloned_lines_are_equal_windows_of_six(measured):
    block = [f"x{i} = {i}" for i in range(6)]
    rest = "".join(f"y{i} = {i}\n" for i in range(20))
    files = {"errors.py": "\n".join(block) + "\n" + rest, "cli/a.py": "\n".join(block[:5]) + "\n"}
    assert measured(files)["cloned lines, per cent"].value == 0
    files["cli/a.py"] = "import os\n# a comment\nif 1:\n" + "".join(f"    {line}\n\n" for line in block)
    figure = measured(files)["cloned lines, per cent"]
    assert figure.value == pytest.approx(100 * 12 / 33)
    assert (figure.kept, figure.where) == (False, "cli.a:4 (6 lines), errors:1 (6 lines)")


def test_the_table_marks_what_passes_and_the_status_says_so(house, measured, tmp_path, capsys):
    measured({"errors.py": function(81)})
    assert house.main([str(tmp_path / "genae")]) == 1
    out, err = capsys.readouterr()
    assert "! longest function, lines       81   <=80  errors:1 long (81)" in out
    assert err == "limits passed: longest function, lines\n"
    measured({"errors.py": function(80)})
    assert house.main([str(tmp_path / "genae")]) == 0
    with pytest.raises(SystemExit, match="holds no Python files"):
        house.main([str(tmp_path / "nothing")])


def test_the_document_shows_the_same_order(house):
    text = (ROOT / "docs" / "architecture.md").read_text()
    _, _, rest = text.partition("Imports point down.")
    block = rest.split("```")[1].strip().splitlines()
    rooms = [[room for room in line.split() if not room.startswith("__")] for line in house.ROOMS]
    assert [line.split() for line in block] == [line for line in rooms if line]
