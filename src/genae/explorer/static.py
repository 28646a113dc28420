"""A page of one model that opens without a server: reconstructions, samples, a square of blends drawn beforehand."""

import base64
import html
import io
import json
from importlib.resources import files
from pathlib import Path
from string import Template

from PIL import Image

from genae.errors import GenaeError
from genae.explorer.pictures import data_url
from genae.latent.interpolate import grid as square
from genae.operations.render import Renderer
from genae.reports import figures
from genae.storage import write_atomically

SIDE = 11
"""Blends along a side of the square."""


def export_page(renderer: Renderer, folder: Path) -> Path:
    """Write ``folder/index.html``; returns its path. Raises `GenaeError` for a model with nothing to show."""
    model = renderer.model
    sections, data = [], {"side": SIDE, "square": []}
    if model.spaces:
        test = renderer.data.split("test")
        images = renderer.data.images(test[:8])
        sections += [
            "<h2>Reconstructions</h2>",
            _picture(figures.reconstruction_grid(model, images), "Reconstructions"),
        ]
    for prior in model.priors:
        sections += [
            f"<h2>Samples of the {html.escape(prior)} prior</h2>",
            _picture(figures.sample_grid(model, 36, 0, prior), f"Samples of the {prior} prior"),
        ]
    if model.spaces and len(images) >= 4:
        codes = square(model.encode(images[:4]), SIDE, SIDE)
        data["square"] = [data_url(image) for image in model.decode(codes.flatten(0, 1))]
        corners = zip(images[:4], ((0, 0), (78, 0), (0, 78), (78, 78)), strict=True)
        shown = "".join(
            f'<img src="{data_url(image)}" alt="corner {i + 1}" style="left:{left}%;top:{top}%">'
            for i, (image, (left, top)) in enumerate(corners)
        )
        sections += [
            "<h2>Between four pictures</h2><p>Drag on the square, or use the arrow keys.</p>",
            f'<div class="columns"><div id="pad" tabindex="0" role="application" aria-label="Place between the four '
            f'pictures">{shown}<span></span></div><img id="blend" alt="the blend at the handle"></div>',
        ]
    if not sections:
        raise GenaeError(f"{model.name} ({model.config.model}) can neither encode nor sample: there is nothing to show")
    channels, height, width = model.image_shape
    about = f"{model.config.model} on {model.config.data}, {channels} × {height} × {width}"
    page = Template((files("genae.explorer") / "export.html").read_text()).substitute(
        name=html.escape(model.name), about=html.escape(about), sections="\n".join(sections),
        data=json.dumps(data).replace("</", "<\\/"),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "index.html", page)
    return folder / "index.html"


def _picture(picture: Image.Image, text: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<p><img src="data:image/png;base64,{data}" alt="{html.escape(text)}"></p>'
