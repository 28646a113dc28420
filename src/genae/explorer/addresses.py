"""The explorer's addresses: each reads a request, asks the `Explorer` in a worker's thread, and sends the answer."""

import mimetypes
from collections.abc import Callable
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from genae.errors import GenaeError
from genae.explorer.encoding import File
from genae.explorer.guard import Guard, RefusedError
from genae.explorer.requests import (
    Body,
    OperationRequest,
    body_of,
    content_of,
    map_in,
    number_in,
    operation_in,
    piles_in,
)
from genae.explorer.service import Explorer
from genae.explorer.tray import MOST_BYTES

PAGE = files("genae.explorer") / "page"
EXPORTS: dict[str, Callable[[Explorer, OperationRequest], File]] = {
    "figure": Explorer.figure, "animation": Explorer.animation, "pictures": Explorer.pictures, "codes": Explorer.codes,
}  # fmt: skip


def create_app(explorer: Explorer, *, host: str = "127.0.0.1", token: str | None = None) -> FastAPI:
    """The application for one model: its addresses behind a `Guard`, and the page's own files."""
    mimetypes.add_type("text/javascript", ".js")  # Windows may say text/plain: browsers then refuse modules
    app = FastAPI(title="genae", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.explorer = explorer
    app.middleware("http")(Guard(host, token))
    for kind in (GenaeError, RefusedError, OSError, RequestValidationError):
        app.add_exception_handler(kind, _explained)
    app.include_router(router)
    app.mount("/", StaticFiles(directory=str(PAGE), html=True))
    return app


async def _explained(_: Request, error: Exception) -> Response:
    status = getattr(error, "status", 500 if isinstance(error, OSError) else 400)
    why = "the address is not one of the explorer's" if isinstance(error, RequestValidationError) else str(error)
    return JSONResponse({"error": why}, status)


async def _explorer(request: Request) -> Explorer:
    explorer: Explorer = request.app.state.explorer
    return explorer


router = APIRouter()
Service = Annotated[Explorer, Depends(_explorer)]
Sent = Annotated[Body, Depends(body_of)]


@router.get("/api/model")
async def model(explorer: Service) -> Response:
    """What the page has to know of the model."""
    return JSONResponse(await explorer.quick.do(explorer.describe))


@router.get("/api/data")
async def data(explorer: Service, split: str = "test", start: int = 0, count: int = 24, of: str = "") -> Response:
    """Take the next images of a split, or those of a class in it, among the pictures."""
    return JSONResponse(await explorer.quick.do(lambda: explorer.take_data(split, start, count, of)))


@router.get("/api/data/{index}.png")
async def data_picture(explorer: Service, index: int) -> Response:
    """An image of the run's data."""
    return Response(await explorer.quick.do(lambda: explorer.data_png(index)), media_type="image/png")


@router.post("/api/data/keep")
async def keep(explorer: Service, body: Sent) -> Response:
    """Take images of the run's data, by their numbers, among the pictures."""
    return JSONResponse(await explorer.quick.do(lambda: explorer.take_images(body.get("images", []))))


@router.post("/api/pictures")
async def upload(explorer: Service, request: Request) -> Response:
    """Take a person's picture file among the pictures."""
    content = await content_of(request, MOST_BYTES)
    return JSONResponse({"picture": await explorer.quick.do(lambda: explorer.tray.upload(content))})


@router.get("/api/pictures/{name}.png")
async def picture(explorer: Service, name: str) -> Response:
    """One of the pictures."""
    return Response(await explorer.quick.do(lambda: explorer.tray.png(name)), media_type="image/png")


@router.post("/api/answer")
async def answer(explorer: Service, body: Sent) -> Response:
    """What an operation gives."""
    request = operation_in(body)
    return JSONResponse(await explorer.worker_for(request.operation).do(lambda: explorer.answer(request)))


@router.post("/api/export/command")
async def export_command(explorer: Service, body: Sent) -> Response:
    """The command lines that repeat an operation."""
    request = operation_in(body)
    return JSONResponse(await explorer.quick.do(lambda: explorer.commands(request)))


@router.post("/api/export/{kind}")
async def export(explorer: Service, kind: str, body: Sent) -> Response:
    """A file of an operation."""
    if kind not in EXPORTS:
        raise RefusedError(404, f"there is no export {kind!r}")
    request = operation_in(body)
    return _download(await explorer.worker_for(request.operation).do(lambda: EXPORTS[kind](explorer, request)))


@router.post("/api/prepare")
async def prepare(explorer: Service, body: Sent) -> Response:
    """Learn what an operation will need, so that it is quick: a ``direction`` by name, or the ``detector``, with its
    ``likelihood``."""
    direction = None if body.get("detector") else str(body.get("direction", ""))
    likelihood = str(body.get("likelihood", ""))
    await explorer.slow.do(lambda: explorer.learn(direction, likelihood))
    return JSONResponse({})


@router.post("/api/directions")
async def save_direction(explorer: Service, body: Sent) -> Response:
    """Save the direction between two piles of pictures to the run."""
    piles = piles_in(body)
    return JSONResponse(await explorer.slow.do(lambda: explorer.save_direction(piles)))


@router.post("/api/map/place")
async def place(explorer: Service, body: Sent) -> Response:
    """What the model makes of a place on a map."""
    drawn, x, y = map_in(body), number_in(body, "x"), number_in(body, "y")
    return JSONResponse(await explorer.worker_for(drawn).do(lambda: explorer.place(drawn, x, y)))


@router.get("/plotly.js")
async def plotly() -> Response:
    """The library that draws the map."""
    return FileResponse(str(files("plotly") / "package_data" / "plotly.min.js"), media_type="text/javascript")


def _download(file: File) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{file.name}"'}
    return Response(file.content, media_type=file.media_type, headers=disposition)
