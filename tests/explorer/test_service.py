"""The page and the command line: the same bytes, the same directions, the same map."""

import io
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from genae.explorer.tray import Tray
from genae.model import load
from genae.operations import Session
from genae.operations.atlas import Atlas
from genae.operations.map import class_colour


@pytest.fixture
def repeat(genae: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """``repeat(client, request, animation=False)``: run the page's command line; the bytes of its file."""
    monkeypatch.chdir(tmp_path)

    def run(client: TestClient, request: dict[str, Any], animation: bool = False) -> bytes:
        commands = client.post("/api/export/command", json=request).json()["commands"]
        command = shlex.split(commands[animation])
        assert genae(*command[1:]) == 0
        return (tmp_path / command[-1]).read_bytes()

    return run


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
        ("transport", 3, {"source": "3", "target": "8", "strengths": [0.5]}, "figure"),
        ("anomaly", 3, {"likelihood": "normal"}, "figure"),
    ],
)
def test_the_command_line_writes_the_same_bytes(
    name: str, count: int, settings: dict[str, Any], kind: str, client: TestClient, take: Callable[..., list[str]],
    repeat: Callable[..., bytes], tmp_path: Path,
) -> None:  # fmt: skip
    request = {"operation": name, "pictures": take(client, count) if count else [], "settings": settings}
    for one in request["pictures"]:  # on the page they come one by one: what is remembered must not show
        client.post("/api/answer", json={"operation": "reconstruct", "pictures": [one]})
    page = client.post(f"/api/export/{kind}", json=request)
    assert page.status_code == 200, page.text
    (tmp_path / "pictures.zip").write_bytes(client.post("/api/export/pictures", json=request).content)
    assert repeat(client, request, animation=kind == "animation") == page.content


@pytest.mark.parametrize(
    ("name", "settings"), [("parts", {}), ("parts", {"parts": [1]}), ("swap", {}), ("swap", {"from_part": 1})]
)
def test_the_command_line_writes_the_same_parts(
    name: str, settings: dict[str, Any], parted: Path, client_of: Callable[..., TestClient],
    take: Callable[..., list[str]], repeat: Callable[..., bytes], tmp_path: Path,
) -> None:  # fmt: skip
    client = client_of(parted)
    request = {"operation": name, "pictures": take(client, 2), "settings": settings}
    (tmp_path / "pictures.zip").write_bytes(client.post("/api/export/pictures", json=request).content)
    assert repeat(client, request) == client.post("/api/export/figure", json=request).content


@pytest.mark.parametrize("given", [["7"], ["3", "8"], ["all"]])
def test_the_command_line_writes_the_same_samples_of_classes(
    given: list[str], told: Path, client_of: Callable[..., TestClient], repeat: Callable[..., bytes]
) -> None:
    client = client_of(told)
    request = {"operation": "sample", "settings": {"prior": "gaussian", "count": 3, "seed": 1, "given": given}}
    assert repeat(client, request) == client.post("/api/export/figure", json=request).content
    described = client.get("/api/model").json()
    assert described["classes"] == {"normal": [], "gaussian": list("0123456789"), "plain": []}
    assert described["guided"] == []


def test_map_of_the_data(
    run: Path, client: TestClient, genae: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"split": "test", "count": 60, "method": "pca"}
    request = {"operation": "map", "settings": settings}
    dots = client.post("/api/answer", json=request).json()["numbers"]
    assert len(dots["x"]) == len(dots["images"]) == len(dots["errors"]) == 60
    assert set(dots["labels"]) <= set("0123456789")
    numbers = {name: number for number, name in enumerate(load(run).open_data().classes)}
    assert [one["name"] for one in dots["classes"]] == sorted(set(dots["labels"]), key=numbers.__getitem__)
    for one in dots["classes"]:
        assert one["colour"] == class_colour(numbers[one["name"]]), "as in the figure"
    model = load(run)
    data = model.open_data()
    atlas = Atlas(model, data, "test", 60)
    centred = atlas.codes.double() - atlas.codes.double().mean(0)
    spread = torch.linalg.svdvals(centred)[:2].square()
    assert torch.allclose(atlas.places.square().sum(0), spread, rtol=1e-4)
    place = atlas.places[7]
    assert torch.allclose(atlas.code_at(*place.tolist()), atlas.codes[7:8], atol=1e-2)
    answer = client.post("/api/map/place", json={"settings": settings, "x": 0.1, "y": 0.2}).json()
    assert answer["images"]["place"][0].startswith("data:image/png")

    by_error = {"operation": "map", "settings": {**settings, "colour": "error"}}
    command = shlex.split(client.post("/api/export/command", json=by_error).json()["commands"][0])
    monkeypatch.chdir(tmp_path)
    assert genae(*command[1:]) == 0
    figure = client.post("/api/export/figure", json=by_error).content
    assert (tmp_path / "map.png").read_bytes() == figure
    drawn = Image.open(io.BytesIO(client.post("/api/export/figure", json=request).content)).convert("RGB")
    pixels = np.array(drawn).reshape(-1, 3).astype(int)
    for one in dots["classes"]:  # dots are drawn with an opacity of 0.8 on white
        colour = [0.8 * int(one["colour"][i : i + 2], 16) + 0.2 * 255 for i in (1, 3, 5)]
        assert (np.abs(pixels - colour).max(1) <= 2).any(), one
    assert genae("map", run, "--count", "60", "--out", "map.npz") == 0
    assert np.load(tmp_path / "map.npz")["places"].shape == (60, 2)
    for wrong, message in (({"method": "tsne"}, "method is 'tsne'"), ({"split": "../x"}, "split is '../x'"),
                           ({"count": "many"}, "count is 'many'")):  # fmt: skip
        answered = client.post("/api/answer", json=request | {"settings": settings | wrong})
        assert answered.status_code == 400
        assert message in answered.json()["error"]


def test_two_piles_make_a_direction_that_the_command_line_knows(
    run: Path,
    client: TestClient,
    take: Callable[..., list[str]],
    genae: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = take(client, 6)
    request = {"name": " slanted ", "with": names[:2], "without": names[2:]}
    saved = client.post("/api/directions", json=request)
    assert saved.json()["directions"] == ["slanted"]
    model = load(run)
    stored = Tray(model)
    session = Session(model, run)
    images = session.data.images(session.data.split("test"))
    assert stored.add(images)
    codes = model.encode(stored.images(names))
    expected = codes[:2].mean(0) - codes[2:].mean(0)
    assert torch.allclose(session.direction("slanted"), expected, atol=1e-5)
    assert client.get("/api/model").json()["saved"] == ["slanted"]
    monkeypatch.chdir(tmp_path)
    assert genae("edit", run, "--attribute", "slanted", "--count", "2") == 0
    assert (tmp_path / "edit.png").exists()
    for wrong, message in (
        ({"name": "3"}, "there is a direction '3' already"),
        ({"name": "slanted"}, "there is a direction 'slanted' already"),
        ({"name": "nowhere", "without": names[:2]}, "there is no direction between them"),
        ({"name": "../up"}, "'../up' cannot be the name of a direction"),
        ({"name": "Nul"}, "no file can be called 'Nul' on Windows"),
        ({"name": ""}, "'' cannot be the name"),
        ({"name": "x", "without": []}, "piles of 2 and 0 pictures"),
        ({"with": "all"}, "with is not a list of pictures"),
        ({"with": ["nothing"]}, "no longer kept here"),
    ):
        answered = client.post("/api/directions", json=request | wrong)
        assert answered.status_code == 400
        assert message in answered.json()["error"]
    assert [f.name for f in (run / "directions").iterdir()] == ["slanted.safetensors"]


def test_the_data_root_is_in_the_command_lines_that_need_it(
    run: Path, client_of: Callable[..., TestClient], take: Callable[..., list[str]]
) -> None:
    client = client_of(run, data_root="my data")
    for name, settings, needs in (
        ("edit", {"amounts": {"3": 1}}, True),
        ("anomaly", {}, True),
        ("transport", {"source": "3", "target": "8"}, True),
        ("reconstruct", {}, False),
    ):
        request = {"operation": name, "pictures": take(client, 1), "settings": settings}
        (line,) = client.post("/api/export/command", json=request).json()["commands"]
        assert ("--data-root 'my data'" in line) == needs
    assert (
        "--data-root 'my data'" in client.post("/api/export/command", json={"operation": "map"}).json()["commands"][0]
    )
