"""Commands that show what is available."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file


def test_looking(run, folder_of_images, capsys, genae):
    assert genae("data", folder_of_images, "--size", "8") == 0
    shown = capsys.readouterr().out
    assert "24 images, 3 x 8 x 8" in " ".join(shown.split()), "wherever the line was broken"
    assert "cat 12, dog 12" in shown
    assert genae("list") == 0
    assert "stacked-wae/mnist" in capsys.readouterr().out
    assert genae("list", "--properties") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["alae", "adversarial", "learned/divergence", "latent"] in rows
    assert ["ae", "similarity", "free", "data"] in rows
    assert genae("train", "stacked-wae/mnist", "--run", "x", "--dry-run") == 0
    assert "learning-rate=0.0001" in capsys.readouterr().out
    assert not Path("x").exists()


def test_data_shows_what_was_done(folder_of_images, capsys, genae):
    Image.fromarray(np.full((12, 16), 60_000, np.uint16)).save(folder_of_images / "cat" / "deep.tif")
    Path("table.csv").write_text("file;smile\n" + "".join(f"cat/{i}.png;1\n" for i in range(12)))
    assert genae("data", folder_of_images) == 2
    assert "choose one with --channels 1, 3 or 4 (cat/deep.tif differs)" in capsys.readouterr().err
    assert genae("data", folder_of_images, "--channels", "3", "--attributes", "table.csv", "--skip-bad") == 0
    shown = capsys.readouterr().out
    for line in (
        "12 images, 3 x 12 x 16 (C x H x W)",
        "in memory as uint8, 0.0 MB; stored values 0 to 255",
        "attributes: smile",
        "13 images without a row in table.csv skipped",
        "1 of 25 images scaled from 16 to 8 bits",
        "1 of 25 images converted to 3 channels (1 with 1)",
    ):
        assert line in shown
    assert genae("data", folder_of_images / "dog" / "0.png") == 0
    assert ": 1 images, 3 x 12 x 16" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "extra"], "unexpected argument 'extra'"),
        (["digits", "--chanels", "3"], "there is no flag --chanels; did you mean 'channels'?"),
        (["digits", "--size"], "size is 'true'; expected a number of pixels"),
        (["digits", "--channels", "2"], "images with 1 channels cannot be converted to 2"),
        (["mnist", "--data-root", "."], "mnist is not below .: looked for a folder with train-images-idx3-ubyte"),
        ([""], "the source of images is empty"),
        (["mnits"], "did you mean 'mnist'?"),
    ],
)
def test_data_refuses_in_one_sentence(arguments, message, capsys, genae):
    assert genae("data", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_small_data_set_is_shown_without_what_it_does_not_need():
    code = (
        "import sys, genae.cli; sys.argv = ['genae', 'data', 'digits']\n"
        "try: genae.cli.main()\nexcept SystemExit: pass\n"
        "print(sorted({'torchvision', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


def test_pack_and_what_it_has_packed(genae, capsys, folder_of_images):
    command = ["pack", folder_of_images, "--size", "8", "--out", "x.genae", "--levels"]
    assert genae(*command) == 0
    printed = capsys.readouterr()
    assert "x.genae: 24 images, 3 x 8 x 8, halved once, 0.0 MB, packed in" in printed.out.replace("\n", " ")
    assert "train with it: genae train MODEL --data x.genae" in printed.err
    assert genae("data", "x.genae") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "x.genae: 24 images, 3 x 8 x 8 (C x H x W) packed in x.genae, halved once, read as uint8" in shown
    assert "all 2 blocks are as they were packed" in shown
    assert genae(*command) == 2
    assert "x.genae is already there; choose another --out, or replace it with --force" in capsys.readouterr().err
    assert genae(*command, "--force") == 0
    assert genae("pack", folder_of_images, "--sise", "8", "--out", "y.genae") == 2
    assert "there is no flag --sise; did you mean 'size'?" in capsys.readouterr().err


def test_a_changed_block_is_named_by_data(genae, capsys, folder_of_images):
    assert genae("pack", folder_of_images, "--size", "8", "--out", "x.genae") == 0
    with open("x.genae", "r+b") as file:
        file.seek(4096 + 100)
        file.write(b"changed")
    assert genae("data", "x.genae") == 2
    assert "block 0 (images 0 to 23) of x.genae is not what was packed; pack it again" in capsys.readouterr().err


def test_blocks_of_the_cache_are_not_all_read_by_data(genae, capsys, folder_of_images, monkeypatch):
    monkeypatch.setattr("genae.data.sources.SMALLEST", 1)
    for _ in "ab":
        assert genae("data", folder_of_images, "--size", "8") == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert ".genae, read as uint8" in shown
        assert "blocks are as they were packed" not in shown


def test_training_from_a_packed_file_is_training_from_its_folder(genae, folder_of_images, tiny_flags):
    assert genae("pack", folder_of_images, "--size", "8", "--out", "x.genae") == 0
    flags = ["--images", "64", *tiny_flags]
    assert genae("train", "stacked-wae", "--data", "x.genae", "--run", "packed", *flags) == 0
    assert genae("train", "stacked-wae", "--data", folder_of_images, "--size", "8", "--run", "folder", *flags) == 0
    weights = [load_file(f"{run}/best.safetensors") for run in ("packed", "folder")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
