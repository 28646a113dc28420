"""Evaluation of images and runs: streams, references, fingerprints, tables, several processes."""

import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import random_batches, tiny_model, tiny_options
from PIL import Image

from genae import api, cli
from genae.data.sources import ImageData, open_data
from genae.data.stream import open_stream, stream_of
from genae.errors import GenaeError
from genae.metrics import METRICS, explain, kind_of
from genae.metrics.encoder_features import layers
from genae.metrics.features import FeatureNetwork
from genae.metrics.frechet import moments
from genae.model import load
from genae.progress import silent
from genae.protocol import Part
from genae.reports import tables
from genae.storage import read_lines
from genae.training.config import Config
from genae.training.start import train


def pictures(folder: Path, count: int, size: tuple[int, int] = (12, 16), seed: int = 0, ending: str = "png") -> Path:
    """Smooth random colour pictures."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8))
        picture = coarse.resize(size[::-1], Image.Resampling.BICUBIC)
        picture.save(folder / f"{i:03d}.{ending}", **({"quality": 50} if ending == "jpg" else {}))
    return folder


def measure(images: Path | str, reference: Path | str, **options: Any) -> dict[str, float]:
    settings = {"networks": ["pixels"], "metrics": ["fd", "prdc"]} | options
    records = api.evaluate_images(open_stream(str(images)), open_stream(str(reference)), **settings)
    return {r["metric"]: r["value"] for r in records if r["of"] == str(images)}


def genae(*arguments: object) -> int:
    """Run the command line in this process; its exit status."""
    old = sys.argv
    sys.argv = ["genae", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as exit:
        return int(exit.code or 0)
    finally:
        sys.argv = old
    return 0


def test_a_folder_of_images_against_a_folder_of_images(tmp_path: Path) -> None:
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


def test_every_kind_of_source_gives_the_same_stream(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "a", 12)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"inside/{file.name}")
    array = np.stack([np.array(Image.open(file)) for file in sorted(folder.iterdir())])
    np.save(tmp_path / "a.npy", array)
    streams = [open_stream(str(tmp_path / name)) for name in ("a", "a.zip", "a.npy")]
    part = torch.tensor([3, 0, 11])
    for stream in streams:
        assert stream.image_shape == (3, 12, 16)
        assert torch.equal(stream.read(part), torch.from_numpy(array)[part].permute(0, 3, 1, 2))
        assert (stream.format, stream.resize) == ("lossless", "none")
    assert streams[0].digest == streams[1].digest
    (folder / "000.png").write_bytes((folder / "001.png").read_bytes())
    assert open_stream(str(folder)).digest != streams[0].digest


def test_streams_of_deep_turned_and_indexed_pictures(tmp_path: Path) -> None:
    deep = np.arange(6, dtype=np.uint16).reshape(2, 3) * 10000
    (tmp_path / "deep").mkdir()
    Image.fromarray(deep).save(tmp_path / "deep" / "a.png")
    values = open_stream(str(tmp_path / "deep")).read(torch.tensor([0]))
    assert values.flatten().tolist() == [round(v / 257) for v in deep.flatten().tolist()]
    (tmp_path / "turned").mkdir()
    picture = Image.fromarray(np.zeros((4, 8, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.save(tmp_path / "turned" / "a.jpg", exif=exif)
    assert open_stream(str(tmp_path / "turned")).image_shape == (3, 8, 4)
    (tmp_path / "indexed").mkdir()
    picture.convert("P").save(tmp_path / "indexed" / "a.png")
    assert open_stream(str(tmp_path / "indexed")).image_shape == (3, 4, 8)


def test_splits_sizes_and_channels_of_a_stream(tmp_path: Path) -> None:
    pictures(tmp_path / "data" / "train", 5)
    pictures(tmp_path / "data" / "val", 3, seed=1)
    source = str(tmp_path / "data")
    assert len(open_stream(source)) == 8
    assert len(open_stream(source, split="validation")) == 3
    with pytest.raises(GenaeError, match="has no split 'test'; expected one of all, train, validation"):
        open_stream(source, split="test")
    small = open_stream(source, size="6x8", fit="stretch", channels=1)
    assert small.image_shape == (1, 6, 8)
    assert small.read(torch.tensor([0, 7])).shape == (2, 1, 6, 8)
    assert small.resize == "bicubic-antialias stretch 6x8"


def test_pairs_are_images_of_the_same_name(tmp_path: Path) -> None:
    a, b = pictures(tmp_path / "a", 6), pictures(tmp_path / "b", 6, seed=1)
    (b / "000.png").rename(b / "zzz.png")
    (a / "000.png").rename(a / "zzz.png")
    found = measure(a, b, metrics=["mse", "psnr"])
    arrays = [np.stack([np.array(Image.open(f), float) for f in sorted(folder.iterdir())]) for folder in (a, b)]
    assert found["mse"] == pytest.approx(((arrays[0] - arrays[1]) ** 2).mean() / 127.5**2, rel=1e-6)
    (a / "zzz.png").rename(a / "yyy.png")
    with pytest.raises(GenaeError, match=r"'yyy' of .* has no partner in .* \(1 of 6\)"):
        measure(a, b, metrics=["mse"])


def test_lpips_and_ms_ssim_of_pairs(tmp_path: Path) -> None:
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


def test_reference_statistics_are_cached_by_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cache"))
    a, b = pictures(tmp_path / "a", 20), pictures(tmp_path / "b", 25, seed=1)
    seen: list[int] = []
    plain = FeatureNetwork.__call__

    def counting(self: FeatureNetwork, images: torch.Tensor) -> Any:
        seen.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(FeatureNetwork, "__call__", counting)
    first = measure(a, b)
    assert sum(seen) == 45
    assert measure(a, b) == first
    assert sum(seen) == 45 + 20, "the reference is not read again"
    measure(a, b, metrics=["fd"])
    assert sum(seen) == 45 + 40
    (b / "000.png").unlink()
    assert measure(a, b) != first
    assert sum(seen) == 45 + 40 + 44, "other images, other fingerprint"
    for file in (tmp_path / "cache" / "references").iterdir():
        file.write_bytes(file.read_bytes()[:-10])
    measure(a, b)
    assert sum(seen) == 45 + 40 + 44 * 2, "a damaged file is made again"


def test_what_differs_between_the_sides_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = pictures(tmp_path / "a", 20, ending="jpg"), pictures(tmp_path / "b", 20)
    big = pictures(tmp_path / "big", 20, (24, 32))
    command = ["--network", "pixels", "--metrics", "fd", "--out", tmp_path / "m.jsonl"]
    assert genae("evaluate", a, "--data", b, *command) == 0
    shown = capsys.readouterr()
    assert f"the format of the images is jpeg-q50, that of {b} is lossless" in shown.err
    assert "note" not in shown.out, "a table can be piped"
    assert genae("evaluate", big, "--data", b, *command, "--size", "12x16") == 0
    assert "the resize of the images is bicubic-antialias crop 12x16, that of" in capsys.readouterr().err
    assert genae("evaluate", b, "--data", b, *command) == 0
    assert "note:" not in capsys.readouterr().err
    records = read_lines(tmp_path / "m.jsonl", "fingerprint")
    assert [r["fingerprint"]["images_format"] for r in records] == ["jpeg-q50", "lossless", "lossless"]
    assert genae("compare", tmp_path / "m.jsonl") == 0


def test_jpeg_files_are_named_by_runs_too(tmp_path: Path) -> None:
    data = open_data(str(pictures(tmp_path / "a", 8, ending="jpg")))
    assert data.format == "jpeg-q50"
    assert stream_of(data, torch.arange(3)).format == "jpeg-q50"


def faulty(tmp_path: Path, kind: str) -> Path:
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
        ("mixed", "holds images of 2 sizes (8x8, 8x9); choose one with --size"),
        ("channels", "mixes channel counts ([1, 3]); choose one with --channels"),
        ("text", "000.png in"),
        ("cut", "000.png in"),
        ("float", "holds floats; expected 8 or 16 bits"),
        ("crc", "is unreadable (Bad CRC-32 for file"),
        ("integers", "it holds 32-bit integers, whose white is not known"),
        ("unknown range", "say with --value-range LOW,HIGH which values are black and white"),
        ("nan", "1 images hold NaN or infinite values (the first is number 4)"),
    ],
)
def test_bad_images_are_refused_in_one_sentence(
    kind: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = faulty(tmp_path, kind)
    good = bad if kind == "float" else pictures(tmp_path / "good", 8)
    arguments = ["--network", "pixels", "--metrics", "fd", "--out", tmp_path / "m.jsonl"]
    assert genae("evaluate", bad, "--data", good, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("genae: error: ")
    assert error.count("\n") == 1
    assert genae("evaluate", good, "--data", bad, *arguments) == 2
    assert not (tmp_path / "m.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("GOOD", "is not a run; images need --data SOURCE"),
        ("GOOD --data GOOD --metrics fidd", "there is no metric 'fidd'; did you mean 'fid'"),
        ("GOOD --data GOOD --weights nowhere.pth", "there is no weight file nowhere.pth"),
        ("GOOD --data GOOD --metrics lpips --weights GOOD", "does not say which network it is for; expected vgg16="),
        ("GOOD --data GOOD --weights resnet=x", "'resnet' is not used here; expected one of inception"),
        ("GOOD --data GOOD --metrics ms_ssim", "ms_ssim needs images of at least 176 pixels a side"),
        ("GOOD --data SMALL --network pixels --metrics fd", "bring both to one size with --size"),
        ("GOOD --data SMALL --metrics mse", "bring both to one size with --size"),
        ("GOOD --data GOOD --metrics icp", "has no labels to train a classifier on"),
        ("GOOD --data GOOD --metrics prdc --network pixels --samples 3", "has 3 images; prdc: expected at least 6"),
        ("GOOD --data GOOD --metrics fd --network pixels --format html", "--format is 'html'; expected one of"),
        ("GOOD --data GOOD --metrics 1nn", "1nn measures a run"),
        ("GOOD --data GOOD --metrics cost", "cost measures a run"),
        ("GOOD --data GOOD --skip-bad", "--skip-bad is for runs"),
        ("GOOD --data GOOD --metrics fd --network pixels --out nowhere/m.jsonl", "cannot write nowhere/m.jsonl"),
        ("RUN --weights GOOD/000.png", "does not say which network it is for; expected no network"),
        ("GOOD --data GOOD --train-data GOOD", "--train-data is for runs"),
        ("GOOD --data GOOD --features long", "--features is for runs"),
        ("RUN --metrics 1nn --data digits --split all", "1nn would be tested on images that they learn from"),
        ("RUN --metrics mse --train-data digits", "chosen for metrics that learn from labels, such as 1nn"),
        ("RUN --metrics mse --features long", "chosen for metrics that learn from labels, such as 1nn"),
        ("RUN --metrics ,", "--metrics is ','; expected names separated by commas"),
        ("RUN --size 9", "--size is for images"),
        ("RUN --data shapes --metrics nearest", "nearest compares samples with the training images"),
        ("RUN --metrics codes --samples 1", "codes: expected at least 2 images and 2 samples"),
        ("GOOD --data GOOD --metrics fid --network pixels --split test", "has no split 'test'"),
    ],
)
def test_wrong_requests_are_refused(
    arguments: str, message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, small = pictures(tmp_path / "good", 8), pictures(tmp_path / "small", 8, (8, 8))
    for word, path in (("GOOD", good), ("SMALL", small), ("RUN", run)):
        arguments = arguments.replace(word, str(path))
    if "--out" not in arguments:
        arguments += f" --out {tmp_path / 'm.jsonl'}"
    assert genae("evaluate", *arguments.split()) == 2
    assert message in capsys.readouterr().err


def test_tables_in_markdown_and_latex(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = pictures(tmp_path / "a_1", 20), pictures(tmp_path / "b", 20, seed=1)
    command = ["evaluate", a, "--data", b, "--network", "pixels", "--metrics", "fd,kid", "--out", tmp_path / "m.jsonl"]
    assert genae(*command, "--format", "latex") == 0
    text = capsys.readouterr().out
    assert text.startswith("\\begin{tabular}{lr}\n")
    assert "a\\_1 \\\\\n\\hline\nfd20-pixels & " in text
    assert genae(*command, "--format", "markdown") == 0
    assert "| fd20-pixels | " in capsys.readouterr().out


def test_a_classifier_judges_images_of_labelled_data(tmp_path: Path) -> None:
    data = open_data("digits")
    some = data.split("test")
    np.save(tmp_path / "digits.npy", data.pixels[some].numpy())
    found = api.evaluate_images(
        open_stream(str(tmp_path / "digits.npy")), open_stream("digits"), labelled=lambda: data,
        metrics=["icp", "fd"], networks=["classifier"],
    )  # fmt: skip
    score = next(r for r in found if r["metric"] == f"icp{len(some)}-1split")
    assert score["value"] > 8
    assert score["fingerprint"]["network"] == "classifier-digits-8x8"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "tiny"
    train(Config("stacked-wae", "digits", images=64, options=tiny_options("stacked-wae")), path)
    return path


def test_every_metric_of_a_run(run: Path) -> None:
    chosen = [
        name for name in METRICS if name not in ("ms_ssim", "lpips", "ppl", "fid", "is", "localisation", "occurrence")
    ]
    records = api.evaluate(run, samples=1000, metrics=chosen, networks=["classifier", "pixels"])
    found = {(r["of"], r["metric"]) for r in records}
    for prior in ("normal", "uniform"):
        for metric in ("icp1k", "fd1k-classifier", "fd1k-pixels", "kid1k-pixels", "precision1k-classifier",
                       "coverage1k-pixels", "nearest1k", "copies1k", "code_fd1k", "mse", "fpl_z_full1k-classifier",
                       "fpl_w_end1k-pixels"):  # fmt: skip
            assert (prior, metric) in found
    for metric in ("rfd179-classifier", "rkid179-pixels", "code_std", "code_rank", "1nn", "svm"):
        assert ("code", metric) in found
    assert ("real data", "nearest179") in found
    assert all(explain(kind_of(metric)) for _, metric in found)
    assert {kind_of("rfd10k-classifier"), kind_of("recall10k"), kind_of("rrecall10k")} == {"fd", "recall"}
    assert all(np.isfinite(r["value"]) for r in records)


def test_the_codes_of_a_run_are_measured(run: Path) -> None:
    model = load(run)
    data = model.open_data()
    codes = model.encode_data(data, data.split("test"))
    records = {(r["of"], r["metric"]): r["value"] for r in api.evaluate(run, samples=300, metrics=["codes"])}
    spread = codes.double().var(0).mean().sqrt()
    assert records["code", "code_std"] == pytest.approx(float(spread), rel=1e-5)
    drawn = model.sample_codes(300, 0, "normal")
    expected = moments(drawn).distance(moments(codes))
    assert records["normal", "code_fd300"] == pytest.approx(expected, rel=1e-5)


def test_a_model_that_makes_nan_is_refused(run: Path) -> None:
    model = load(run)
    with torch.no_grad():
        for parameter in model.autoencoder.decoder.parameters():  # type: ignore[union-attr]
            parameter.fill_(torch.nan)
    with pytest.raises(GenaeError, match=r"64 of 64 reconstructions through code hold NaN .*training went wrong"):
        api.evaluate(model, metrics=["mse"], samples=10)


def test_unlike_numbers_are_named_in_every_respect(run: Path) -> None:
    records = api.evaluate(run, samples=300, metrics=["fd"])
    changes = {"resize": "other", "split": "train", "count": 5, "network_digest": "0", "format": "jpeg", "genae": "9"}
    for key, value in changes.items():
        other = [r | {"fingerprint": r["fingerprint"] | {key: value}} for r in records]
        notes = tables.compare({"a": records, "b": other})[2]
        assert any(f"{key} {records[0]['fingerprint'][key]} / {value}" in note for note in notes), key


def test_pairs_that_are_ambiguous_are_refused(tmp_path: Path) -> None:
    a = pictures(tmp_path / "a", 4)
    np.save(tmp_path / "a.npy", np.stack([np.array(Image.open(f)) for f in sorted(a.iterdir())]))
    assert measure(tmp_path / "a.npy", tmp_path / "a.npy", metrics=["mse"], samples=2) == {"mse": 0}
    with pytest.raises(GenaeError, match="has file names, the other has none"):
        measure(a, tmp_path / "a.npy", metrics=["mse"])
    Image.open(a / "001.png").save(a / "000.bmp")
    with pytest.raises(GenaeError, match="has two files named '000'"):
        measure(a, a, metrics=["mse"])


def test_a_deep_grey_picture_becomes_colour_where_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.full((4, 6), 257 * 9, np.uint16)).save(tmp_path / "deep" / "a.png")
    assert open_stream(str(tmp_path / "deep"), channels=3).read(torch.tensor([0])).unique().tolist() == [9]


def test_two_networks_of_one_name_do_not_share_a_column(tmp_path: Path) -> None:
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


BOTH = ("moments", "rows")


def test_the_cache_tells_seeds_subsets_and_networks_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genae.metrics import tally
    from genae.metrics.features import Observed

    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cache"))
    stream = open_stream(str(pictures(tmp_path / "a", 20)))

    def network(factor: float, digest: str) -> FeatureNetwork:
        def compute(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            rows = images.flatten(1).float() / 255 * factor
            return rows, rows[:, :3]

        return FeatureNetwork("toy", "toy", digest, "none", compute)

    def tallied(
        stream: Any, factor: float = 1, digest: str = "a", seed: int = 0, keeps: Any = ("moments", "rows")
    ) -> Any:
        return tally.cached_tallies(stream, [(network(factor, digest), set(keeps))], seed, silent)[0]

    whole = tallied(stream)
    assert torch.equal(tallied(stream).rows, whole.rows)
    assert torch.equal(tallied(stream, 2, "b").rows, 2 * whole.rows), "other weights"
    assert len(tallied(stream.take(10, 0)).rows) == 10
    assert not torch.equal(tallied(stream.take(10, 1)).rows, tallied(stream.take(10, 0)).rows)
    assert len(list((tmp_path / "cache" / "references").iterdir())) == 4
    tallied(stream, keeps=["scores"])
    monkeypatch.setattr(Observed, "__new__", None)
    for keeps in (["moments"], ["rows"], ["scores"]):
        tallied(stream, keeps=keeps)  # nothing is computed again
    monkeypatch.setattr(tally, "VERSION", "another")
    with pytest.raises(TypeError):
        tallied(stream)


def test_kernel_distance_and_memorisation_of_a_run_are_those_of_their_functions(run: Path) -> None:
    from genae.metrics.kernel import kernel_distance
    from genae.metrics.memorisation import training_distances

    model = load(run)
    data = model.open_data()
    records = api.evaluate(run, samples=300, metrics=["kid", "nearest"], networks=["pixels"], seed=5)
    value = {(r["of"], r["metric"]): r["value"] for r in records}
    images = (model.sample(300, 5, "normal").clamp(-1, 1) + 1).mul(127.5).round() / 127.5 - 1
    rows = data.images(data.split("test")).flatten(1)
    expected = kernel_distance(images.flatten(1), rows, 100, 179, 5)[0]
    fingerprint = next(r["fingerprint"] for r in records if r["metric"] == "kid300-pixels")
    assert (fingerprint["subsets"], fingerprint["subset_size"]) == (100, 179)
    assert value["normal", "kid300-pixels"] == pytest.approx(expected, rel=1e-4)
    train = data.images(data.split("train")).flatten(1)
    ours, honest = training_distances(images.flatten(1), train), training_distances(rows, train)
    assert value["normal", "nearest300"] == pytest.approx(float(ours.median()), rel=1e-4)
    assert value["normal", "copies300"] == pytest.approx(
        float((ours < honest.quantile(0.01)).double().mean()), abs=0.01
    )
    assert value["real data", "nearest179"] == pytest.approx(float(honest.median()), rel=1e-4)


@pytest.mark.slow
def test_two_processes_measure_what_one_does(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    metrics = "mse,ssim,icp,fd,kid,prdc,nearest,codes,1nn"
    one, two = tmp_path / "one", tmp_path / "two"
    shutil.copytree(run, one, ignore=shutil.ignore_patterns("metrics.jsonl"))
    shutil.copytree(one, two)

    def command(path: Path) -> list[str]:
        return ["-m", "genae", "evaluate", str(path), "--metrics", metrics, "--samples", "1000"]

    subprocess.run([sys.executable, *command(one)], check=True, capture_output=True)
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path / "cache"))  # the reference is computed by both, too
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517"]
    done = subprocess.run([sys.executable, *launcher, *command(two)], check=True, capture_output=True, text=True)
    assert done.stdout.count("icp1k") == 1, "one process prints"
    first, second = ((path / "metrics.jsonl").read_text() for path in (one, two))
    assert len(first) > 1000
    assert first == second, "to the last bit"


@pytest.mark.parametrize("name", ["ae", "vae", "ali", "alae", "stacked-wae"])
def test_long_features_are_what_the_last_layer_receives(name: str) -> None:
    model = tiny_model(name).eval()
    x = next(random_batches(0, Part()))
    short, long, again = layers(model, ["short", "long", "short"])(x)
    assert torch.equal(short, model.encode(x))
    assert torch.equal(short, again)
    if name == "alae":
        assert torch.equal(long, model.encoder.features(x))
    else:
        assert torch.equal(long, model.encoder.convolutions(x).flatten(1))
        (first,) = layers(model, ["encoder.convolutions.1"])(x)
        assert torch.equal(first, model.encoder.convolutions[:2](x).flatten(1))


def test_layers_that_are_not_there_are_explained() -> None:
    model = tiny_model("ae").eval()
    x = next(random_batches(0, Part()))
    with pytest.raises(GenaeError, match="no layer 'lng'; did you mean 'long'"):
        layers(model, ["lng"])
    with pytest.raises(GenaeError, match="encoding does not pass through layer 'decoder'"):
        layers(model, ["decoder"])(x)
    grown = tiny_model("style-alae").eval()
    with pytest.raises(GenaeError, match=r"layer 'encoder.blocks.0' gives tuple, not one tensor; name one in it"):
        layers(grown, ["encoder.blocks.0"])(next(random_batches(0, Part())))


def test_probes_of_several_layers_have_names_of_their_own(run: Path) -> None:
    records = api.evaluate(run, metrics=["1nn", "logistic"], features=["short", "encoder.convolutions.1"])
    values = {r["metric"]: (r["value"], r["fingerprint"]["features"]) for r in records}
    names = {f"{probe}{layer}" for probe in ("1nn", "logistic") for layer in ("", "-encoder.convolutions.1")}
    assert set(values) == names
    assert values["1nn"][1] == "short"
    assert values["1nn-encoder.convolutions.1"][1] == "encoder.convolutions.1"
    assert 0.1 < values["1nn-encoder.convolutions.1"][0] <= 1


def accuracy(run: Path, data: ImageData, **options: Any) -> tuple[float, dict[str, Any]]:
    (record,) = api.evaluate(run, data, metrics=["1nn"], **options)
    return record["value"], record["fingerprint"]


def test_probes_learn_from_another_source_by_the_names_of_its_classes(run: Path) -> None:
    digits = open_data("digits")
    assert digits.labels is not None
    expected, alone = accuracy(run, digits)
    turned = replace(digits, name="turned", classes=digits.classes[::-1], labels=9 - digits.labels)
    value, fingerprint = accuracy(run, digits, train_data=turned)
    assert value == expected
    assert fingerprint == alone | {"train_data": "turned", "train_digest": turned.digest, "train_split": "train"}
    unnamed = replace(turned, classes=())
    assert accuracy(run, digits, train_data=unnamed)[0] < 0.2, "numbers are all there is, and they mean other digits"
    few, fingerprint = accuracy(run, digits, train_data=turned, train_split="validation")
    assert fingerprint["train"] == len(digits.split("validation"))
    assert 0.5 < few < expected


def test_a_solver_that_did_not_converge_is_said(run: Path, tmp_path: Path) -> None:
    model = load(run)
    with torch.no_grad():
        model.autoencoder.encoder.linear.weight.mul_(1e5)  # type: ignore[union-attr,operator]
    (record,) = api.evaluate(model, metrics=["svm"], out=tmp_path / "metrics.jsonl")
    assert record["fingerprint"]["converged"] is False
    assert "svm: the solver stopped before it had converged" in tables.cautions([record])[0]
    assert not tables.cautions(api.evaluate(run, metrics=["svm"]))


def test_probes_are_not_tested_on_what_they_learnt(run: Path) -> None:
    digits = open_data("digits")
    assert digits.labels is not None
    with pytest.raises(GenaeError, match=r"1nn would be tested on images .*: 1457 of the 1797 chosen images of digits"):
        accuracy(run, digits, split="all")
    with pytest.raises(GenaeError, match=r"179 of the 179 .* are in the split test of digits"):
        accuracy(run, digits, train_data=open_data("digits"), train_split="test")
    copied = replace(digits, name="copied", pixels=digits.pixels.float())
    with pytest.raises(GenaeError, match=r"179 of the 179 .* are in the split all of copied"):
        accuracy(run, digits, train_data=copied, train_split="all")
    assert accuracy(run, digits, train_data=copied)[0] == accuracy(run, digits)[0], "its training images are others"
    train = digits.split("train")
    sevens = replace(digits, splits=digits.splits | {"train": train[digits.labels[train] == 7]})
    with pytest.raises(GenaeError, match="the split train of digits holds one class; expected two or more for 1nn"):
        accuracy(run, sevens)
    halves = replace(digits, classes=digits.classes[:5], labels=digits.labels % 5)
    with pytest.raises(GenaeError, match="digits has no class 5, 6, 7, 8, 9; 1nn cannot learn it"):
        accuracy(run, digits, train_data=halves)
    with pytest.raises(GenaeError, match="small has no labels; expected labelled images for 1nn"):
        accuracy(run, digits, train_data=replace(digits, name="small", labels=None))
    with pytest.raises(GenaeError, match=r"digits has images of \(1, 4, 8\), digits of \(1, 8, 8\)"):
        accuracy(run, digits, train_data=replace(digits, pixels=digits.pixels[:, :, :4]))
    with pytest.raises(GenaeError, match="metrics that learn from labels"):
        api.evaluate(run, digits, metrics=["mse"], train_data=digits)
