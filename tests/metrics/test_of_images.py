"""Images of any origin against reference images."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genae import api
from genae.data.sources import open_data
from genae.data.stream import open_stream
from genae.errors import GenaeError
from genae.metrics.frechet import moments
from tests.reading import pixels_of


def measure(images: Path | str, reference: Path | str, **options: Any) -> dict[str, float]:
    settings = {"networks": ["pixels"], "metrics": ["fd", "prdc"]} | options
    records = api.evaluate_images(open_stream(str(images)), open_stream(str(reference)), **settings)
    return {r["metric"]: r["value"] for r in records if r["of"] == str(images)}


def test_a_folder_of_images_against_a_folder_of_images(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    a, b = pictures(tmp_path / "a", 40), pictures(tmp_path / "b", 30, seed=1)
    rows = [
        torch.tensor(np.stack([np.array(Image.open(f)) for f in sorted(folder.iterdir())])).permute(0, 3, 1, 2)
        for folder in (a, b)
    ]
    expected = [moments(r.flatten(1).double() / 127.5 - 1) for r in rows]
    found = measure(a, b)
    assert found["fd40-pixels"] == pytest.approx(expected[0].distance(expected[1]), rel=1e-6)
    assert found["coverage40-pixels"] > 0.5
    same = measure(a, a)
    assert same["fd40-pixels"] == pytest.approx(0, abs=1e-9)
    assert (same["precision40-pixels"], same["recall40-pixels"]) == (1, 1)


def test_pairs_are_images_of_the_same_name(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    a, b = pictures(tmp_path / "a", 6), pictures(tmp_path / "b", 6, seed=1)
    (b / "000.png").rename(b / "zzz.png")
    (a / "000.png").rename(a / "zzz.png")
    found = measure(a, b, metrics=["mse", "psnr"])
    arrays = [np.stack([np.array(Image.open(f), float) for f in sorted(folder.iterdir())]) for folder in (a, b)]
    assert found["mse"] == pytest.approx(((arrays[0] - arrays[1]) ** 2).mean() / 127.5**2, rel=1e-6)
    (a / "zzz.png").rename(a / "yyy.png")
    with pytest.raises(GenaeError, match=r"'yyy' of .* has no partner in .* \(1 of 6\)"):
        measure(a, b, metrics=["mse"])


def test_lpips_and_ms_ssim_of_pairs(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    a, b = pictures(tmp_path / "a", 2, (180, 176)), pictures(tmp_path / "b", 2, (180, 176), seed=1)
    from genae.metrics.lpips import Lpips

    torch.manual_seed(0)
    network = Lpips()
    torch.save({f"features.{k}": torch.randn_like(v) * 0.05 for k, v in network.features.state_dict().items()},
               tmp_path / "vgg.pth")  # fmt: skip
    torch.save(
        {f"lin{i}.model.1.weight": torch.ones_like(w) for i, w in enumerate(network.weights)}, tmp_path / "l.pth"
    )
    files = {"vgg16": tmp_path / "vgg.pth", "lpips": tmp_path / "l.pth"}
    far = measure(a, b, metrics=["lpips", "ms_ssim"], weights=files)
    near = measure(a, a, metrics=["lpips", "ms_ssim"], weights=files)
    assert near["lpips-other-weights"] == 0 < far["lpips-other-weights"]
    assert near["ms_ssim"] == pytest.approx(1)
    assert far["ms_ssim"] < 0.9


def faulty(tmp_path: Path, kind: str, pictures: Callable[..., Path]) -> Path:
    folder = tmp_path / kind
    folder.mkdir()
    if kind == "one":
        Image.new("RGB", (16, 12)).save(folder / "a.png")
    elif kind == "mixed":
        for side in (8, 9):
            Image.new("RGB", (side, 8)).save(folder / f"{side}.png")
    elif kind == "channels":
        for mode in ("RGB", "L"):
            Image.new(mode, (16, 12)).save(folder / f"{mode}.png")
    elif kind in ("text", "cut"):
        pictures(folder / "in", 2)
        data = (folder / "in" / "000.png").read_bytes()
        (folder / "in" / "000.png").write_bytes(data[:-30] if kind == "cut" else b"hello")
    elif kind == "float":
        Image.fromarray(np.zeros((12, 16), np.float32)).save(folder / "a.tiff")
        Image.fromarray(np.zeros((12, 16), np.float32)).save(folder / "b.tiff")
    elif kind == "crc":
        pictures(folder / "in", 3)
        with zipfile.ZipFile(tmp_path / "crc.zip", "w") as archive:
            for file in (folder / "in").iterdir():
                archive.write(file, file.name)
        folder = tmp_path / "crc.zip"
        data = bytearray(folder.read_bytes())
        data[80] ^= 255
        folder.write_bytes(bytes(data))
    elif kind == "integers":
        for name in "ab":
            Image.fromarray(np.full((12, 16), 70000, np.int32)).save(folder / f"{name}.tiff")
    elif kind == "unknown range":
        folder = tmp_path / "unknown.npy"
        np.save(folder, np.random.default_rng(0).uniform(3, 250, (9, 12, 16, 3)).astype(np.float32))
    elif kind == "nan":
        folder = tmp_path / "nan.npy"
        array = np.random.default_rng(0).random((9, 12, 16, 3))
        array[4] = np.nan
        np.save(folder, array)
    return folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "holds no images; expected files ending in"),
        ("one", "has 1 image; fd: expected at least 2 on either side"),
        ("mixed", "holds images of 2 sizes (most often 8x8); choose one with --size"),
        ("channels", "mixes channel counts (1 with 1, 1 with 3); choose one with --channels"),
        ("text", "unreadable: in/000.png"),
        ("cut", "unreadable: in/000.png"),
        ("float", "holds floats; expected 8 or 16 bits"),
        ("crc", "unreadable: 000.png (Bad CRC-32 for file"),
        ("integers", "it holds 32-bit integers, whose white is not known"),
        ("unknown range", "say with --value-range LOW,HIGH which values are black and white"),
        ("nan", "1 images hold NaN or infinite values (the first is number 4)"),
    ],
)
def test_bad_images_are_refused_in_one_sentence(
    kind: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pictures: Callable[..., Path],
    genae: Callable[..., int],
) -> None:
    bad = faulty(tmp_path, kind, pictures)
    good = bad if kind == "float" else pictures(tmp_path / "good", 8)
    arguments = ["--network", "pixels", "--metrics", "fd", "--out", tmp_path / "m.jsonl"]
    assert genae("evaluate", bad, "--data", good, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    lines = [line for line in error.splitlines() if not line.endswith(" ...")]  # what is being done
    assert len(lines) == 1
    assert lines[0].startswith("genae: error: ")
    assert genae("evaluate", good, "--data", bad, *arguments) == 2
    assert not (tmp_path / "m.jsonl").exists()


def test_a_classifier_judges_images_of_labelled_data(tmp_path: Path) -> None:
    data = open_data("digits")
    some = data.split("test")
    np.save(tmp_path / "digits.npy", pixels_of(data)[some].numpy())
    found = api.evaluate_images(
        open_stream(str(tmp_path / "digits.npy")), open_stream("digits"), labelled=lambda: data,
        metrics=["icp", "fd"], networks=["classifier"],
    )  # fmt: skip
    score = next(r for r in found if r["metric"] == f"icp{len(some)}-1split")
    assert score["value"] > 8
    assert score["fingerprint"]["network"] == "classifier-digits-8x8"


def test_pairs_that_are_ambiguous_are_refused(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    a = pictures(tmp_path / "a", 4)
    np.save(tmp_path / "a.npy", np.stack([np.array(Image.open(f)) for f in sorted(a.iterdir())]))
    assert measure(tmp_path / "a.npy", tmp_path / "a.npy", metrics=["mse"], samples=2) == {"mse": 0}
    with pytest.raises(GenaeError, match="has file names, the other has none"):
        measure(a, tmp_path / "a.npy", metrics=["mse"])
    Image.open(a / "001.png").save(a / "000.bmp")
    with pytest.raises(GenaeError, match="has two files named '000'"):
        measure(a, a, metrics=["mse"])


def test_two_networks_of_one_name_do_not_share_a_column(tmp_path: Path, pictures: Callable[..., Path]) -> None:
    import timm
    from torchvision import models

    a, b = pictures(tmp_path / "a", 8), pictures(tmp_path / "b", 8, seed=1)
    torch.manual_seed(0)
    torch.save(models.resnet18(weights=None).state_dict(), tmp_path / "tv.pth")
    torch.save(timm.create_model("resnet18", pretrained=False).state_dict(), tmp_path / "timm.pth")
    names = ["torchvision:resnet18", "timm:resnet18"]
    files = dict(zip(names, (tmp_path / "tv.pth", tmp_path / "timm.pth"), strict=True))
    found = measure(a, b, metrics=["fd"], networks=names, weights=files)
    assert set(found) == {"fd8-torchvision-resnet18", "fd8-timm-resnet18"}


def test_nearest_of_images_is_their_distance_to_the_reference(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    reference = rng.integers(50, 200, (30, 6, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "reference.npy", reference)
    np.save(tmp_path / "same.npy", reference[::-1].copy())
    np.save(tmp_path / "near.npy", reference + 3)  # each 8-bit value 3 away: 3 / 127.5 in [-1, 1]
    (same,) = measure(tmp_path / "same.npy", tmp_path / "reference.npy", metrics=["nearest"]).values()
    near = measure(tmp_path / "near.npy", tmp_path / "reference.npy", metrics=["nearest"])
    assert same == 0
    assert near == {"nearest30": pytest.approx(3 / 127.5)}
