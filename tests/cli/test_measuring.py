"""Commands that measure."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genae.protocol import Autoencoder
from genae.storage import read_lines
from genae.training.config import Config


def test_measuring_and_comparing(run, capsys, genae):
    assert genae("evaluate", run, "--samples", "1000") == 0
    assert "icp1k" in capsys.readouterr().out
    assert genae("compare", run, run, "--format", "markdown") == 0
    assert "| run | of | mse | psnr | ssim |" in capsys.readouterr().out
    assert genae("report", run) == 0
    assert (Path(run) / "report.html").stat().st_size > 10_000


def test_class_sorted_and_tiny_sources_can_be_reported(genae, tiny_flags):
    images = np.random.default_rng(0).integers(0, 256, (5000, 8, 8), dtype=np.uint8)
    np.savez("sorted.npz", images=images, labels=np.repeat([0, 1], 2500))
    np.savez("few.npz", images=images[:6], labels=np.array([0, 0, 0, 1, 1, 1]))
    for name, batch in (("sorted", "8"), ("few", "2")):
        arguments = [*tiny_flags, "--images", "16", "--batch-size", batch, "--priors", "uniform/normal,normal"]
        assert genae("train", "stacked-wae", "--data", f"{name}.npz", "--run", name, *arguments) == 0
        assert genae("report", name) == 0
        assert genae("interpolate", name) == 0
        assert genae("sample", name, "--count", "4", "--seed", "9" * 25) == 0
        assert Path("samples-uniform-normal.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("GOOD", "is not a run; to measure images, name the images to compare them with: --data SOURCE"),
        ("runs/mistyped", "there is nothing at 'runs/mistyped'; expected a run, or images to measure"),
        ("RUN --metrics mse --network nope", "there is no feature network 'nope'"),
        ("GOOD --data GOOD --metrics mse --network nope", "there is no feature network 'nope'"),
        (
            "GOOD --data GOOD --metrics fid --split test",
            "which would be a folder or a shard of that name; leave out the split",
        ),
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
    arguments: str,
    message: str,
    small_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pictures: Callable[..., Path],
    genae: Callable[..., int],
) -> None:
    good, small = pictures(tmp_path / "good", 8), pictures(tmp_path / "small", 8, (8, 8))
    for word, path in (("GOOD", good), ("SMALL", small), ("RUN", small_run)):
        arguments = arguments.replace(word, str(path))
    if "--out" not in arguments:
        arguments += f" --out {tmp_path / 'm.jsonl'}"
    assert genae("evaluate", *arguments.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "evaluate RUN --samples 60 --metrics mse,fd --network pixels --out m.jsonl",
        "probe RUN --frozen conv1 --heads 1nn",
        "report RUN",
        "prior RUN gaussian --name again --data-root .",
        "sample RUN --prior normal --count 4",
        "reconstruct RUN",
        "anomaly RUN",
    ],
)
def test_a_command_opens_its_model_once(
    command: str, run: str, genae: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from genae import model

    opens: list[str] = []
    build = model.build_model

    def counting(config: Config, shape: tuple[int, int, int]) -> Autoencoder:
        opens.append(config.model)
        return build(config, shape)

    monkeypatch.setattr(model, "build_model", counting)
    assert genae(*(run if word == "RUN" else word for word in command.split())) == 0
    assert opens == ["stacked-wae"]


def test_commands_take_the_weights_of_a_checkpoint(
    trained_twice: Path, genae: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "metrics.jsonl"
    for checkpoint in ("last", "best"):
        assert genae("evaluate", trained_twice, "--metrics", "mse", "--checkpoint", checkpoint, "--out", out) == 0
        for command in (["sample", "--count", 4], ["reconstruct", "--count", 2], ["encode", "--split", "test"]):
            ending = "npz" if command[0] == "encode" else "png"
            file = tmp_path / f"{command[0]}-{checkpoint}.{ending}"
            verb, *flags = command
            assert genae(verb, trained_twice, *flags, "--checkpoint", checkpoint, "--out", file) == 0
    lines = {line["fingerprint"]["checkpoint"] for line in read_lines(out, "of")}
    assert lines == {"best after 16 images", "checkpoint after 32 images"}
    codes = [np.load(tmp_path / f"encode-{name}.npz")["codes"] for name in ("last", "best")]
    assert not np.array_equal(*codes)
    assert genae("evaluate", trained_twice, "--checkpoint", "64") != 0
    assert "there are: best, last, 16, 32" in capsys.readouterr().err
    assert genae("evaluate", "digits", "--data", "digits", "--real", 5) != 0
    assert "--real is for runs only" in capsys.readouterr().err
