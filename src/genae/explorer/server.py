"""The web server of the explorer: it reads requests, asks the renderer in one worker thread, and writes answers."""

import asyncio
import hashlib
import io
import json
import secrets
import shlex
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from queue import SimpleQueue
from threading import Thread
from types import FrameType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import torch
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from torch import Tensor

from genae.data.sampler import shuffled
from genae.data.sources import SPLITS
from genae.errors import GenaeError
from genae.explorer.atlas import COLOURS, METHODS, Atlas, map_picture
from genae.explorer.operations import Answer
from genae.explorer.pictures import MOST_BYTES, Pictures, data_url, png
from genae.explorer.render import Renderer, command
from genae.latent.mixing import BANDS
from genae.report.figures import save_animation
from genae.storage import arrays_as_bytes

LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_IMAGES = 400
"""Images of one answer."""
MOST_IN_PILES = 5000
STOPPED = "the explorer was stopped"
MOST_JSON = 1_000_000
T = TypeVar("T")
PAGE = files("genae.explorer") / "page"
SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class RefusedError(Exception):
    """A request that is not answered, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Worker:
    """One thread that does tasks in their order. It never keeps the process from ending."""

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]]] = SimpleQueue()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._ended = False
        Thread(target=self._work, name=name, daemon=True).start()

    async def do(self, task: Callable[[], T]) -> T:
        """What ``task()`` gives, or raises."""
        if self._ended:
            raise RefusedError(503, STOPPED)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.add(done)
        self._tasks.put((task, done))
        try:
            return await done
        finally:
            self._waiting.discard(done)

    def give_up(self) -> None:
        """Refuse whatever is waited for, and what will be: the server ends."""
        self._ended = True
        for done in list(self._waiting):
            _tell(done, done.set_exception, RefusedError(503, STOPPED))

    def _work(self) -> None:
        while True:
            task, done = self._tasks.get()
            if done.done():
                continue
            try:
                value = task()
            except Exception as error:
                _tell(done, done.set_exception, error)
            else:
                _tell(done, done.set_result, value)


def _tell(done: "asyncio.Future[Any]", how: Callable[[Any], None], value: Any) -> None:
    """From any thread, unless nobody waits any more."""
    if not done.get_loop().is_closed():
        done.get_loop().call_soon_threadsafe(lambda: None if done.done() else how(value))


def create_app(
    renderer: Renderer, run: str, *, host: str = "127.0.0.1", token: str | None = None, data_root: str | None = None
) -> FastAPI:
    """The application for one model. With a ``token``, every request must bear it: in the address, then in a cookie.

    ``data_root`` goes into the command lines that need the run's data.
    """
    app = FastAPI(title="genae", docs_url=None, redoc_url=None, openapi_url=None)
    pictures = Pictures(renderer.model)
    # What takes long (encoding the training images) has a worker of its own: pictures are drawn meanwhile.
    quick, slow = app.state.workers = Worker("quick"), Worker("slow")
    atlases: dict[tuple[str, int, str], Atlas] = {}
    cookie = f"genae-{hashlib.sha256((token or '').encode()).hexdigest()[:8]}"  # cookies know no ports

    def atlas(settings: tuple[str, int, str]) -> Atlas:
        if settings not in atlases:
            found = Atlas(renderer.model, renderer.data, *settings)
            while len(atlases) > 3:
                atlases.pop(next(iter(atlases)))
            atlases[settings] = found
        return atlases[settings]

    def worker_for(asked: Mapping[str, Any]) -> Worker:
        settings = asked.get("settings", {})
        return quick if renderer.is_ready(str(asked.get("operation", "")), settings) else slow

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            _admit(request, host, token, cookie)
            answer = await call(request)
        except RefusedError as refused:
            answer = JSONResponse({"error": str(refused)}, refused.status)
        answer.headers.update(SECURITY)
        if token and _same(request.query_params.get("token"), token):
            answer.set_cookie(cookie, token, httponly=True, samesite="strict")
        return answer

    async def explained(_: Request, error: Exception) -> Response:
        status = getattr(error, "status", 500 if isinstance(error, OSError) else 400)
        said = "the address is not one of the explorer's" if isinstance(error, RequestValidationError) else str(error)
        return JSONResponse({"error": said}, status)

    for kind_of_error in (GenaeError, RefusedError, OSError, RequestValidationError):
        app.add_exception_handler(kind_of_error, explained)

    @app.get("/api/model")
    async def model() -> Any:
        return await quick.do(lambda: _described(renderer, run))

    @app.get("/api/data")
    async def data(split: str = "test", start: int = 0, count: int = 24) -> Any:
        def task() -> Any:
            indices = renderer.data.split(split)
            here = range(max(0, start), min(max(0, start) + min(max(0, count), MOST_IMAGES), len(indices)))
            chosen = indices[shuffled(here.start, len(here), len(indices), seed=0)] if here else indices[:0]
            labels = renderer.data.labels
            names = [] if labels is None else [renderer.data.classes[i] for i in labels[chosen].tolist()]
            return {"pictures": pictures.add(renderer.data.images(chosen)), "labels": names, "total": len(indices)}

        return await quick.do(task)

    @app.get("/api/data/{number}.png")
    async def data_picture(number: int) -> Response:
        def task() -> bytes:
            _check_numbers([number], renderer)
            return png(renderer.data.images(torch.tensor([number]))[0])

        return Response(await quick.do(task), media_type="image/png")

    @app.post("/api/data/keep")
    async def keep(request: Request) -> Any:
        """Take images of the run's data, by their numbers, among the pictures."""
        numbers = (await _json(request)).get("images", [])

        def task() -> Any:
            _check_numbers(numbers, renderer)
            return {"pictures": pictures.add(renderer.data.images(torch.tensor(numbers, dtype=torch.long)))}

        return await quick.do(task)

    @app.post("/api/pictures")
    async def upload(request: Request) -> Any:
        body = await _body(request, MOST_BYTES)
        return {"picture": await quick.do(lambda: pictures.upload(body))}

    @app.get("/api/pictures/{name}.png")
    async def picture(name: str) -> Response:
        found = await quick.do(lambda: png(pictures.images([name])[0]))
        return Response(found, media_type="image/png")

    @app.post("/api/answer")
    async def answer(request: Request) -> Any:
        asked = await _json(request)

        def task() -> Any:
            name, shown, settings = _operation(asked, pictures)
            return _as_json(renderer.answer(name, shown, settings))

        return await worker_for(asked).do(task)

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
                lines = [command(run, name, settings, len(names), data_root)]
                if name == "interpolate":
                    lines.append(command(run, name, settings, len(names), data_root, animation=True))
                return JSONResponse({"commands": [shlex.join(line) for line in lines]})
            raise RefusedError(404, f"there is no export {kind!r}")

        return await worker_for(asked).do(task)

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

        return await slow.do(task)

    @app.post("/api/directions")
    async def save_direction(request: Request) -> Any:
        asked = await _json(request)

        def task() -> Any:
            with_it, without = (pictures.images(_names(asked, key, MOST_IN_PILES)) for key in ("with", "without"))
            path = renderer.save_direction(str(asked.get("name", "")).strip(), with_it, without)
            return {"saved": str(path), "directions": renderer.saved_directions()}

        return await slow.do(task)

    @app.post("/api/map")
    async def draw_map(request: Request) -> Any:
        settings = _map_settings(await _json(request))

        def task() -> Any:
            found = atlas(settings)
            labels = None if found.labels is None else [renderer.data.classes[i] for i in found.labels.tolist()]
            return {
                "x": found.places[:, 0].tolist(), "y": found.places[:, 1].tolist(), "labels": labels,
                "errors": found.errors.tolist(), "images": found.indices.tolist(),
            }  # fmt: skip

        return await slow.do(task)

    @app.post("/api/export/map/{kind}")
    async def export_map(kind: str, request: Request) -> Response:
        asked = await _json(request)
        split, count, method = settings = _map_settings(asked)
        colour = str(asked.get("colour", COLOURS[0]))

        def task() -> Response:
            if kind == "figure":
                content = map_picture(atlas(settings), renderer.data.classes, colour)
                return _file(content, "map.png", "image/png")
            if kind == "codes":
                found = atlas(settings)
                arrays = {"codes": found.codes, "places": found.places, "indices": found.indices}
                return _file(arrays_as_bytes(arrays, space="code"), "codes.npz", "application/zip")
            if kind == "command":
                flags = ["--split", split, "--count", str(count), "--method", method, "--colour", colour]
                root = ["--data-root", data_root] if data_root else []
                return JSONResponse(
                    {"commands": [shlex.join(["genae", "map", run, *root, *flags, "--out", "map.png"])]}
                )
            raise RefusedError(404, f"there is no export {kind!r}")

        return await slow.do(task)

    @app.post("/api/map/place")
    async def place(request: Request) -> Any:
        asked = await _json(request)

        settings, x, y = _map_settings(asked), _finite(asked, "x"), _finite(asked, "y")

        def task() -> Any:
            return _as_json(Answer({"place": renderer.model.decode(atlas(settings).code_at(x, y))}))

        return await (quick if settings in atlases else slow).do(task)

    @app.get("/plotly.js")
    async def plotly() -> Response:
        return FileResponse(str(files("plotly") / "package_data" / "plotly.min.js"), media_type="text/javascript")

    app.mount("/", StaticFiles(directory=str(PAGE), html=True))
    return app


def serve(
    renderer: Renderer, run: str, host: str, port: int, announce: Callable[[str], None], data_root: str | None = None
) -> None:
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
    app = create_app(renderer, run, host=host, token=token, data_root=data_root)
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    announce(f"http://{name}:{port}/" + (f"?token={token}" if token else ""))

    class Server(uvicorn.Server):
        interrupted = False

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.interrupted = sig == signal.SIGINT
            for worker in app.state.workers:
                worker.give_up()
            super().handle_exit(sig, frame)

    with listening:
        server = Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        server.run(sockets=[listening])
    if server.interrupted:  # also where uvicorn came to its end before it could say so
        raise KeyboardInterrupt


def _admit(request: Request, host: str, token: str | None, cookie: str) -> None:
    """Refuse other sites' requests (a name that leads here, a form on another page) and those without the token."""
    try:
        asked = urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        asked = None
    if host in LOCAL and asked not in (*LOCAL, host):
        raise RefusedError(403, f"this explorer answers to {' and '.join(LOCAL[:2])}, not to {asked!r}")
    if token and not (_same(request.query_params.get("token"), token) or _same(request.cookies.get(cookie), token)):
        raise RefusedError(403, "the address needs the token that genae explore printed: ?token=...")
    other_site = request.headers.get("sec-fetch-site") == "cross-site" and request.url.path.startswith("/api/")
    if other_site or (request.method == "POST" and request.headers.get("x-genae") != "1"):
        raise RefusedError(403, "requests come from the explorer's own page")


def _same(given: str | None, token: str) -> bool:
    return secrets.compare_digest((given or "").encode(), token.encode())


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


def _check_numbers(numbers: Any, renderer: Renderer) -> None:
    total = len(renderer.data.pixels)
    fitting = isinstance(numbers, list) and all(type(n) is int and 0 <= n < total for n in numbers)
    if not fitting or len(numbers) > MOST_IN_PILES:
        raise GenaeError(f"images are asked for by numbers from 0 to {total - 1}, at most {MOST_IN_PILES} at once")


def _names(asked: Mapping[str, Any], key: str = "pictures", most: int = MOST_IMAGES) -> Sequence[str]:
    names = asked.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise GenaeError(f"{key} is no list of pictures")
    if len(names) > most:
        raise GenaeError(f"{len(names)} pictures were given; expected at most {most}")
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
    images = {name: [data_url(image) for image in row] for name, row in answer.images.items()}
    heat = {name: [data_url(2 * map_ - 1) for map_ in row] for name, row in answer.heat.items()}
    return {"images": images, "heat": heat, "numbers": dict(answer.numbers), "error": answer.error}


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
