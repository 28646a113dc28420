"""Every public name works, whatever was touched before it, and type checkers see what it is."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import genae

# In a fresh interpreter. Each order begins in a process of its own, forked when the heavy libraries are loaded and
# nothing of genae is. The names of a package are also set by imports of its submodules, so these are imported last.
ORDERS = """
import importlib, inspect, os, pkgutil, sys
import numpy, scipy.linalg, sklearn.datasets, torch, torchvision
import genae

CLASSES = {"Autoencoder", "Config", "GenaeError", "Model", "Prior", "Stage", "Update"}

def check(name, after):
    value = getattr(genae, name)
    assert not inspect.ismodule(value), f"genae.{name} is a module after {after}"
    if name in CLASSES:
        assert inspect.isclass(value), f"genae.{name} is no class after {after}"
    elif name.islower() and name != "__version__":
        assert inspect.isfunction(value), f"genae.{name} is no function after {after}"
    return value

def touch(first):
    names = [first, *(name for name in genae.__all__ if name != first)]
    before = {name: check(name, first) for name in names}
    for name in reversed(names):
        assert check(name, "every other name") is before[name], name
    if first == "train":
        for module in pkgutil.walk_packages(genae.__path__, "genae."):
            if module.name != "genae.__main__":
                importlib.import_module(module.name)
        for name in names:
            assert check(name, "the import of every module") is before[name], name

assert not [name for name in sys.modules if name.startswith("genae.") and name not in ("genae.errors", "genae.version")]
wrong = []
for first in genae.__all__:
    child = os.fork()
    if child == 0:
        try:
            touch(first)
        except BaseException as error:
            print(f"{first} first: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        wrong.append(first)
sys.exit(len(wrong))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no os.fork")
def test_every_name_works_in_any_order():
    result = subprocess.run([sys.executable, "-c", ORDERS], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_no_module_has_the_name_of_a_function():
    folder = Path(genae.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}
    assert not modules & set(genae.__all__)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(inspect.getsource(genae))
    imports = next(node for node in tree.body if isinstance(node, ast.If)).body
    assert {a.asname: node.module for node in imports for a in node.names} == genae._HOMES
    assert (Path(genae.__file__).parent / "py.typed").exists()


def test_names_that_do_not_exist():
    with pytest.raises(AttributeError, match="module 'genae' has no attribute 'tarin'"):
        genae.tarin  # noqa: B018
    assert set(dir(genae)) == set(genae.__all__)


def test_help_begins_with_every_public_name():
    for name in set(genae.__all__) - {"__version__"}:
        assert f"`{name}`" in genae.__doc__, name
