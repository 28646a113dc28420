"""Commands that measure."""

from pathlib import Path

import numpy as np


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
