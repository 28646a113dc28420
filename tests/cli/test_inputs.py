"""What commands say of the images that they read."""

import pytest


@pytest.mark.parametrize(
    "command",
    [
        "reconstruct RUN --data FOLDER --split all --count 3",
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
