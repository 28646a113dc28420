"""What commands say of the images that they read."""

from dataclasses import replace

import pytest
import torch

from genae.cli.inputs import shown
from genae.data.sources import open_data


@pytest.mark.parametrize(
    "command",
    [
        "reconstruct RUN --data FOLDER --split all --count 3",
        "edit RUN --attribute cat --data FOLDER --count 3",
        "encode RUN --data FOLDER",
        "evaluate RUN --data FOLDER --split all --metrics mse --out m.jsonl",
    ],
)
def test_conversions_of_other_images_are_said_once(command, run, folder_of_images, capsys, genae):
    places = {"RUN": run, "FOLDER": folder_of_images}
    assert genae(*(places.get(word, word) for word in command.split())) == 0
    assert capsys.readouterr().err.count(f"note: {folder_of_images}: converted from 3 to 1 channels") == 1


def test_images_that_fit_are_not_remarked_on(run, capsys, genae):
    assert genae("reconstruct", run, "--count", "3") == 0
    assert "converted" not in capsys.readouterr().err


def test_the_images_that_are_shown_are_of_many_classes_in_their_own_order() -> None:
    data = open_data("digits")
    assert data.labels is not None
    test = data.split("test")
    in_classes = test[data.labels[test].argsort(stable=True)]
    of = data.labels[shown(data, in_classes, 10)]
    assert sorted(of.tolist()) == list(range(10))
    few = test[:4]
    assert torch.equal(shown(data, few, 12), few), "all of few images as they are"
    unlabelled = replace(data, labels=None)
    assert not torch.equal(shown(unlabelled, test, 10), test[:10])
    assert torch.equal(shown(unlabelled, test, 10), shown(unlabelled, test, 10))
