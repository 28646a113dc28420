"""Settings of a request, as JSON holds them, checked against the types of an operation's fields."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from genae.errors import GenaeError, nearest

LONGEST = 1000
"""Entries of a list in a request."""
_KINDS: dict[str, Callable[[Any], Any]] = {"float": float, "int": int, "bool": bool, "str": str}
_IN_WORDS = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "a word"}


def checked(name: str, settings: Mapping[str, Any], kinds: Mapping[str, str], most: int | None) -> dict[str, Any]:
    """Settings of the operation ``name`` as its fields take them; ``kinds`` are these and their types' names.

    ``most`` limits the images that settings ask for. Raises `GenaeError` for what is unknown or misshapen.
    """
    found = {}
    for key, value in settings.items():
        if key not in kinds:
            raise GenaeError(f"{name} has no setting {key!r}; {nearest(key, kinds)}")
        found[key] = _fitting(key, value, kinds[key])
        limit = {"count": most, "steps": most and math.isqrt(most)}.get(key)
        if limit and found[key] > limit:
            raise GenaeError(f"{key} is {value}; expected at most {limit}")
        if key == "count" and found[key] < 1:
            raise GenaeError(f"{key} is {value}; expected at least 1")
    return found


def _fitting(key: str, value: Any, kind: str) -> Any:
    """``kind`` is a type's name: float, int, bool, str, or a tuple or mapping of them."""
    single = next(name for name in ("float", "int", "bool", "str") if name in kind.replace("Mapping[str", ""))
    if "Mapping" in kind:
        if isinstance(value, dict):
            return {str(name): _fitting(key, amount, single) for name, amount in value.items()}
        raise GenaeError(f"{key} is {value!r}; expected names with numbers")
    if "tuple" in kind:
        if isinstance(value, list | tuple):
            if len(value) > LONGEST:
                raise GenaeError(f"{key} holds {len(value)} entries; expected at most {LONGEST}")
            return tuple(_fitting(key, item, single) for item in value)
        raise GenaeError(f"{key} is {value!r}; expected a list")
    fits = {
        "float": isinstance(value, int | float) and not isinstance(value, bool) and -1e9 < value < 1e9,
        "int": isinstance(value, int) and not isinstance(value, bool),
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
    }
    if not fits[single]:
        raise GenaeError(f"{key} is {value!r}; expected {_IN_WORDS[single]}")
    return _KINDS[single](value)
