"""A page of one model that opens without a server: reconstructions, samples, a square of blends drawn beforehand."""

import html
import json
from importlib.resources import files
from pathlib import Path
from string import Template

from PIL import Image
from torch import Tensor

from genae.errors import GenaeError
from genae.explorer.encoding import data_url
from genae.latent.paths import grid
from genae.model import Model
from genae.operations import Session
from genae.reports import figures
from genae.storage import write_atomically

SIDE = 11
"""Blends along a side of the square."""
CORNERS = ((0, 0), (78, 0), (0, 78), (78, 78))
"""Left and top of the four pictures on the square, in percent."""


def export_page(session: Session, folder: Path) -> Path:
    """Write ``folder/index.html``; returns its path. Raises `GenaeError` for a model with nothing to show."""
    model = session.model
    images = session.data.images(session.data.split("test")[:8]) if model.spaces else None
    sections, blends = [], []
    if images is not None:
        sections.append(_figure("Reconstructions", figures.reconstruction_grid(model, images)))
    sections += [
        _figure(f"Samples of the {prior} prior", figures.sample_grid(model, 36, 0, prior)) for prior in model.priors
    ]
    if images is not None and len(images) >= len(CORNERS):
        sections.append(_square(images[: len(CORNERS)]))
        blends = _blends(model, images[: len(CORNERS)])
    if not sections:
        raise GenaeError(f"{model.name} ({model.config.model}) can neither encode nor sample: there is nothing to show")
    channels, height, width = model.image_shape
    about = f"{model.config.model} on {model.config.data}, {channels} × {height} × {width}"
    page = Template((files("genae.explorer") / "export.html").read_text(encoding="utf-8")).substitute(
        name=html.escape(model.name), about=html.escape(about), sections="\n".join(sections),
        data=json.dumps({"side": SIDE, "square": blends}).replace("</", "<\\/"),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "index.html", page)
    return folder / "index.html"


def _figure(title: str, figure: Image.Image) -> str:
    text = html.escape(title)
    return f'<h2>{text}</h2>\n<p><img src="{data_url(figure)}" alt="{text}"></p>'


def _square(images: Tensor) -> str:
    shown = "".join(
        f'<img src="{data_url(image)}" alt="corner {i + 1}" style="left:{left}%;top:{top}%">'
        for i, (image, (left, top)) in enumerate(zip(images, CORNERS, strict=True))
    )
    return (
        "<h2>Between four pictures</h2><p>Drag on the square, or use the arrow keys.</p>\n"
        f'<div class="columns"><div id="pad" tabindex="0" role="application" aria-label="Place between the four '
        f'pictures">{shown}<span></span></div><img id="blend" alt="the blend at the handle"></div>'
    )


def _blends(model: Model, images: Tensor) -> list[str]:
    codes = grid(model.encode(images), SIDE, SIDE)
    return [data_url(image) for image in model.decode(codes.flatten(0, 1))]
