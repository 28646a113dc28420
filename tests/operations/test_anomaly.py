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


def test_a_likelihood_takes_the_place_of_rarity(
    run: Path, genae: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("gaussian", "vae"):
        assert genae("prior", run, kind, *(["--images=1000", "--batch-size=50"] if kind == "vae" else [])) == 0
    model = load(run)
    data = model.open_data()
    test = data.images(data.split("test"))
    codes = model.encode(test)
    without, judged = Detector.learn(model, data, run), Detector.learn(model, data, run, "gaussian").judge(test)
    nats = -model.log_density(codes, "gaussian") / codes.shape[1]
    assert torch.allclose(judged.nats, nats.double())
    assert torch.equal(judged.error, without.judge(test).error)
    assert len(without.judge(test).nats) == 0, "nobody asked for a likelihood"

    # a Gaussian's nats are half the Mahalanobis distance and a constant, so images are ranked alike by them
    held_out = Detector.learn(model, data, run, "gaussian").judge(data.images(data.split("validation")))
    assert float(held_out.anomalous.double().mean()) <= 0.02
    training = model.encode(data.images(data.split("train"))).double()
    away = codes.double() - training.mean(0)
    distance = ((away @ torch.linalg.inv(training.T.cov())) * away).sum(1)
    excess = 2 * codes.shape[1] * (nats - nats[0])
    assert torch.allclose(excess.double(), distance - distance[0], rtol=1e-3, atol=1e-2)

    # where the code is what is strange, the score grows with the nats and not with the rarity
    by_nats = judged.score[judged.nats.argsort()][-20:]
    assert float(by_nats.mean()) > float(judged.score.mean())
    assert not torch.equal(judged.score, without.judge(test).score)
    assert len(list((run / "codes").glob("anomaly-*"))) == 2, "the detector without a likelihood is kept as it was"

    assert genae("anomaly", run, "--likelihood", "gaussian", "--out", "t.csv") == 0
    header, first, *_ = (tmp_path / "t.csv").read_text().splitlines()
    assert header == "image,name,score,error,rarity,nats,anomalous"
    assert float(first.split(",")[5]) == pytest.approx(float(judged.nats[0]), rel=1e-4)
    assert genae("anomaly", run, "--likelihood", "vae", "--out", "t.csv") == 2
    message = "the vae prior of run has no density in closed form; expected one of normal, gaussian"
    assert message in capsys.readouterr().err
