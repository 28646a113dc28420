"""What the explorer reads of a request, and which requests it refuses."""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from torch import Tensor

from genae.data.sources import SPLITS
from genae.errors import GenaeError
from genae.explorer.pictures import Pictures
from genae.operations.atlas import METHODS
from genae.operations.render import Renderer

LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_IMAGES = 400
"""Images of one answer."""
MOST_IN_PILES = 5000
MOST_JSON = 1_000_000


class RefusedError(Exception):
    """A request that is not answered, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def admit(request: Request, host: str, token: str | None, cookie: str) -> None:
    """Refuse other sites' requests (a name that leads here, a form on another page) and those without the token."""
    try:
        asked = urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        asked = None
    if host in LOCAL and asked not in (*LOCAL, host):
        raise RefusedError(403, f"this explorer answers to {' and '.join(LOCAL[:2])}, not to {asked!r}")
    if token and not (same(request.query_params.get("token"), token) or same(request.cookies.get(cookie), token)):
        raise RefusedError(403, "the address needs the token that genae explore printed: ?token=...")
    other_site = request.headers.get("sec-fetch-site") == "cross-site" and request.url.path.startswith("/api/")
    if other_site or (request.method == "POST" and request.headers.get("x-genae") != "1"):
        raise RefusedError(403, "requests come from the explorer's own page")


def same(given: str | None, token: str) -> bool:
    """Compared in a time that tells nothing of the token."""
    return secrets.compare_digest((given or "").encode(), token.encode())


async def body(request: Request, most: int) -> bytes:
    """The body, never more of it than ``most`` bytes."""
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > most:
            raise RefusedError(413, f"more than {most / 1e6:g} MB were sent; expected less")
        parts.append(part)
    return b"".join(parts)


async def json_of(request: Request) -> Mapping[str, Any]:
    """The body as a JSON object. Raises `RefusedError`."""
    try:
        asked = json.loads(await body(request, MOST_JSON))
    except (ValueError, RecursionError):
        raise RefusedError(400, "the request is not JSON") from None
    if not isinstance(asked, dict):
        raise RefusedError(400, "the request is not a JSON object")
    return asked


def check_numbers(numbers: Any, renderer: Renderer) -> None:
    """Raises `GenaeError` for what is no list of numbers of the run's images."""
    total = len(renderer.data.pixels)
    fitting = isinstance(numbers, list) and all(type(n) is int and 0 <= n < total for n in numbers)
    if not fitting or len(numbers) > MOST_IN_PILES:
        raise GenaeError(f"images are asked for by numbers from 0 to {total - 1}, at most {MOST_IN_PILES} at once")


def names_in(asked: Mapping[str, Any], key: str = "pictures", most: int = MOST_IMAGES) -> Sequence[str]:
    """The names of pictures under ``key``. Raises `GenaeError`."""
    names = asked.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise GenaeError(f"{key} is no list of pictures")
    if len(names) > most:
        raise GenaeError(f"{len(names)} pictures were given; expected at most {most}")
    return names


def operation_in(asked: Mapping[str, Any], pictures: Pictures) -> tuple[str, Tensor, Mapping[str, Any]]:
    """Name of the operation, its pictures and its settings, which are not checked here. Raises `GenaeError`."""
    settings = asked.get("settings", {})
    if not isinstance(settings, dict):
        raise GenaeError("settings is no JSON object")
    return str(asked.get("operation", "")), pictures.images(names_in(asked)), settings


def map_settings_in(asked: Mapping[str, Any]) -> tuple[str, int, str]:
    """Split, number of images and method of a map. Raises `GenaeError`."""
    split, method = asked.get("split", "test"), asked.get("method", METHODS[0])
    if split not in SPLITS or not isinstance(method, str):
        raise GenaeError(f"split is {split!r} and method {method!r}; expected one of {', '.join(SPLITS)}, and a word")
    return split, int(min(max(number_in(asked, "count", 1000), 3), 5000)), method


def number_in(asked: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """The number under ``key``. Raises `GenaeError`."""
    value = asked.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
        raise GenaeError(f"{key} is {value!r}; expected a number")
    return float(value)
