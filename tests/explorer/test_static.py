"""A page that opens without a server."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from genae.model import load


def test_a_page_without_a_server(run: Path, genae: Callable[..., int], tmp_path: Path) -> None:
    assert genae("explore", run, "--export", tmp_path / "page") == 0
    page = (tmp_path / "page" / "index.html").read_text()
    data = json.loads(page.partition("const data = ")[2].partition(";\n")[0])
    assert len(data["square"]) == data["side"] ** 2
    assert "http" not in page.replace("http-equiv", "")
    model = load(run)
    images = model.open_data().images(model.open_data().split("test")[:4])
    first = Image.open(io.BytesIO(base64.b64decode(data["square"][0].partition(",")[2])))
    assert np.allclose(np.array(first), (model.reconstruct(images)[0, 0] + 1) * 127.5, atol=1)
