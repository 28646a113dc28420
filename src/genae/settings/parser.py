"""One parser of settings: of models, priors, operations and configurations, from their Python signatures."""

import inspect
import math
import os
import shlex
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from genae.errors import GenaeError, nearest

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
NONE = "none"
"""The text that stands for None."""


class Option(NamedTuple):
    """A setting: the type of its values, and its default (`inspect.Parameter.empty` where there is none)."""

    wanted: object
    default: object


def options_of(cls: type, without: Collection[str] = ()) -> dict[str, Option]:
    """The arguments of a class, a dataclass too, by name; ``**more`` means the arguments of its base class.

    ``without`` names arguments that are not settings.
    """
    constructor: Callable[..., None] = cls.__init__  # type: ignore[misc]
    hints = typing.get_type_hints(constructor)
    _, *parameters = inspect.signature(constructor).parameters.values()
    own = {
        p.name: Option(hints[p.name], p.default)
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in without
    }
    passes_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    inherited = options_of(cls.__base__, without) if passes_on and cls.__base__ else {}
    return own | inherited | own  # its own come first, and its own defaults hold


def parse_settings(
    owner: str, settings: Mapping[str, object], options: Mapping[str, Option], *, text: bool = True
) -> dict[str, Any]:
    """Every setting as the type of its option. One that ``owner`` (``a flow prior``) does not have raises `GenaeError`.

    ``text`` as in `parse`.
    """
    for name in settings:
        if name not in options:
            raise unknown(owner, name, options)
    return {name: parse(name, value, options[name].wanted, text=text) for name, value in settings.items()}


def unknown(owner: str, name: str, options: Collection[str]) -> GenaeError:
    """The error for a setting that ``owner`` does not have."""
    hint = nearest(dashed(name), [dashed(option) for option in options])
    return GenaeError(f"{owner} has no setting {dashed(name)!r}; {hint}")


def parse(name: str, value: object, wanted: object, *, text: bool = True) -> object:
    """``value`` as the type ``wanted``: bool, int, float, str, ``X | None``, ``tuple[X, ...]``, ``Mapping[str, X]``.

    With ``text``, a string may stand for a value: ``true``, ``12``, ``0.5``, ``none``, ``1,2,3``, ``a=1,b=2``. Without
    it values are as JSON holds them, where a string is a string. NaN and infinity are refused.

    Raises `GenaeError` with the name of the setting.
    """
    if typing.get_origin(wanted) in (types.UnionType, typing.Union):
        if value is None or (text and value == NONE):
            return None
        wanted = next(t for t in typing.get_args(wanted) if t is not types.NoneType)
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is tuple:
        if text and isinstance(value, str):
            value = value.split(",") if value else []
        if not isinstance(value, list | tuple):
            raise GenaeError(f"{dashed(name)} is {value!r}; expected a list")
        return tuple(parse(name, item, arguments[0], text=text) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        if text and isinstance(value, str):
            value = dict(_pair(name, part) for part in value.split(",")) if value else {}
        if not isinstance(value, Mapping):
            raise GenaeError(f"{dashed(name)} is {value!r}; expected names with numbers")
        return {str(key): parse(name, item, arguments[1], text=text) for key, item in value.items()}
    if not isinstance(wanted, type) or wanted not in WORDS:
        raise TypeError(f"{name} has the type {wanted}, which no text can be parsed as")
    return _scalar(name, value, wanted, text)


def dashed(name: str) -> str:
    """``batch_size`` -> ``batch-size``, as a person types it."""
    return name.replace("_", "-")


def shell_line(words: Sequence[str]) -> str:
    """A command as a person types it into this system's shell."""
    if os.name != "nt":
        return shlex.join(words)
    from subprocess import list2cmdline  # only here: it takes longer than all other imports of this file

    return list2cmdline(words)


def _scalar(name: str, value: object, wanted: type, text: bool) -> object:
    refused = GenaeError(f"{dashed(name)} is {value!r}; expected {WORDS[wanted]}")
    if wanted is str:
        return _text(value, text, refused)
    if text and isinstance(value, str):
        value = _from_text(value, wanted, refused)
    if wanted is bool or isinstance(value, bool):
        if wanted is bool and isinstance(value, bool):
            return value
        raise refused
    if wanted is int and isinstance(value, int):
        return value
    if wanted is float and isinstance(value, int | float):
        return _finite(name, value, refused)
    raise refused


def _text(value: object, text: bool, refused: GenaeError) -> str:
    if text and isinstance(value, int | float | os.PathLike) and not isinstance(value, bool):
        return str(value)  # size=32, data=Path("pictures")
    if isinstance(value, str):
        return value
    raise refused


def _from_text(value: str, wanted: type, refused: GenaeError) -> bool | int | float:
    if wanted is bool:
        if value.lower() not in ("true", "false"):
            raise refused
        return value.lower() == "true"
    try:
        return int(value) if wanted is int else float(value)
    except ValueError:
        raise refused from None


def _finite(name: str, value: float, refused: GenaeError) -> float:
    try:
        number = float(value)
    except OverflowError:  # a whole number beyond the largest float
        number = math.inf
    if math.isnan(number):
        raise refused
    if math.isinf(number):
        raise GenaeError(f"{dashed(name)} is {value}; expected a finite number")
    return number


def _pair(name: str, part: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not equals:
        raise GenaeError(f"{dashed(name)} holds {part!r}; expected names with numbers such as smiling=1")
    return key, value
