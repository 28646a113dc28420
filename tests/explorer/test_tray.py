"""Pictures on the page: every form, hostile files, and how many are kept."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.explorer.tray import MOST_BYTES, Tray
from genae.model import load
from tests.reading import pixels_of


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_pictures_of_every_form_are_brought_to_the_model(
    form: str, client: TestClient, picture_file: Callable[..., bytes]
) -> None:
    name = client.post("/api/pictures", content=picture_file((40, 30), form)).json()["picture"]
    shown = Image.open(io.BytesIO(client.get(f"/api/pictures/{name}.png").content))
    assert shown.size == (8, 8)
    assert shown.mode == "L"
    again = client.post("/api/pictures", content=picture_file((40, 30), form)).json()["picture"]
    assert again == name


def test_exported_pictures_are_the_same_pictures(
    client: TestClient, picture_file: Callable[..., bytes], take: Callable[..., list[str]], tmp_path: Path
) -> None:
    uploaded = client.post("/api/pictures", content=picture_file((16, 16))).json()["picture"]
    names = [*take(client, 2), uploaded]
    content = client.post("/api/export/pictures", json={"operation": "reconstruct", "pictures": names}).content
    (tmp_path / "pictures.zip").write_bytes(content)
    data = open_data(str(tmp_path / "pictures.zip"), size=(8, 8), channels=1)
    for pixels, name in zip(pixels_of(data), names, strict=True):
        shown = np.array(Image.open(io.BytesIO(client.get(f"/api/pictures/{name}.png").content)))
        assert np.array_equal(pixels[0].numpy(), shown)


def test_hostile_uploads(client: TestClient, picture_file: Callable[..., bytes]) -> None:
    bomb = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < 1_000_000, "900 million pixels in a small file"
    large = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(large, "PNG")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", picture_file())
    vector = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    for content, status, message in (
        (b"", 400, "this is not a picture"),
        (b"GIF89a", 400, "this is not a picture"),
        (b"%PDF-1.7 nothing", 400, "this is not a picture"),
        (vector, 400, "this is not a picture"),
        (archive.getvalue(), 400, "this is not a picture"),
        (picture_file((64, 64))[:300], 400, "the picture is damaged"),
        (bomb.getvalue(), 400, "this is not a picture"),  # Pillow's own limit
        (large.getvalue(), 400, "the picture has 8000 x 8000 pixels; expected at most 50,000,000 in all"),
        (b"x" * (MOST_BYTES + 1), 413, "more than 20 MB were sent"),
    ):
        answered = client.post("/api/pictures", content=content)
        assert answered.status_code == status
        with pytest.raises(GenaeError, match=message):
            raise GenaeError(answered.json()["error"])


def test_pictures_that_take_too_much_room_are_forgotten(run: Path) -> None:
    kept = Tray(load(run), kept=10 * 64)
    images = torch.rand(15, 1, 8, 8) * 2 - 1
    names = kept.add(images)
    assert torch.allclose(kept.images(names[5:]), images[5:], atol=1 / 127)
    with pytest.raises(GenaeError, match="no longer kept here"):
        kept.images(names[:1])
