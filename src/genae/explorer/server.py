"""The web server of the explorer: it reads requests, asks the renderer in one worker thread, and writes answers."""

import asyncio
import base64
import io
import json
import secrets
import shlex
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.resources import files
from typing import Any, TypeVar
from urllib.parse import urlsplit

import torch
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from torch import Tensor

from genae.data.sampler import shuffled
from genae.data.sources import SPLITS
from genae.errors import GenaeError
from genae.explorer.atlas import COLOURS, METHODS, Atlas, map_picture
from genae.explorer.operations import Answer
from genae.explorer.pictures import MOST_BYTES, Pictures, png
from genae.explorer.render import Renderer, command
from genae.latent.mixing import BANDS
from genae.report.figures import save_animation
from genae.storage import arrays_as_bytes

LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_IMAGES = 400
"""Images of one answer."""
MOST_JSON = 1_000_000
T = TypeVar("T")
PAGE = files("genae.explorer") / "page"
SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class RefusedError(Exception):
    """A request that is not answered, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def create_app(renderer: Renderer, run: str, *, host: str = "127.0.0.1", token: str | None = None) -> FastAPI:
    """The application for one model. With a ``token``, every request must bear it: in the address, then in a cookie."""
    app = FastAPI(title="genae", docs_url=None, redoc_url=None, openapi_url=None)
    pictures = Pictures(renderer.model)
    # What takes long (encoding the training images) has a worker of its own: pictures are drawn meanwhile.
    quick, slow = (ThreadPoolExecutor(1, name) for name in ("quick", "slow"))
    atlases = lru_cache(maxsize=4)(
        lambda split, count, method: Atlas(renderer.model, renderer.data, split, count, method)
    )

    async def working(task: Callable[[], T], worker: ThreadPoolExecutor = quick) -> T:
        return await asyncio.get_running_loop().run_in_executor(worker, task)

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            _admit(request, host, token)
            answer = await call(request)
        except RefusedError as refused:
            answer = JSONResponse({"error": str(refused)}, refused.status)
        except GenaeError as error:
            answer = JSONResponse({"error": str(error)}, 400)
        answer.headers.update(SECURITY)
        if token and request.query_params.get("token") == token:
            answer.set_cookie("genae", token, httponly=True, samesite="strict")
        return answer

    @app.exception_handler(GenaeError)
    async def mendable(_: Request, error: GenaeError) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return JSONResponse({"error": str(error)}, error.status)

    @app.get("/api/model")
    async def model() -> Any:
        return await working(lambda: _described(renderer, run), slow)

    @app.get("/api/data")
    async def data(split: str = "test", start: int = 0, count: int = 24) -> Any:
        def task() -> Any:
            indices = renderer.data.split(split)
            here = range(max(0, start), min(max(0, start) + min(max(0, count), MOST_IMAGES), len(indices)))
            chosen = indices[shuffled(here.start, len(here), len(indices), seed=0)] if here else indices[:0]
            labels = renderer.data.labels
            names = [] if labels is None else [renderer.data.classes[i] for i in labels[chosen].tolist()]
            return {"pictures": pictures.add(renderer.data.images(chosen)), "labels": names, "total": len(indices)}

        return await working(task)

    @app.post("/api/pictures")
    async def upload(request: Request) -> Any:
        body = await _body(request, MOST_BYTES)
        return {"picture": await working(lambda: pictures.upload(body))}

    @app.get("/api/pictures/{name}.png")
    async def picture(name: str) -> Response:
        found = await working(lambda: png(pictures.images([name])[0]))
        return Response(found, media_type="image/png")

    @app.post("/api/answer")
    async def answer(request: Request) -> Any:
        asked = await _json(request)

        def task() -> Any:
            name, shown, settings = _operation(asked, pictures)
            return _as_json(renderer.answer(name, shown, settings))

        return await working(task)

    @app.post("/api/export/{kind}")
    async def export(kind: str, request: Request) -> Response:
        asked = await _json(request)

        def task() -> Response:
            name, shown, settings = _operation(asked, pictures)
            names = _names(asked)
            if kind == "figure":
                buffer = io.BytesIO()
                renderer.figure(name, shown, settings).save(buffer, "PNG")
                return _file(buffer.getvalue(), f"{name}.png", "image/png")
            if kind == "animation":
                buffer = io.BytesIO()
                save_animation(renderer.frames(shown, settings), buffer)
                return _file(buffer.getvalue(), f"{name}.gif", "image/gif")
            if kind == "pictures":
                return _file(pictures.zipped(names), "pictures.zip", "application/zip")
            if kind == "codes":
                found = renderer.answer(name, shown, settings)
                if found.error or found.codes is None:
                    raise GenaeError(found.error or "these images were not decoded from codes of one vector each")
                return _file(arrays_as_bytes({"codes": found.codes}, space="code"), "codes.npz", "application/zip")
            if kind == "command":
                return JSONResponse({"command": shlex.join(command(run, name, settings, len(names)))})
            raise RefusedError(404, f"there is no export {kind!r}")

        return await working(task)

    @app.post("/api/prepare")
    async def prepare(request: Request) -> Any:
        """Learn what an operation will need, so that it is quick: a ``direction`` by name, or the ``detector``."""
        asked = await _json(request)

        def task() -> Any:
            if asked.get("detector"):
                renderer.detector()
            else:
                renderer.direction(str(asked.get("direction", "")))
            return {}

        return await working(task, slow)

    @app.post("/api/directions")
    async def save_direction(request: Request) -> Any:
        asked = await _json(request)

        def task() -> Any:
            with_it, without = (pictures.images(_names(asked, key)) for key in ("with", "without"))
            path = renderer.save_direction(str(asked.get("name", "")).strip(), with_it, without)
            return {"saved": str(path), "directions": renderer.saved_directions()}

        return await working(task)

    @app.post("/api/map")
    async def atlas(request: Request) -> Any:
        asked = await _json(request)

        def task() -> Any:
            found = atlases(*_map_settings(asked))
            labels = None if found.labels is None else [renderer.data.classes[i] for i in found.labels.tolist()]
            return {
                "x": found.places[:, 0].tolist(), "y": found.places[:, 1].tolist(), "labels": labels,
                "errors": found.errors.tolist(), "pictures": pictures.add(renderer.data.images(found.indices)),
            }  # fmt: skip

        return await working(task, slow)

    @app.post("/api/export/map/{kind}")
    async def export_map(kind: str, request: Request) -> Response:
        asked = await _json(request)

        def task() -> Response:
            split, count, method = settings = _map_settings(asked)
            colour = str(asked.get("colour", COLOURS[0]))
            if kind == "figure":
                content = map_picture(atlases(*settings), renderer.data.classes, colour)
                return _file(content, "map.png", "image/png")
            if kind == "codes":
                found = atlases(*settings)
                arrays = {"codes": found.codes, "places": found.places, "indices": found.indices}
                return _file(arrays_as_bytes(arrays, space="code"), "codes.npz", "application/zip")
            if kind == "command":
                flags = ["--split", split, "--count", str(count), "--method", method, "--colour", colour]
                return JSONResponse({"command": shlex.join(["genae", "map", run, *flags, "--out", "map.png"])})
            raise RefusedError(404, f"there is no export {kind!r}")

        return await working(task)

    @app.post("/api/map/place")
    async def place(request: Request) -> Any:
        asked = await _json(request)

        def task() -> Any:
            x, y = (_finite(asked, key) for key in ("x", "y"))
            code = atlases(*_map_settings(asked)).code_at(x, y)
            return _as_json(Answer({"place": renderer.model.decode(code)}))

        return await working(task)

    @app.get("/plotly.js")
    async def plotly() -> Response:
        return FileResponse(str(files("plotly") / "package_data" / "plotly.min.js"), media_type="text/javascript")

    app.mount("/", StaticFiles(directory=str(PAGE), html=True))
    return app


def serve(renderer: Renderer, run: str, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. Bound to another address than this machine's own, the address needs a random token.

    Raises `GenaeError` where nothing can listen.
    """
    import uvicorn

    # With its protocol named, asyncio turns Nagle's delay off, which would cost every answer 40 ms.
    listening = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        why = error.strerror or error
        raise GenaeError(f"cannot listen at {host}, port {port}: {why}; choose another with --port") from None
    token = None if host in LOCAL else secrets.token_urlsafe(16)
    app = create_app(renderer, run, host=host, token=token)
    name = f"[{host}]" if ":" in host else host
    announce(f"http://{name}:{port}/" + (f"?token={token}" if token else ""))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
    with listening:
        server.run(sockets=[listening])


def _admit(request: Request, host: str, token: str | None) -> None:
    """Refuse other sites' requests (a name that leads here, a form on another page) and those without the token."""
    asked = urlsplit(f"//{request.headers.get('host', '')}").hostname
    if host in LOCAL and asked not in (*LOCAL, host):
        raise RefusedError(403, f"this explorer answers to {' and '.join(LOCAL[:2])}, not to {asked!r}")
    if token:
        given = request.query_params.get("token") or request.cookies.get("genae") or ""
        if not secrets.compare_digest(given.encode(), token.encode()):
            raise RefusedError(403, "the address needs the token that genae explore printed: ?token=...")
    if request.method == "POST" and request.headers.get("x-genae") != "1":
        raise RefusedError(403, "requests come from the explorer's own page")


async def _body(request: Request, most: int) -> bytes:
    """The body, never more of it than ``most`` bytes."""
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > most:
            raise RefusedError(413, f"more than {most / 1e6:g} MB were sent; expected less")
        parts.append(part)
    return b"".join(parts)


async def _json(request: Request) -> Mapping[str, Any]:
    try:
        asked = json.loads(await _body(request, MOST_JSON))
    except (ValueError, RecursionError):
        raise RefusedError(400, "the request is not JSON") from None
    if not isinstance(asked, dict):
        raise RefusedError(400, "the request is not a JSON object")
    return asked


def _names(asked: Mapping[str, Any], key: str = "pictures") -> Sequence[str]:
    names = asked.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise GenaeError(f"{key} is no list of pictures")
    if len(names) > MOST_IMAGES:
        raise GenaeError(f"{len(names)} pictures were given; expected at most {MOST_IMAGES}")
    return names


def _operation(asked: Mapping[str, Any], pictures: Pictures) -> tuple[str, Tensor, Mapping[str, Any]]:
    settings = asked.get("settings", {})
    if not isinstance(settings, dict):
        raise GenaeError("settings is no JSON object")
    return str(asked.get("operation", "")), pictures.images(_names(asked)), settings


def _map_settings(asked: Mapping[str, Any]) -> tuple[str, int, str]:
    split, method = asked.get("split", "test"), asked.get("method", METHODS[0])
    if split not in SPLITS or not isinstance(method, str):
        raise GenaeError(f"split is {split!r} and method {method!r}; expected one of {', '.join(SPLITS)}, and a word")
    return split, int(min(max(_finite(asked, "count", 1000), 3), 5000)), method


def _finite(asked: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = asked.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
        raise GenaeError(f"{key} is {value!r}; expected a number")
    return float(value)


def _as_json(answer: Answer) -> dict[str, Any]:
    images = {name: [_url(image) for image in row] for name, row in answer.images.items()}
    heat = {name: [_url(2 * map_ - 1) for map_ in row] for name, row in answer.heat.items()}
    return {"images": images, "heat": heat, "numbers": dict(answer.numbers), "error": answer.error}


def _url(image: Tensor) -> str:
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def _file(content: bytes, name: str, kind: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _described(renderer: Renderer, run: str) -> dict[str, Any]:
    """What the page has to know of the model."""
    model = renderer.model
    why, attributes, splits = "", [], {}
    try:
        attributes = list(renderer.attributes())
        splits = {name: len(renderer.data.split(name)) for name in SPLITS}
    except GenaeError as error:
        why = str(error)
    highest = 4 * 2 ** ((model.layers - 1) // 2)
    parts = int(model.parts(torch.zeros(1, *model.image_shape))[1].shape[1]) if model.has_parts else 0
    return {
        "name": model.name, "run": run, "model": model.config.model, "image_shape": model.image_shape,
        "spaces": model.spaces, "priors": model.priors, "attributes": attributes, "splits": splits, "no_data": why,
        "saved": renderer.saved_directions(), "can_save": renderer.run is not None, "parts": parts,
        "bands": [band for band, (low, _) in BANDS.items() if low <= highest] if model.layers > 1 else [],
    }  # fmt: skip
