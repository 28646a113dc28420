"""What the explorer sends: pictures as PNG, answers as JSON, files to be saved."""

import base64
import io
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from genae.operations import Answer
from genae.reports import figures

Json = dict[str, object]


class File(NamedTuple):
    """A file that the browser saves."""

    content: bytes
    name: str
    media_type: str


def png(image: Tensor) -> bytes:
    """One image [C, H, W] in [-1, 1] as a PNG file."""
    buffer = io.BytesIO()
    figures.to_picture(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def figure_png(figure: Image.Image) -> bytes:
    """A figure as a PNG file, byte for byte what the command line writes."""
    return figures.png(figure)


def data_url(image: Tensor | Image.Image) -> str:
    """An image [C, H, W] in [-1, 1], or a figure, as an address that holds it."""
    content = png(image) if isinstance(image, torch.Tensor) else figure_png(image)
    return "data:image/png;base64," + base64.b64encode(content).decode()


def json_of(answer: Answer) -> Json:
    """An answer whose rows of images and maps are data URLs."""
    images = {name: [data_url(image) for image in row] for name, row in answer.images.items()}
    heat = {name: [data_url(2 * shares - 1) for shares in row] for name, row in answer.heat.items()}
    return {"images": images, "heat": heat, "numbers": dict(answer.numbers)}
