"""The explorer: answers, figures that are the command line's, hostile requests, and the page in a real browser."""

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from test_cli import genae

from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError
from genae.explorer import pictures as pictures_module
from genae.explorer.app import create_app
from genae.explorer.pictures import Pictures
from genae.metrics.reconstruction import mse
from genae.model import load
from genae.operations.anomaly import Detector
from genae.operations.atlas import Atlas
from genae.operations.operations import OPERATIONS, operation
from genae.operations.render import Renderer
from genae.reports import figures
from genae.training.config import resolve
from genae.training.start import train

OWN = {"X-Genae": "1"}


@pytest.fixture(scope="module")
def run(explored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(explored, tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explorer") / "parted"
    settings = {"data": "digits", "size": "32", "images": 320, "batch_size": 32, "width": 4, "parts": 3, "part_dim": 2}
    train(resolve("patch-vae", settings, {}, AUTOENCODERS), folder)
    return folder


@pytest.fixture
def client(run: Path) -> TestClient:
    return client_of(run)


def client_of(run: Path, **options: Any) -> TestClient:
    app = create_app(Renderer(load(run), run, most=400), str(run), **options)
    return TestClient(app, base_url="http://127.0.0.1:8765", headers=OWN)


def picture_file(size: tuple[int, int] = (8, 8), form: str = "PNG", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def some(client: TestClient, count: int) -> list[str]:
    return client.get(f"/api/data?split=test&count={count}").json()["pictures"]


def test_answers_are_what_the_model_gives(run: Path) -> None:
    model = load(run)
    renderer = Renderer(model, run)
    data = renderer.data
    images = data.images(data.split("test")[:4])
    codes = model.encode(images)

    found = renderer.answer("reconstruct", images, {})
    assert torch.equal(found.images["code"], model.decode(codes))
    assert found.numbers["code"]["mse"] == pytest.approx(mse(model.decode(codes), images).tolist())
    assert float(found.heat["error"].max()) == 1

    blend = renderer.answer("interpolate", images, {"weights": [0.1, 0.2, 0.3, 0.4]}).images["between"]
    expected = 0.1 * codes[0] + 0.2 * codes[1] + 0.3 * codes[2] + 0.4 * codes[3]
    assert torch.allclose(blend[0], model.decode(expected[None])[0], atol=1e-5)
    way = renderer.answer("interpolate", images[:2], {"steps": 5})
    assert torch.allclose(way.images["between"], model.interpolate(images[:1], images[1:2], 5)[0], atol=1e-6)
    assert way.codes is not None
    assert torch.allclose(model.decode(way.codes), way.images["between"], atol=1e-6)

    along = renderer.direction("3")
    edited = renderer.answer("edit", images, {"amounts": {"3": 1.5}})
    assert torch.allclose(edited.images["edited"], model.decode(codes + 1.5 * along), atol=1e-5)
    assert edited.numbers["mse"] == pytest.approx(mse(model.decode(codes), images).tolist(), rel=1e-4)
    drawn_edit = figures.edit_grid(model, codes, along, "3", [-1.5, -0.75, 0, 0.75, 1.5])
    assert renderer.figure("edit", images, {"amounts": {"3": 1.5}}).tobytes() == drawn_edit.tobytes()
    train_images = data.split("train")
    assert data.labels is not None
    assert torch.allclose(along, model.direction(data.images(train_images), data.labels[train_images] == 3), atol=1e-5)

    drawn = renderer.answer("sample", images[:0], {"count": 5, "seed": 3})
    assert torch.equal(drawn.images["samples"], model.sample(5, 3, model.priors[0]))


def test_parts_are_answered(parted: Path) -> None:
    model = load(parted)
    renderer = Renderer(model, parted)
    images = renderer.data.images(renderer.data.split("test")[:2])
    occurrence = model.parts(images)[1]
    found = renderer.answer("parts", images, {"parts": [2, 0]}).heat
    assert list(found) == ["part 2", "part 0"]
    assert torch.equal(found["part 2"][:, 0], occurrence[:, 2])
    swapped = renderer.answer("swap", images, {}).images["swapped"]
    assert torch.equal(swapped[1:2], model.swap_part(images[:1], images[1:], 0))
    across = renderer.answer("swap", images, {"parts": [0], "from_part": 1}).images["swapped"]
    assert torch.equal(across[1:], model.swap_part(images[:1], images[1:], 0, 1))
    assert renderer.answer("parts", images, {"parts": [3]}).error == "there is no part 3; the model has parts 0 to 2"


def test_codes_of_pictures_are_remembered_and_forgotten(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genae.operations import render

    monkeypatch.setattr(render, "REMEMBERED", 6 * 8 * 4)  # six codes of eight numbers
    renderer = Renderer(load(run), run)
    images = renderer.data.images(renderer.data.split("test")[:9])
    first = renderer.encode(images[:5], "code")
    seen: list[int] = []
    encode = renderer.model.encode
    monkeypatch.setattr(renderer.model, "encode", lambda x, space: (seen.append(len(x)), encode(x, space))[1])
    assert torch.equal(renderer.encode(images[:5], "code"), first)
    assert seen == []
    renderer.encode(images[4:9], "code")
    assert seen == [4]
    assert len(renderer._seen) == 6


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("reconstrukt", {}, "operation is 'reconstrukt'; did you mean 'reconstruct'"),
        ("sample", {"cuont": 3}, "sample has no setting 'cuont'; did you mean 'count'"),
        ("sample", {"count": 401}, "count is 401; expected at most 400"),
        ("sample", {"count": "3"}, "count is '3'; expected a whole number"),
        ("sample", {"count": True}, "count is True; expected a whole number"),
        ("sample", {"seed": 1.5}, "seed is 1.5; expected a whole number"),
        ("sample", {"truncation": float("nan")}, "truncation is nan; expected a number"),
        ("sample", {"truncation": 2}, "truncation is 2; expected 0 .*to 1"),
        ("sample", {"prior": "nromal"}, "has no prior 'nromal'; did you mean"),
        ("interpolate", {"steps": 21}, "steps is 21; expected at most 20"),
        ("interpolate", {"steps": 1}, "steps is 1; expected at least 2"),
        ("interpolate", {"path": "round"}, "path is 'round'"),
        ("interpolate", {"weights": [1]}, "1 weights for 3 pictures"),
        ("interpolate", {"weights": "1"}, "weights is '1'; expected a list"),
        ("interpolate", {"pairs": [0] * 1002}, "pairs holds 1002 entries; expected at most 1000"),
        ("interpolate", {"pairs": [0, 3]}, "expected pairs of numbers of the 3 pictures"),
        ("edit", {"amounts": {"nine": 1}}, "has no attribute 'nine'; "),
        ("edit", {"amounts": [1]}, r"amounts is \[1\]; expected names with numbers"),
        ("edit", {"amounts": {"3": 1}, "direction": "men"}, "direction is 'men'; did you mean 'mean'"),
        ("mix", {"sources": 3}, "3 of 3 pictures give styles"),
        ("mix", {}, "has one code for the whole image"),
        ("parts", {}, "has no parts; expected a patch-vae"),
        ("swap", {}, "3 pictures were given; expected 2"),
    ],
)
def test_errors_are_values(name: str, settings: dict[str, Any], message: str, run: Path) -> None:
    renderer = Renderer(load(run), run, most=400)
    images = renderer.data.images(renderer.data.split("test")[:3])
    found = renderer.answer(name, images, settings)
    assert not found.images
    with pytest.raises(GenaeError, match=message):
        raise GenaeError(found.error)


def test_no_pictures_is_an_error_too(run: Path) -> None:
    renderer = Renderer(load(run), run)
    for name in ("reconstruct", "interpolate", "edit", "anomaly"):
        assert "0 pictures were given; expected" in renderer.answer(name, torch.zeros(0, 1, 8, 8), {}).error
    with pytest.raises(GenaeError, match="0 directions|shows one direction; 0 are set"):
        renderer.figure("edit", torch.zeros(1, 1, 8, 8), {})


@pytest.mark.parametrize(
    ("name", "count", "settings", "kind"),
    [
        ("reconstruct", 3, {}, "figure"),
        ("sample", 0, {"count": 7, "seed": 2}, "figure"),
        ("interpolate", 3, {"steps": 5, "path": "spherical"}, "figure"),
        ("interpolate", 4, {"steps": 4, "square": True}, "figure"),
        ("interpolate", 2, {"steps": 6}, "animation"),
        ("edit", 2, {"amounts": {"3": 1.5}}, "figure"),
        ("anomaly", 4, {}, "figure"),
    ],
)
def test_the_command_line_writes_the_same_bytes(
    name: str, count: int, settings: dict[str, Any], kind: str, run: Path, client: TestClient, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked = {"operation": name, "pictures": some(client, count) if count else [], "settings": settings}
    for one in asked["pictures"]:  # on the page they come one by one: what is remembered must not show
        client.post("/api/answer", json={"operation": "reconstruct", "pictures": [one]})
    page = client.post(f"/api/export/{kind}", json=asked)
    assert page.status_code == 200, page.text
    (tmp_path / "pictures.zip").write_bytes(client.post("/api/export/pictures", json=asked).content)
    _same_bytes(client, asked, page.content, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("name", "settings"), [("parts", {}), ("parts", {"parts": [1]}), ("swap", {}), ("swap", {"from_part": 1})]
)
def test_the_command_line_writes_the_same_parts(
    name: str, settings: dict[str, Any], parted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(parted)
    asked = {"operation": name, "pictures": some(client, 2), "settings": settings}
    (tmp_path / "pictures.zip").write_bytes(client.post("/api/export/pictures", json=asked).content)
    _same_bytes(client, asked, client.post("/api/export/figure", json=asked).content, tmp_path, monkeypatch)


def _same_bytes(
    client: TestClient, asked: dict[str, Any], expected: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    commands = client.post("/api/export/command", json=asked).json()["commands"]
    command = shlex.split(commands[expected[:3] == b"GIF"])
    monkeypatch.chdir(folder)
    assert genae(*command[1:], monkeypatch=monkeypatch) == 0
    assert (folder / command[-1]).read_bytes() == expected


def test_map_of_the_data(run: Path, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"split": "test", "count": 60, "method": "pca"}
    found = client.post("/api/map", json=asked).json()
    assert len(found["x"]) == len(found["images"]) == len(found["errors"]) == 60
    assert set(found["labels"]) <= set("0123456789")
    model = load(run)
    data = model.open_data()
    atlas = Atlas(model, data, "test", 60)
    centred = atlas.codes.double() - atlas.codes.double().mean(0)
    spread = torch.linalg.svdvals(centred)[:2].square()
    assert torch.allclose(atlas.places.square().sum(0), spread, rtol=1e-4)
    place = atlas.places[7]
    assert torch.allclose(atlas.code_at(*place.tolist()), atlas.codes[7:8], atol=1e-2)
    answer = client.post("/api/map/place", json={**asked, "x": 0.1, "y": 0.2}).json()
    assert answer["images"]["place"][0].startswith("data:image/png")

    import shlex

    command = shlex.split(
        client.post("/api/export/map/command", json={**asked, "colour": "error"}).json()["commands"][0]
    )
    monkeypatch.chdir(tmp_path)
    assert genae(*command[1:], monkeypatch=monkeypatch) == 0
    figure = client.post("/api/export/map/figure", json={**asked, "colour": "error"}).content
    assert (tmp_path / "map.png").read_bytes() == figure
    assert genae("map", run, "--count", "60", "--out", "map.npz", monkeypatch=monkeypatch) == 0
    assert np.load(tmp_path / "map.npz")["places"].shape == (60, 2)
    for wrong, message in (({"method": "tsne"}, "method is 'tsne'"), ({"split": "../x"}, "split is '../x'"),
                           ({"count": "many"}, "count is 'many'")):  # fmt: skip
        answered = client.post("/api/map", json={**asked, **wrong})
        assert answered.status_code == 400
        assert message in answered.json()["error"]


def test_two_piles_make_a_direction_that_the_command_line_knows(
    run: Path, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = some(client, 6)
    asked = {"name": " slanted ", "with": names[:2], "without": names[2:]}
    saved = client.post("/api/directions", json=asked)
    assert saved.json()["directions"] == ["slanted"]
    model = load(run)
    stored = Pictures(model)
    renderer = Renderer(model, run)
    images = renderer.data.images(renderer.data.split("test"))
    assert stored.add(images)
    codes = model.encode(stored.images(names))
    expected = codes[:2].mean(0) - codes[2:].mean(0)
    assert torch.allclose(renderer.direction("slanted"), expected, atol=1e-5)
    assert client.get("/api/model").json()["saved"] == ["slanted"]
    monkeypatch.chdir(tmp_path)
    assert genae("edit", run, "--attribute", "slanted", "--count", "2", monkeypatch=monkeypatch) == 0
    assert (tmp_path / "edit.png").exists()
    for wrong, message in (
        ({"name": "3"}, "there is a direction '3' already"),
        ({"name": "slanted"}, "there is a direction 'slanted' already"),
        ({"name": "nowhere", "without": names[:2]}, "there is no direction between them"),
        ({"name": "../up"}, "'../up' cannot be the name of a direction"),
        ({"name": ""}, "'' cannot be the name"),
        ({"name": "x", "without": []}, "piles of 2 and 0 pictures"),
        ({"with": "all"}, "with is no list of pictures"),
        ({"with": ["nothing"]}, "no longer kept here"),
    ):
        answered = client.post("/api/directions", json=asked | wrong)
        assert answered.status_code == 400
        assert message in answered.json()["error"]
    assert [f.name for f in (run / "directions").iterdir()] == ["slanted.safetensors"]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_pictures_of_every_form_are_brought_to_the_model(form: str, client: TestClient) -> None:
    name = client.post("/api/pictures", content=picture_file((40, 30), form)).json()["picture"]
    shown = Image.open(io.BytesIO(client.get(f"/api/pictures/{name}.png").content))
    assert shown.size == (8, 8)
    assert shown.mode == "L"
    again = client.post("/api/pictures", content=picture_file((40, 30), form)).json()["picture"]
    assert again == name


def test_exported_pictures_are_the_same_pictures(client: TestClient, tmp_path: Path) -> None:
    from genae.data.sources import open_data

    uploaded = client.post("/api/pictures", content=picture_file((16, 16))).json()["picture"]
    names = [*some(client, 2), uploaded]
    content = client.post("/api/export/pictures", json={"operation": "reconstruct", "pictures": names}).content
    (tmp_path / "pictures.zip").write_bytes(content)
    data = open_data(str(tmp_path / "pictures.zip"), size=(8, 8), channels=1)
    for pixels, name in zip(data.pixels, names, strict=True):
        shown = np.array(Image.open(io.BytesIO(client.get(f"/api/pictures/{name}.png").content)))
        assert np.array_equal(pixels[0].numpy(), shown)


def test_hostile_uploads(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
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
        (b"", 400, "this is no picture"),
        (b"GIF89a", 400, "this is no picture"),
        (b"%PDF-1.7 nothing", 400, "this is no picture"),
        (vector, 400, "this is no picture"),
        (archive.getvalue(), 400, "this is no picture"),
        (picture_file((64, 64))[:300], 400, "the picture is damaged"),
        (bomb.getvalue(), 400, "this is no picture"),  # Pillow's own limit
        (large.getvalue(), 400, "the picture has 8000 x 8000 pixels; expected at most 50,000,000 in all"),
        (b"x" * (pictures_module.MOST_BYTES + 1), 413, "more than 20 MB were sent"),
    ):
        answered = client.post("/api/pictures", content=content)
        assert answered.status_code == status
        with pytest.raises(GenaeError, match=message):
            raise GenaeError(answered.json()["error"])


def test_pictures_that_take_too_much_room_are_forgotten(run: Path) -> None:
    kept = Pictures(load(run), kept=10 * 64)
    images = torch.rand(15, 1, 8, 8) * 2 - 1
    names = kept.add(images)
    assert torch.allclose(kept.images(names[5:]), images[5:], atol=1 / 127)
    with pytest.raises(GenaeError, match="no longer kept here"):
        kept.images(names[:1])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/answer", b"not json", 400),
        ("/api/answer", b"[1]", 400),
        ("/api/answer", b"[" * 100_000, 400),
        ("/api/answer", b" " * 1_100_000, 413),
        ("/api/answer", b'{"operation": "reconstruct", "pictures": [1]}', 400),
        ("/api/answer", b'{"operation": "reconstruct", "pictures": ["../../etc/passwd"]}', 400),
        ("/api/answer", b'{"operation": "reconstruct", "settings": 3}', 400),
        ("/api/answer", b'{"operation": "edit", "settings": 3}', 400),
        ("/api/answer", b'{"operation": "edit", "settings": {"amounts": [[]], "direction": []}}', 200),
        ("/api/export/everything", b'{"operation": "sample"}', 404),
        ("/api/export/codes", b'{"operation": "reconstruct"}', 400),
        ("/api/export/figure", b'{"operation": "sample", "settings": {"count": 100000}}', 400),
        ("/api/map/place", b'{"x": "here", "y": 0}', 400),
        ("/api/answer", b'{"operation": "sample", "settings": {"count": 0}}', 200),
        ("/api/export/figure", b'{"operation": "sample", "settings": {"count": -5}}', 400),
        (
            "/api/export/figure",
            b'{"operation": "interpolate", "settings": {"pairs": [%s]}}' % b",".join([b"0"] * 1002),
            400,
        ),
        ("/api/export/command", b'{"operation": "reconstruct"}', 400),
        ("/api/export/command", b'{"operation": "interpolate"}', 400),
        ("/api/data/keep", b'{"images": [-1]}', 400),
        ("/api/data/keep", b'{"images": [100000]}', 400),
        ("/api/data/keep", b'{"images": "all"}', 400),
    ],
)
def test_hostile_requests(path: str, body: bytes, status: int, client: TestClient) -> None:
    answered = client.post(path, content=body)
    assert answered.status_code == status
    assert answered.json()["error"]


def test_many_pictures_at_once_are_refused(client: TestClient) -> None:
    asked = {"operation": "reconstruct", "pictures": some(client, 1) * 401}
    assert "401 pictures were given; expected at most 400" in client.post("/api/answer", json=asked).json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "/panels/../../render.py",
        "/api/pictures/..%2fx.png",
    ],
)
def test_paths_do_not_lead_out_of_the_page(path: str, client: TestClient) -> None:
    answered = client.get(path)
    assert answered.status_code in (400, 404)
    assert b"import" not in answered.content


def test_slow_work_does_not_keep_pictures_waiting(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    learning, go_on = Event(), Event()
    learn = Renderer.learned

    def slowly(*arguments: Any) -> torch.Tensor:
        learning.set()
        assert go_on.wait(60)
        return learn(*arguments)

    monkeypatch.setattr(Renderer, "learned", slowly)
    with client_of(run) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/api/prepare", json={"direction": "5"})
        assert learning.wait(60)
        answered = client.post("/api/answer", json={"operation": "sample", "settings": {"count": 1}})
        assert answered.status_code == 200
        assert not waiting.done()
        go_on.set()
        assert waiting.result(60).status_code == 200
    answered = client_of(run).post("/api/prepare", json={"direction": "eleven"})
    assert answered.status_code == 400


def test_only_the_page_itself_is_answered(run: Path, client: TestClient) -> None:
    asked = {"operation": "sample", "settings": {"count": 1}}
    assert client.post("/api/answer", json=asked).status_code == 200
    assert client.post("/api/answer", json=asked, headers={"X-Genae": ""}).status_code == 403
    assert client.get("/api/model", headers={"Host": "evil.example:8765"}).status_code == 403
    assert client.get("/api/model", headers={"Host": "[::1"}).status_code == 403
    assert client.get("/api/data", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200, "a link to the page"
    assert client.get("/api/data?start=abc").json() == {"error": "the address is not one of the explorer's"}
    assert client.get("/api/model", headers={"Host": "localhost:9000"}).status_code == 200, "a tunnel's other port"
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy


def test_elsewhere_the_token_is_asked_for(run: Path) -> None:
    client = client_of(run, host="0.0.0.0", token="secret")
    for path in ("/", "/api/model", "/app.js", "/api/model?token=wrong", "/api/model?token=%C3%A4"):
        assert client.get(path).status_code == 403, path
    assert client.post("/api/pictures", content=picture_file()).status_code == 403
    assert client.get("/?token=secret").status_code == 200
    assert client.get("/api/model").status_code == 200, "the cookie bears it now"
    cookie = client_of(run, host="0.0.0.0", token="secret").get("/?token=secret").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_two_explorers_on_one_machine_keep_their_tokens_apart(run: Path) -> None:
    cookies = [
        client_of(run, host="0.0.0.0", token=token).get(f"/?token={token}").headers["set-cookie"].partition("=")[0]
        for token in ("one", "other")
    ]
    assert cookies[0] != cookies[1]


def test_a_folder_that_cannot_be_written_is_said(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    shutil.rmtree(copy / "codes", ignore_errors=True)
    (copy / "codes").write_text("a file where a folder should be")
    answered = client_of(copy).post("/api/prepare", json={"detector": True})
    assert answered.status_code == 500
    assert "File exists" in answered.json()["error"] or "Not a directory" in answered.json()["error"]


def test_the_data_root_is_in_the_command_lines_that_need_it(run: Path) -> None:
    client = client_of(run, data_root="my data")
    for name, settings, needs in (
        ("edit", {"amounts": {"3": 1}}, True),
        ("anomaly", {}, True),
        ("reconstruct", {}, False),
    ):
        asked = {"operation": name, "pictures": some(client, 1), "settings": settings}
        (line,) = client.post("/api/export/command", json=asked).json()["commands"]
        assert ("--data-root 'my data'" in line) == needs
    assert "--data-root 'my data'" in client.post("/api/export/map/command", json={}).json()["commands"][0]


def test_ctrl_c_ends_it_at_once_even_while_it_works(run: Path, tmp_path: Path) -> None:
    import signal
    import socket
    import subprocess
    import sys
    import time

    import httpx

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A direction that takes a minute to learn.
    slowed = (
        "import sys, time; from genae.operations.render import Renderer; from genae.cli import main; "
        "Renderer.learned = lambda *_: time.sleep(60); sys.argv[0] = 'genae'; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slowed, "explore", str(run), "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "http://127.0.0.1" in process.stdout.readline()
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"http://127.0.0.1:{port}/api/prepare", json={"direction": "3"}, headers=OWN, timeout=3)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start < 10
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_port_in_use_is_one_sentence(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert genae("explore", run, "--port", str(port), monkeypatch=monkeypatch) == 2
    assert f"cannot listen at 127.0.0.1, port {port}" in capsys.readouterr().err


def test_strange_images_are_found(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(run)
    data = model.open_data()
    detector = Detector.learn(model, data, run)
    held_out = detector.judge(data.images(data.split("validation")))
    assert float(held_out.anomalous.double().mean()) <= 0.02
    test = detector.judge(data.images(data.split("test")))
    noise = detector.judge(torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    assert float(noise.anomalous.double().mean()) > 0.9
    assert float(test.anomalous.double().mean()) < 0.1
    assert noise.heat.shape == (64, 1, 8, 8)
    assert float(noise.heat.mean()) > float(test.heat.mean())
    kept = Detector.learn(model, data, run)
    assert torch.equal(kept.judge(data.images(data.split("test")[:9])).score, test.score[:9]), "found again in the run"

    # rarity is scikit-learn's Mahalanobis distance
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(model.encode(data.images(data.split("train"))).double().numpy())
    expected = fitted.mahalanobis(model.encode(data.images(data.split("test"))).double().numpy())
    assert np.allclose(test.rarity.numpy(), expected, rtol=1e-6)

    monkeypatch.chdir(tmp_path)
    np.save("noise.npy", (torch.rand(20, 8, 8) * 255).byte().numpy())
    assert genae("anomaly", run, "--data", "noise.npy", "--out", "t.csv", monkeypatch=monkeypatch) == 0
    assert "of 20 images are above the threshold" in capsys.readouterr().out
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "image,name,score,error,rarity,anomalous"
    assert len(lines) == 21
    assert genae("anomaly", run, "--count", "3", monkeypatch=monkeypatch) == 0
    assert Image.open(tmp_path / "anomalies.png").width > 150


def test_a_page_without_a_server(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert genae("explore", run, "--export", tmp_path / "page", monkeypatch=monkeypatch) == 0
    page = (tmp_path / "page" / "index.html").read_text()
    data = json.loads(page.partition("const data = ")[2].partition(";\n")[0])
    assert len(data["square"]) == data["side"] ** 2
    assert "http" not in page.replace("http-equiv", "")
    model = load(run)
    images = model.open_data().images(model.open_data().split("test")[:4])
    import base64

    first = Image.open(io.BytesIO(base64.b64decode(data["square"][0].partition(",")[2])))
    assert np.allclose(np.array(first), (model.reconstruct(images)[0, 0] + 1) * 127.5, atol=1)


def test_every_operation_has_a_command() -> None:
    for name in OPERATIONS:
        arguments = operation(name, {"amounts": {"3": 1}} if name == "edit" else {}).command(4)
        assert arguments[0] in ("reconstruct", "sample", "interpolate", "edit", "mix", "parts", "anomaly")
