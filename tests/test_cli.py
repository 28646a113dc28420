"""The command line: every command once, and one sentence with status 2 for what a user can mend."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_FLAGS
from PIL import Image

from genae.cli import main


def genae(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["genae", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("runs") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["--data", "digits", "--run", path, "--images", "320", *TINY_FLAGS]
        assert genae("train", "stacked-wae", *arguments, monkeypatch=patch) == 0
    return str(path)


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "pictures"),
    [
        ("reconstruct RUN --count 5", ["reconstructions.png"]),
        ("sample RUN --count 9 --seed 3", ["samples-normal.png", "samples-uniform.png"]),
        ("sample RUN --count 7 --prior uniform --out one.png", ["one.png"]),
        ("sample RUN --count 3 --prior uniform --out folder", ["folder/000000.png", "folder/000002.png"]),
        ("interpolate RUN --pairs 0-1,2-3 --space normal --path spherical --steps 4", ["interpolation.png"]),
        ("edit RUN --attribute 3 --strengths -1,0,1", ["edit.png"]),
        ("edit RUN --attribute 3 --on samples --prior normal --out e.png", ["e.png"]),
        ("reconstruct RUN --data shapes --count 4", ["reconstructions.png"]),
    ],
)
def test_commands_that_draw(arguments: str, pictures: list[str], run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert genae(*arguments.replace("RUN", run).split(), monkeypatch=monkeypatch) == 0
    for picture in pictures:
        assert Image.open(picture).size > (7, 7)


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_codes_there_and_back(kind: str, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for space in ("code", "normal"):
        assert (
            genae("encode", run, "--split", "test", "--out", f"c.{kind}", "--space", space, monkeypatch=monkeypatch)
            == 0
        )
        assert (
            genae("decode", run, f"c.{kind}", "--out", f"{space}.npz", "--space", space, monkeypatch=monkeypatch) == 0
        )
        assert np.load(f"{space}.npz")["images"].shape == (179, 1, 8, 8)
    assert genae("decode", run, f"c.{kind}", "--space", "normal", "--out", "d.png", monkeypatch=monkeypatch) == 0
    if kind == "npz":
        assert set(np.load("c.npz")) == {"codes", "indices", "labels", "space"}


def test_measuring_and_comparing(run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert genae("evaluate", run, "--samples", "1000", monkeypatch=monkeypatch) == 0
    assert "icp1k" in capsys.readouterr().out
    assert genae("compare", run, run, "--format", "markdown", monkeypatch=monkeypatch) == 0
    assert "| run | of | mse | psnr | ssim |" in capsys.readouterr().out
    assert genae("report", run, monkeypatch=monkeypatch) == 0
    assert (Path(run) / "report.html").stat().st_size > 10_000


def test_looking(
    run: str, folder_of_images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert genae("data", folder_of_images, "--size", "8", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "24 images, 3 x 8 x 8" in " ".join(shown.split()), "wherever the line was broken"
    assert "cat 12, dog 12" in shown
    assert genae("list", monkeypatch=monkeypatch) == 0
    assert "stacked-wae/mnist" in capsys.readouterr().out
    assert genae("train", "stacked-wae/mnist", "--run", "x", "--dry-run", monkeypatch=monkeypatch) == 0
    assert "learning-rate=0.0001" in capsys.readouterr().out
    assert not Path("x").exists()


def test_training_one_owns_pictures(folder_of_images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder_of_images / "table.csv").write_text(
        "file,bright\n" + "".join(f"{c}/{i}.png,{i % 2}\n" for c in ("cat", "dog") for i in range(12))
    )
    arguments = ["--data", folder_of_images, "--run", "mine", "--images", "64", *TINY_FLAGS]
    assert genae("train", "stacked-wae", *arguments, monkeypatch=monkeypatch) == 0
    edit = ["edit", "mine", "--attributes", folder_of_images / "table.csv", "--attribute", "bright", "--count", "2"]
    assert genae(*edit, monkeypatch=monkeypatch) == 0
    assert genae("report", "mine", monkeypatch=monkeypatch) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "train stacked-wea --data digits --run x",
            "there is no autoencoder 'stacked-wea'; did you mean 'stacked-wae'?",
        ),
        ("train stacked-wae --data digits --run x --learning-rat 1", "did you mean 'learning-rate'?"),
        ("train stacked-wae --data nowhere --run x", "no data at 'nowhere'"),
        ("train stacked-wae --data digits --run x --priors normal,gauss", "'gauss'; expected 'normal' or 'uniform'"),
        ("train stacked-wae --data digits --run x stray", "unexpected argument 'stray'"),
        ("train stacked-wae --data digits", "run"),
        ("sample nothing", "there is no run 'nothing'"),
        ("sample RUN --prior cauchy", "no prior 'cauchy'"),
        ("sample RUN --count many", "--count"),
        ("sample RUN --out sheet.jpg", "expected a folder or .png or .npz"),
        ("interpolate RUN --pairs 0:1", "expected numbers of images such as 0-1"),
        ("interpolate RUN --pairs 0-9999", "image number 9999 was asked for"),
        ("edit RUN --attribute smile", "no attribute 'smile'"),
        ("decode RUN missing.npz", "missing.npz is not a readable NumPy file"),
        ("encode RUN --out codes.pt", "expected .npz or .safetensors"),
        ("compare RUN/figures", "has no measurements"),
        ("reconstruct RUN --split dev", "digits has no split 'dev'"),
        ("data digits --sise 3", "no flag --sise; did you mean 'size'?"),
        ("data digits --size huge", "size is 'huge'"),
        ("paint RUN", "paint"),
        ("sample RUN --out sheet.gif", "expected a folder or .png or .npz"),
        ("reconstruct RUN --out r.jpg", "expected .png"),
        ("train stacked-wae --data digits --run x --device gpu", "device is 'gpu'"),
        ("train-classifier --data digits --sise 3", "did you mean 'size'?"),
        ("report RUN/best.safetensors", "is not a run folder"),
    ],
)
def test_mistakes_get_one_sentence_and_status_2(
    arguments: str, message: str, run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert genae(*arguments.replace("RUN", run).split(), monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith("genae: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_help_does_not_import_torch() -> None:
    code = "import sys, genae.cli; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_codes_remember_their_space(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert genae("encode", run, "--space", "uniform", "--out", "z.npz", monkeypatch=monkeypatch) == 0
    assert genae("decode", run, "z.npz", "--out", "said.npz", monkeypatch=monkeypatch) == 0
    assert genae("decode", run, "z.npz", "--space", "uniform", "--out", "named.npz", monkeypatch=monkeypatch) == 0
    assert np.array_equal(np.load("said.npz")["images"], np.load("named.npz")["images"])
    assert genae("decode", run, "z.npz", "--space", "code", monkeypatch=monkeypatch) == 2


def test_class_sorted_and_tiny_sources_can_be_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5000, 8, 8), dtype=np.uint8)
    np.savez("sorted.npz", images=images, labels=np.repeat([0, 1], 2500))
    np.savez("few.npz", images=images[:6], labels=np.array([0, 0, 0, 1, 1, 1]))
    for name, batch in (("sorted", "8"), ("few", "2")):
        arguments = [*TINY_FLAGS, "--images", "16", "--batch-size", batch, "--priors", "uniform/normal,normal"]
        assert (
            genae("train", "stacked-wae", "--data", f"{name}.npz", "--run", name, *arguments, monkeypatch=monkeypatch)
            == 0
        )
        assert genae("report", name, monkeypatch=monkeypatch) == 0
        assert genae("interpolate", name, monkeypatch=monkeypatch) == 0
        assert genae("sample", name, "--count", "4", "--seed", "9" * 25, monkeypatch=monkeypatch) == 0
        assert Path("samples-uniform-normal.png").exists()


def test_no_arguments_show_the_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert genae(monkeypatch=monkeypatch) == 2
    shown = capsys.readouterr()
    assert "evaluate" in shown.out
    assert not shown.err


def test_the_prior_of_a_preset_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from genae.settings.presets import FITTED

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(FITTED, "ae", {"name": "after", "kind": "gaussian"})
    assert genae("train", "ae", "--data", "digits", "--run", "r", "--images", "64", monkeypatch=monkeypatch) == 0
    assert "gaussian prior: r/priors/after.safetensors" in capsys.readouterr().out
    assert genae("train", "ae", "--data", "digits", "--run", "r", "--dry-run", monkeypatch=monkeypatch) == 0
    assert "then a prior is fitted: name after, kind gaussian" in capsys.readouterr().out


@pytest.fixture(scope="module")
def styled(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("runs") / "styled"
    flags = ["--code-dim=6", "--width=4", "--most-channels=8", "--mapping-layers=2", "--batch-size=20", "--images=100"]
    with pytest.MonkeyPatch.context() as patch:
        assert genae("train", "style-alae", "--data", "digits", "--run", path, *flags, monkeypatch=patch) == 0
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (["mix"], (7, 5)),  # six destinations and the source; one row of destinations, two of each band of 8 pixels
        (["mix", "--bands", "4,8", "--destinations", "0,1,2", "--sources", "5"], (4, 3)),
        (["interpolate", "--corners", "0,1,2,3", "--steps", "5"], (5, 5)),
        (["edit", "--attribute", "3", "--band", "coarse", "--direction", "svm", "--count", "2"], (5, 2)),
        (["reconstruct", "--count", "3", "--truncation", "0.7"], (3, 2)),
        (["sample", "--count", "9", "--truncation", "0"], (3, 3)),
    ],
)
def test_pictures_of_a_model_with_styles(
    arguments: list[str], size: tuple[int, int], styled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, *flags = arguments
    assert genae(command, styled, *flags, "--out", tmp_path / "p.png", monkeypatch=monkeypatch) == 0
    width, height = Image.open(tmp_path / "p.png").size
    cell = 50 if "--corners" in flags else 66
    assert (width // cell, round((height - 36) / cell)) >= (size[0], size[1] - 1)
    assert width < (size[0] + 3) * cell


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mix", "--bands", "fine"], "no layer works at 64 to 1024 pixels"),
        (["mix", "--destinations", "0,999"], "--destinations holds 999; there are 179 images, from 0"),
        (["mix", "--sources", "a"], "--sources is 'a'; expected numbers of images"),
        (["interpolate", "--corners", "0,1,2"], "expected four numbers of images"),
        (["interpolate", "--corners", "0,1,2,3", "--pairs", "0-1"], "leave out --pairs"),
        (["interpolate", "--corners", "0,1,2,3", "--path", "spherical"], "leave out --path"),
        (["edit", "--attribute", "3", "--direction", "svn"], "direction is 'svn'; did you mean 'svm'"),
        (["edit", "--attribute", "3", "--band", "x"], "band is 'x'"),
    ],
)
def test_wrong_requests_to_a_model_with_styles(
    arguments: list[str], message: str, styled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert genae(arguments[0], styled, *arguments[1:], monkeypatch=monkeypatch) == 2
    assert message in capsys.readouterr().err


def test_mixing_needs_styles(run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert genae("mix", run, monkeypatch=monkeypatch) == 2
    assert "one code for the whole image" in capsys.readouterr().err


def test_a_dry_run_says_what_fits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", "digits", "--size", "32", "--run", "x", "--dry-run"]
    assert genae("train", "style-alae/tiny", *flags, monkeypatch=monkeypatch) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert [line[:3] for line in lines[1:]] == [
        ["4", "0", "16"], ["8", "20,000", "16"], ["16", "40,000", "16"], ["32", "60,000", "16"],
    ]  # fmt: skip
    sizes = [int(line[5].removesuffix(" MB")) for line in lines[1:]]
    assert sizes == sorted(sizes)
    assert genae("train", "style-alae/tiny", *flags[2:], monkeypatch=monkeypatch) == 0
    assert "memory is not known" in capsys.readouterr().err
    assert genae("train", "style-alae/tiny", *flags, "--slope-weight=inf", monkeypatch=monkeypatch) == 2
    assert "slope-weight is inf; expected a finite number" in capsys.readouterr().err


def test_importing_refuses_what_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert genae("import-alae", tmp_path / "none.pth", monkeypatch=monkeypatch) == 2
    assert "there is no file" in capsys.readouterr().err
    assert genae("import-alae", tmp_path / "none.pth", "--out", "x.pth", monkeypatch=monkeypatch) == 2
    assert "expected .safetensors" in capsys.readouterr().err
