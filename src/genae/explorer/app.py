"""The explorer's addresses: each reads a request, asks the renderer in a worker's thread, and writes the answer."""

import hashlib
import io
import shlex
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any

import torch
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from genae.data.sampler import shuffled
from genae.errors import GenaeError
from genae.explorer.pictures import MOST_BYTES, Pictures, data_url, png
from genae.explorer.requests import (
    MOST_IMAGES,
    MOST_IN_PILES,
    RefusedError,
    admit,
    body,
    check_numbers,
    json_of,
    map_settings_in,
    names_in,
    number_in,
    operation_in,
    same,
)
from genae.explorer.worker import Worker
from genae.operations.answers import Answer
from genae.operations.atlas import COLOURS, Atlas, map_picture
from genae.operations.render import Renderer, command, described
from genae.reports.figures import save_animation
from genae.storage import arrays_as_bytes

PAGE = files("genae.explorer") / "page"
SECURITY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


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
            admit(request, host, token, cookie)
            answer = await call(request)
        except RefusedError as refused:
            answer = JSONResponse({"error": str(refused)}, refused.status)
        answer.headers.update(SECURITY)
        if token and same(request.query_params.get("token"), token):
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
        return await quick.do(lambda: described(renderer, run))

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
            check_numbers([number], renderer)
            return png(renderer.data.images(torch.tensor([number]))[0])

        return Response(await quick.do(task), media_type="image/png")

    @app.post("/api/data/keep")
    async def keep(request: Request) -> Any:
        """Take images of the run's data, by their numbers, among the pictures."""
        numbers = (await json_of(request)).get("images", [])

        def task() -> Any:
            check_numbers(numbers, renderer)
            return {"pictures": pictures.add(renderer.data.images(torch.tensor(numbers, dtype=torch.long)))}

        return await quick.do(task)

    @app.post("/api/pictures")
    async def upload(request: Request) -> Any:
        sent = await body(request, MOST_BYTES)
        return {"picture": await quick.do(lambda: pictures.upload(sent))}

    @app.get("/api/pictures/{name}.png")
    async def picture(name: str) -> Response:
        found = await quick.do(lambda: png(pictures.images([name])[0]))
        return Response(found, media_type="image/png")

    @app.post("/api/answer")
    async def answer(request: Request) -> Any:
        asked = await json_of(request)

        def task() -> Any:
            name, shown, settings = operation_in(asked, pictures)
            return _as_json(renderer.answer(name, shown, settings))

        return await worker_for(asked).do(task)

    @app.post("/api/export/{kind}")
    async def export(kind: str, request: Request) -> Response:
        asked = await json_of(request)

        def task() -> Response:
            name, shown, settings = operation_in(asked, pictures)
            names = names_in(asked)
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
        asked = await json_of(request)

        def task() -> Any:
            if asked.get("detector"):
                renderer.detector()
            else:
                renderer.direction(str(asked.get("direction", "")))
            return {}

        return await slow.do(task)

    @app.post("/api/directions")
    async def save_direction(request: Request) -> Any:
        asked = await json_of(request)

        def task() -> Any:
            with_it, without = (pictures.images(names_in(asked, key, MOST_IN_PILES)) for key in ("with", "without"))
            path = renderer.save_direction(str(asked.get("name", "")).strip(), with_it, without)
            return {"saved": str(path), "directions": renderer.saved_directions()}

        return await slow.do(task)

    @app.post("/api/map")
    async def draw_map(request: Request) -> Any:
        settings = map_settings_in(await json_of(request))

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
        asked = await json_of(request)
        split, count, method = settings = map_settings_in(asked)
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
        asked = await json_of(request)

        settings, x, y = map_settings_in(asked), number_in(asked, "x"), number_in(asked, "y")

        def task() -> Any:
            return _as_json(Answer({"place": renderer.model.decode(atlas(settings).code_at(x, y))}))

        return await (quick if settings in atlases else slow).do(task)

    @app.get("/plotly.js")
    async def plotly() -> Response:
        return FileResponse(str(files("plotly") / "package_data" / "plotly.min.js"), media_type="text/javascript")

    app.mount("/", StaticFiles(directory=str(PAGE), html=True))
    return app


def _as_json(answer: Answer) -> dict[str, Any]:
    images = {name: [data_url(image) for image in row] for name, row in answer.images.items()}
    heat = {name: [data_url(2 * map_ - 1) for map_ in row] for name, row in answer.heat.items()}
    return {"images": images, "heat": heat, "numbers": dict(answer.numbers), "error": answer.error}


def _file(content: bytes, name: str, kind: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
