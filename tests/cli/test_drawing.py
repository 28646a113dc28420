"""Commands that draw."""

import numpy as np
import pytest
import torch
from PIL import Image

from genae.metrics.features import FeatureNetwork


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
        ("transport RUN --from 3 --to 8 --data digits --strengths 0,0.5,1 --by mean", ["transport.png"]),
    ],
)
def test_commands_that_draw(arguments, pictures, run, genae):
    assert genae(*arguments.replace("RUN", run).split()) == 0
    for picture in pictures:
        assert Image.open(picture).size > (7, 7)


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
def test_pictures_of_a_model_with_styles(arguments, size, styled, tmp_path, genae):
    command, *flags = arguments
    assert genae(command, styled, *flags, "--out", tmp_path / "p.png") == 0
    width, height = Image.open(tmp_path / "p.png").size
    cell = 50 if "--corners" in flags else 66
    assert (width // cell, round((height - 36) / cell)) >= (size[0], size[1] - 1)
    assert width < (size[0] + 3) * cell


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mix", "--bands", "fine"], "no layer works at 64 to 1024 pixels"),
        (["mix", "--destinations", "0,999"], "--destinations holds 999; there are 179 images, numbered from 0"),
        (["mix", "--sources", "a"], "--sources is 'a'; expected numbers of images"),
        (["interpolate", "--corners", "0,1,2"], "expected four numbers of images"),
        (["interpolate", "--corners", "0,1,2,3", "--pairs", "0-1"], "leave out --pairs"),
        (["interpolate", "--corners", "0,1,2,3", "--path", "spherical"], "leave out --path"),
        (["edit", "--attribute", "3", "--direction", "svn"], "direction is 'svn'; did you mean 'svm'"),
        (["edit", "--attribute", "3", "--band", "x"], "band is 'x'"),
    ],
)
def test_wrong_requests_to_a_model_with_styles(arguments, message, styled, capsys, genae):
    assert genae(arguments[0], styled, *arguments[1:]) == 2
    assert message in capsys.readouterr().err


def test_mixing_needs_styles(run, capsys, genae):
    assert genae("mix", run) == 2
    assert "one code for the whole image" in capsys.readouterr().err


def test_carried_codes_are_decoded(run, genae, capsys):
    assert genae("transport", run, "--from", "3", "--to", "8", "--out", "carried.npz") == 0
    assert "these are codes of the map gaussian; choose another with --by" in capsys.readouterr().err
    with np.load("carried.npz") as carried:
        assert carried["codes"].shape == (len(carried["indices"]), 6)
        assert str(carried["space"]) == "code"
    assert genae("decode", run, "carried.npz", "--out", "carried.png") == 0


def test_maps_are_measured_where_pictures_are_the_data(run, genae, capsys, monkeypatch):
    """Every image is taken for an 8; in a pipe the table is lines of tabs."""
    sees = FeatureNetwork("8", "", "", "none", lambda x: (torch.zeros(len(x), 1), torch.eye(10)[[8] * len(x)]))
    monkeypatch.setattr("genae.operations.sets.classifier_of", lambda *_: sees)
    assert genae("transport", run, "--from", "3", "--to", "8", "--by", "mean", "--strengths", "1") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines[0] == ["", "recognised as 8", "distance of codes", "MSE", "round trip"]
    assert [line[:2] for line in lines[1:]] == [[name, "100.0%"] for name in ("reconstruction", "mean", "other 8")]
    assert genae("transport", run, "--from", "3", "--to", "shapes", "--by", "mean", "--out", "s.png") == 0
    header = capsys.readouterr().out.splitlines()[1].split("\t")
    assert header == ["", "distance of codes", "MSE", "round trip"], "no class of the data"
    assert genae("transport", run, "--from", "3", "--to", "nowhere") == 2
    assert "digits has no class or attribute 'nowhere'" in capsys.readouterr().err
