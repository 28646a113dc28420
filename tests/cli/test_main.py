"""Entry point: one sentence with status 2 for what a user can mend, and a quick start."""

import os
import shlex
import subprocess
import sys

import pytest


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
        ("interpolate RUN --pairs 0-9999", "there is no image 9999; this split has 179 images"),
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
        ("encode RUN --data ''", "the source of images is empty"),
        ("sample ''", "the run is ''; expected the path of a run folder"),
        ("evaluate ''", "there is nothing at ''; expected a run, or images to measure"),
    ],
)
def test_mistakes_get_one_sentence_and_status_2(arguments, message, run, capsys, genae):
    assert genae(*shlex.split(arguments.replace("RUN", run))) == 2
    error = capsys.readouterr().err
    assert error.startswith("genae: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


HEAVY = {"torch", "numpy", "torchvision", "scipy", "sklearn", "matplotlib", "PIL", "pandas", "torch._dynamo"}
NEEDS = {"torch", "numpy", "PIL"}  # what a model and its pictures take


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ("--help", set()),
        ("--version", set()),
        ("list", set()),
        ("data digits", NEEDS),
        ("sample RUN --count 2 --out s.png", NEEDS),
        ("reconstruct RUN --count 2 --out r.png", NEEDS),
        ("encode RUN --out c.npz", NEEDS),
    ],
)
def test_a_command_imports_no_more_than_it_uses(arguments, allowed, run):
    code = f"""
import sys
from genae.cli import main
sys.argv = ["genae", *{arguments.replace("RUN", run).split()}]
try:
    main()
except SystemExit as stop:
    assert not stop.code
print(*{HEAVY} & set(sys.modules), file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(result.stderr.splitlines()[-1].split()) <= allowed  # on a busy machine, progress comes before


def test_no_cache_stands_anywhere(genae, monkeypatch, folder_of_images):
    monkeypatch.setenv("GENAE_CACHE_GB", "20")  # restored when the test ends
    assert genae("data", "--no-cache", folder_of_images, "--size", "8") == 0
    assert os.environ["GENAE_CACHE_GB"] == "0"
