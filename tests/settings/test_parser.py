"""The one parser of settings: text and JSON values as the types of a signature."""

import json
import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError
from genae.priors import PRIORS
from genae.settings.parser import Option, options_of, parse, parse_settings, shell_line
from genae.training.config import option_types, run_settings
from genae.training.prior_fit import OF_CODES

WORD = some.text("abcdefghij-_ ", min_size=1)
FINITE = some.floats(allow_nan=False, allow_infinity=False)
SCALARS: list[tuple[type, some.SearchStrategy[Any]]] = [
    (bool, some.booleans()), (int, some.integers()), (float, FINITE), (str, some.text()),
]  # fmt: skip


def as_text(value: object) -> str:
    """A value as a person types it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(as_text, value))
    if isinstance(value, dict):
        return ",".join(f"{key}={as_text(item)}" for key, item in value.items())
    return str(value)


@pytest.mark.parametrize(("wanted", "values"), SCALARS)
@given(data=some.data())
def test_a_value_survives_text_and_json(wanted: type, values: some.SearchStrategy[Any], data: some.DataObject) -> None:
    value = data.draw(values)
    assert parse("x", as_text(value), wanted) == value
    assert parse("x", value, wanted) == value
    read = parse("x", json.loads(json.dumps(value)), wanted, text=False)
    assert read == value
    assert type(read) is wanted


@given(some.none() | some.integers())
def test_a_value_or_none(value: int | None) -> None:
    assert parse("x", as_text(value), int | None) == value
    assert parse("x", value, int | None, text=False) == value


@given(some.lists(FINITE).map(tuple), some.lists(WORD, min_size=1).map(tuple))
def test_lists(numbers: tuple[float, ...], words: tuple[str, ...]) -> None:
    for value, wanted in ((numbers, tuple[float, ...]), (words, tuple[str, ...])):
        assert parse("x", as_text(value), wanted) == value
        assert parse("x", json.loads(json.dumps(value)), wanted, text=False) == value


@given(some.dictionaries(WORD, FINITE))
def test_names_with_numbers(value: dict[str, float]) -> None:
    assert parse("x", as_text(value), Mapping[str, float]) == value
    assert parse("x", json.loads(json.dumps(value)), Mapping[str, float], text=False) == value


@pytest.mark.parametrize(
    ("value", "wanted", "text", "message"),
    [
        ("3", int, False, "batch-size is '3'; expected a whole number"),
        (True, int, True, "batch-size is True; expected a whole number"),
        (1.5, int, True, "batch-size is 1.5; expected a whole number"),
        (1, bool, True, "batch-size is 1; expected true or false"),
        ("maybe", bool, True, "batch-size is 'maybe'; expected true or false"),
        (False, float, True, "batch-size is False; expected a number"),
        ("nan", float, True, "batch-size is 'nan'; expected a number"),
        (math.nan, float, False, "batch-size is nan; expected a number"),
        ("-inf", float, True, "batch-size is -inf; expected a finite number"),
        (10**400, float, False, "expected a finite number"),
        (3, str, False, "batch-size is 3; expected text"),
        (None, str, True, "batch-size is None; expected text"),
        (None, int, True, "batch-size is None; expected a whole number"),
        ("none", int | None, False, "batch-size is 'none'; expected a whole number"),
        ("1", tuple[float, ...], False, "batch-size is '1'; expected a list"),
        ([1, "a"], tuple[float, ...], True, "batch-size is 'a'; expected a number"),
        ([1], Mapping[str, float], True, r"batch-size is \[1\]; expected names with numbers"),
        ("smiling", Mapping[str, float], True, "holds 'smiling'; expected names with numbers such as smiling=1"),
    ],
)  # fmt: skip
def test_what_is_refused(value: object, wanted: object, text: bool, message: str) -> None:
    with pytest.raises(GenaeError, match=message):
        parse("batch_size", value, wanted, text=text)


def test_text_stands_for_numbers_and_paths() -> None:
    assert parse("size", 32, str) == "32"
    assert parse("data", Path("pictures"), str) == "pictures"
    assert parse("images", "200_000", int) == 200_000
    assert parse("rate", "1e-3", float) == 1e-3


class Base:
    def __init__(self, shape: int, *, width: int = 4, rate: "float | None" = None) -> None: ...


class Derived(Base):
    def __init__(self, shape: int, *, width: int = 8, names: "tuple[str, ...]" = (), **more: Any) -> None: ...


@dataclass
class Settings:
    needed: str
    weights: Mapping[str, float] = field(default_factory=dict)


def test_options_are_read_from_signatures() -> None:
    assert options_of(Derived, without=("shape",)) == {
        "width": Option(int, 8),  # its own, not the base's
        "names": Option(tuple[str, ...], ()),
        "rate": Option(float | None, None),
    }
    assert options_of(Settings)["weights"].wanted == Mapping[str, float]
    assert list(options_of(Settings)) == [f.name for f in fields(Settings)]


def test_settings_are_parsed_by_name() -> None:
    options = options_of(Derived, without=("shape",))
    assert parse_settings("a derived", {"width": "16", "names": "a,b"}, options) == {"width": 16, "names": ("a", "b")}
    with pytest.raises(GenaeError, match="a derived has no setting 'widht'; did you mean 'width'"):
        parse_settings("a derived", {"widht": 1}, options)
    with pytest.raises(GenaeError, match="a gaussian prior has no setting 'x'; there is none"):
        parse_settings("a gaussian prior", {"x": 1}, {})


def test_every_option_of_the_house_has_a_type_that_can_be_parsed() -> None:
    of_priors = [options_of(prior, without=OF_CODES) for prior in PRIORS.values()]
    for options in [run_settings(), *map(option_types, AUTOENCODERS.values()), *of_priors]:
        for name, (wanted, default) in options.items():
            if default not in (options_of(Settings)["needed"].default, None):
                assert parse(name, as_text(default), wanted) == default


def test_a_command_is_one_of_this_systems_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["genae", "sample", str(PureWindowsPath("C:/my runs/first")), "--out", "it's.png"]
    assert shlex.split(shell_line(words)) == words
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        line = shell_line(words)
    assert line == r"""genae sample "C:\my runs\first" --out it's.png"""
