"""Commands that show what is available."""

from pathlib import Path


def test_looking(run, folder_of_images, capsys, genae):
    assert genae("data", folder_of_images, "--size", "8") == 0
    shown = capsys.readouterr().out
    assert "24 images, 3 x 8 x 8" in " ".join(shown.split()), "wherever the line was broken"
    assert "cat 12, dog 12" in shown
    assert genae("list") == 0
    assert "stacked-wae/mnist" in capsys.readouterr().out
    assert genae("train", "stacked-wae/mnist", "--run", "x", "--dry-run") == 0
    assert "learning-rate=0.0001" in capsys.readouterr().out
    assert not Path("x").exists()
