"""What the explorer reads in the body of a request; what does not fit is refused in one sentence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from fastapi import Request

from genae.errors import GenaeError
from genae.explorer.guard import RefusedError
from genae.operations import Operation, operation
from genae.operations.map import Map

MOST_IMAGES = 400
"""Images of one answer."""
MOST_IN_PILES = 5000
MOST_JSON = 1_000_000
"""Bytes."""
Body = Mapping[str, object]


@dataclass(frozen=True)
class OperationRequest:
    """An operation, its name, and the names of its pictures."""

    name: str
    operation: Operation
    pictures: list[str]


@dataclass(frozen=True)
class PilesRequest:
    """A name for a direction, and the names of the pictures that have it and that lack it."""

    name: str
    having: list[str]
    lacking: list[str]


async def content_of(request: Request, most: int) -> bytes:
    """The body; never more than ``most`` bytes of it are read. Raises `RefusedError`."""
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > most:
            raise RefusedError(413, f"more than {most / 1e6:g} MB were sent; expected less")
        parts.append(part)
    return b"".join(parts)


async def body_of(request: Request) -> Body:
    """The body as a JSON object. Raises `RefusedError`."""
    try:
        body = json.loads(await content_of(request, MOST_JSON))
    except (ValueError, RecursionError):
        raise RefusedError(400, "the request is not JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "the request is not a JSON object")
    return body


def operation_in(body: Body) -> OperationRequest:
    """The operation that a body asks for. Raises `GenaeError` for settings that do not fit it, or ask for too much."""
    name, settings = str(body.get("operation", "")), body.get("settings", {})
    if not isinstance(settings, dict):
        raise GenaeError("settings is not a JSON object")
    pictures = _names_in(body, "pictures", MOST_IMAGES)
    return OperationRequest(name, operation(name, settings, MOST_IMAGES), pictures)


def map_in(body: Body) -> Map:
    """The map that a body asks for. Raises `GenaeError`."""
    wanted = operation_in({"operation": "map", **body}).operation
    if not isinstance(wanted, Map):
        raise GenaeError(f"operation is {body.get('operation')!r}; expected 'map'")
    return wanted


def piles_in(body: Body) -> PilesRequest:
    """Two piles of pictures, and the name of the direction from the second to the first. Raises `GenaeError`."""
    having, lacking = (_names_in(body, key, MOST_IN_PILES) for key in ("with", "without"))
    return PilesRequest(str(body.get("name", "")).strip(), having, lacking)


def checked_indices(indices: object, total: int) -> list[int]:
    """Numbers of images of the run's data, which has ``total`` of them. Raises `GenaeError` for anything else."""
    if not _are_indices(indices, total) or len(indices) > MOST_IN_PILES:
        raise GenaeError(f"expected numbers of images, from 0 to {total - 1}, at most {MOST_IN_PILES} at once")
    return indices


def number_in(body: Body, key: str) -> float:
    """The number under ``key``. Raises `GenaeError`."""
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
        raise GenaeError(f"{key} is {value!r}; expected a number")
    return float(value)


def _names_in(body: Body, key: str, most: int) -> list[str]:
    names = body.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise GenaeError(f"{key} is not a list of pictures")
    if len(names) > most:
        raise GenaeError(f"{len(names)} pictures were given; expected at most {most}")
    return names


def _are_indices(indices: object, total: int) -> TypeGuard[list[int]]:
    return isinstance(indices, list) and all(type(index) is int and 0 <= index < total for index in indices)
