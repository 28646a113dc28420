"""A run of somebody else's autoencoder, at work like any other."""

import json
import re

import pytest
import torch

import genae
from genae.autoencoders import IMPORTED
from genae.importing.imported_run import import_autoencoder
from genae.importing.weights_of_others import licence_of
from genae.protocol import Autoencoder
from genae.storage import load_tensors, read_lines


@pytest.fixture(scope="module")
def run(taesd, tmp_path_factory):
    """With two priors, one of which knows the classes and the shape of the codes."""
    path = tmp_path_factory.mktemp("runs") / "imported"
    import_autoencoder(f"taesd:{taesd}", path, "digits", size=16)
    genae.fit_prior(path, "gaussian")
    small = {"images": 512, "blocks": 1, "width": 8, "patch": 1, "solver_steps": 2}
    genae.fit_prior(path, "flow-transformer", name="flow", given="label", **small)
    return path


def test_the_run_holds_its_origin_and_the_users_data(run, taesd):
    config = json.loads((run / "config.json").read_text())
    assert (config["model"], config["data"], config["size"], config["channels"]) == ("taesd", "digits", "16", 3)
    _, metadata = load_tensors(run / "best.safetensors")
    assert json.loads(metadata["config"]) == config
    assert (metadata["images"], json.loads(metadata["image_shape"])) == ("0", [3, 16, 16])
    model = genae.load(run)
    assert metadata["data"] == model.open_data().digest == genae.open_data("digits", size=16, channels=3).digest
    assert model.autoencoder.origin == "taesd:small/taesmall (licence: MIT License)"
    assert model.priors == ["flow", "gaussian"]
    x = model.open_data().images(torch.arange(3))
    assert torch.equal(model.encode(x), model.encode(x)), "no noise"


def test_every_verb_works_on_it(run, genae, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in (
        ["reconstruct", run], ["sample", run, "--count", "4"],
        ["sample", run, "--given", "3", "--guidance", "2", "--count", "2", "--out", "threes.png"],
        ["interpolate", run, "--pairs", "0-1", "--steps", "3"],
        ["edit", run, "--attribute", "3", "--count", "2"], ["map", run, "--count", "20"],
        ["encode", run, "--split", "test"], ["decode", run, "codes.npz", "--out", "decoded.npz"],
        ["anomaly", run, "--count", "8"], ["explore", run, "--export", "page"],
        ["evaluate", run, "--metrics=mse,codes,cost,nearest,1nn", "--samples=64", "--real=64", "--features=short,long"],
        ["report", run], ["compare", run, run],
    ):  # fmt: skip
        assert genae(*command) == 0, command
    records = read_lines(run / "metrics.jsonl", "metric")
    measured = {(record["of"], record["metric"]) for record in records}
    assert {("code", "mse"), ("gaussian", "train_seconds"), ("flow", "train_images")} <= measured
    assert ("code", "train_seconds") not in measured, "nothing was trained"
    assert {record["fingerprint"].get("checkpoint") for record in records if record["of"] == "code"} == {"imported"}
    page = (run / "report.html").read_text()
    assert "Its weights are those of taesd:small/taesmall (licence: MIT License)." in page
    assert "imported, and not trained here" in page
    assert "training log" not in page


def test_what_it_cannot_do_is_said_in_a_sentence(run, genae, capsys):
    assert genae("probe", run) == 2
    assert "TinyAutoencoder has no convolutional trunk whose layers could be frozen" in capsys.readouterr().err
    for flags in ([], ["--dry-run"]):
        assert genae("train", "taesd", "--data", "digits", "--run", run, *flags) == 2
        said = capsys.readouterr().err.replace("\n", " ")
        assert "taesd is imported, not trained: genae import-autoencoder taesd:SOURCE --run RUN" in said
    assert genae("reconstruct", run, "--checkpoint", "last") == 2
    assert "has no weights 'last'; there are: best" in capsys.readouterr().err.replace("\n", " ")


def test_wrong_requests_are_refused_before_anything_is_written(taesd, tmp_path, genae, capsys, folder_of_images):
    out = tmp_path / "run"
    for arguments, sentence in (
        (["beer:x", "--data", "digits"], "'beer:x'; expected one of diffusers, taesd"),
        (["taesd", "--data", "digits"], "'taesd'; expected diffusers:FOLDER or taesd:FOLDER"),
        ([f"taesd:{taesd}", "--data", "digits", "--flip"], "no setting 'flip'"),
        ([f"taesd:{taesd}", "--data", "digits", "--revision", "main"], "--revision main is of an id of diffusers"),
        ([f"taesd:{taesd}", "--data", "digits", "--size", "12x16"], "images are 12 x 16, this autoencoder takes "
         "multiples of 8: give --size 16x16"),
        ([f"taesd:{taesd}", "--data", "digits", "--size", "16", "--channels", "1"], "this autoencoder takes images "
         "of --channels 3, and these have 1"),
        ([f"taesd:{taesd}", "--data", "none"], "none"),
    ):  # fmt: skip
        assert genae("import-autoencoder", *arguments, "--run", out) == 2
        assert sentence in re.sub(r"\s+", " ", capsys.readouterr().err), arguments
    assert not out.exists()
    assert genae("import-autoencoder", f"taesd:{taesd}", "--data", folder_of_images, "--size=8", "--run", out) == 0
    assert "images 3 x 8 x 8, codes 8 x 1 x 1" in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pictures", "run"]
    assert genae("import-autoencoder", f"taesd:{taesd}", "--data", folder_of_images, "--size=8", "--run", out) == 2
    assert "is there already; choose a --run that is new or empty" in re.sub(r"\s+", " ", capsys.readouterr().err)


def test_imported_classes_have_no_step():
    for name, cls in IMPORTED.items():
        assert cls.step is Autoencoder.step
        assert IMPORTED.entries[name].home == f"{cls.__module__}:{cls.__name__}"
        assert "Choose it" in IMPORTED.summaries()[name]


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        ({}, "not stated"),
        ({"README.md": "---\nlicense: mit\ntags: [x]\n---\nlicense: other"}, "mit"),
        ({"README.md": "---\nlicense: 'other'\nlicense_name: sd-community\n---\n"}, "sd-community"),
        ({"README.md": "license: mit", "LICENSE": "\nApache License\nVersion 2"}, "Apache License"),
    ],
)
def test_licences(files, licence, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert licence_of(tmp_path / "none", tmp_path) == licence
