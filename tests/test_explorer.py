"""The explorer: answers, figures that are the command line's, hostile requests, and the page in a real browser."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import genae

from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError
from genae.metrics.reconstruction import mse
from genae.model import load
from genae.operations.anomaly import Detector
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


def test_every_operation_has_a_command() -> None:
    for name in OPERATIONS:
        arguments = operation(name, {"amounts": {"3": 1}} if name == "edit" else {}).command(4)
        assert arguments[0] in ("reconstruct", "sample", "interpolate", "edit", "mix", "parts", "anomaly")
