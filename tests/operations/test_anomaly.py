"""Strange images are told from those of training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genae.model import load
from genae.operations.detector import Detector


def test_strange_images_are_found(
    run: Path,
    genae: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = load(run)
    data = model.open_data()
    detector = Detector.learn(model, data, run)
    held_out = detector.judge(data.images(data.split("validation")))
    assert float(held_out.anomalous.double().mean()) <= 0.02
    test = detector.judge(data.images(data.split("test")))
    noise = detector.judge(torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    assert float(noise.anomalous.double().mean()) > 0.9
    assert float(test.anomalous.double().mean()) < 0.1
    assert noise.heat.shape == (64, 1, 8, 8)
    assert float(noise.heat.mean()) > float(test.heat.mean())
    kept = Detector.learn(model, data, run)
    assert torch.equal(kept.judge(data.images(data.split("test"))).score, test.score), "found again in the run"

    # rarity is scikit-learn's Mahalanobis distance
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(model.encode(data.images(data.split("train"))).double().numpy())
    expected = fitted.mahalanobis(model.encode(data.images(data.split("test"))).double().numpy())
    assert np.allclose(test.rarity.numpy(), expected, rtol=1e-6)

    monkeypatch.chdir(tmp_path)
    np.save("noise.npy", (torch.rand(20, 8, 8) * 255).byte().numpy())
    assert genae("anomaly", run, "--data", "noise.npy", "--out", "t.csv") == 0
    assert "of 20 images are above the threshold" in capsys.readouterr().out
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "image,name,score,error,rarity,anomalous"
    assert len(lines) == 21
    assert genae("anomaly", run, "--count", "3") == 0
    assert Image.open(tmp_path / "anomalies.png").width > 150
