"""Samples of priors that are told a class: of it, and near to its images."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genae import api
from genae.data.sampler import mix_seed
from genae.data.sources import ImageData
from genae.data.transforms import to_uint8
from genae.errors import GenaeError
from genae.metrics.features import FeatureNetwork
from genae.metrics.frechet import moments
from genae.model import Model, load
from genae.priors.gaussian import GaussianPrior
from genae.priors.sampling import sample_codes
from genae.protocol import ConditionalPrior
from genae.reports import tables


def looked(pixels: Tensor, data: ImageData) -> tuple[Tensor, Tensor]:
    """The features and logits of a classifier that takes the class with the nearest mean image."""
    assert data.labels is not None
    images, labels = data.images(torch.arange(len(data))).flatten(1), data.labels
    means = torch.stack([images[labels == label].mean(0) for label in range(len(data.classes))])
    x = pixels.flatten(1).float() / 127.5 - 1
    return x[:, ::8], -torch.cdist(x, means)


@pytest.fixture(autouse=True)
def _quick_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    def classifier(data: ImageData, *_: object) -> FeatureNetwork:
        return FeatureNetwork("nearest mean", "classifier", "none", "none", lambda pixels: looked(pixels, data))

    monkeypatch.setattr("genae.metrics.backbones.classifier_of", classifier)


def measured(run: Path | Model, out: Path, **settings: Any) -> dict[tuple[str, str], Mapping[str, Any]]:
    records = api.evaluate(run, samples=600, out=out / "metrics.jsonl", **settings)
    return {(record["of"], record["metric"]): record for record in records}


def test_both_numbers_are_what_they_say(told: Path, tmp_path: Path) -> None:
    found = measured(told, tmp_path, metrics=["conditional"], seed=5)
    model = load(told)
    data, prior = model.open_data(), model.autoencoder.priors["gaussian"]
    assert isinstance(prior, ConditionalPrior)
    assert data.labels is not None
    given = prior.drawn_classes(600, torch.Generator().manual_seed(mix_seed("given", 5)))
    assert given is not None
    pixels = to_uint8(model.decode(sample_codes(prior, 600, 5, given)))
    features, logits = looked(pixels, data)
    right = float((logits.argmax(1) == given.labels).double().mean())
    assert found["gaussian", "given_accuracy600"]["value"] == pytest.approx(right)
    assert found["code", "given_accuracy179"]["value"] > 0.5

    test = data.split("test")
    real, labels = looked(to_uint8(data.images(test)), data)[0], data.labels[test]
    assert found["real data", "given_accuracy179"]["value"] == pytest.approx(
        float((looked(to_uint8(data.images(test)), data)[1].argmax(1) == labels).double().mean())
    )
    distances = [
        moments(features[given.labels == label]).distance(moments(real[labels == label])) for label in range(10)
    ]
    record = found["gaussian", "intra_fd600-classifier"]
    assert record["value"] == pytest.approx(sum(distances) / 10, rel=1e-6)
    least = min(int(torch.bincount(which, minlength=10).min()) for which in (given.labels, labels))
    said = {key: record["fingerprint"].get(key) for key in ("classes", "least_of_class", "images", "guidance", "seed")}
    assert said == {"classes": 10, "least_of_class": least, "images": 600, "guidance": None, "seed": 5}
    assert found["real data", "intra_fd600-classifier"]["fingerprint"]["images_split"] == "train"
    assert found["code", "rintra_fd179-classifier"]["value"] < record["value"]
    assert not [of for of, _ in found if of == "plain"], "a prior that is told nothing has none of these numbers"
    again = measured(told, tmp_path, metrics=["conditional"], seed=5)
    assert {key: r["value"] for key, r in again.items()} == {key: r["value"] for key, r in found.items()}, "cached"


def test_classes_with_few_images_are_left_out_and_the_record_says_so(told: Path, tmp_path: Path) -> None:
    model = load(told)
    data = model.open_data()
    assert data.labels is not None
    test = data.split("test")
    some = test[(data.labels[test] < 3) & (torch.arange(len(test)) > 20)]
    few = test[(data.labels[test] == 9)][:9]
    found = measured(
        model,
        tmp_path,
        metrics=["conditional"],
        data=replace(data, splits=data.splits | {"test": torch.cat([some, few])}),
    )
    assert found["gaussian", "intra_fd600-classifier"]["fingerprint"]["classes"] == 3
    lonely = replace(data, splits=data.splits | {"test": few})
    assert {name for _, name in measured(model, tmp_path, metrics=["conditional"], data=lonely)} == {
        "given_accuracy9",
        "given_accuracy600",
    }


def test_they_are_measured_where_there_is_something_to_measure(told: Path, explored: Path, tmp_path: Path) -> None:
    names = {"given_accuracy600", "intra_fd600-classifier"}
    assert names <= {name for of, name in measured(told, tmp_path) if of == "gaussian"}
    assert not names & {name for _, name in measured(told, tmp_path, priors=["plain"])}
    with pytest.raises(GenaeError, match="run has no prior that is told classes; conditional measures those that"):
        measured(explored, tmp_path, metrics=["conditional"])
    with pytest.raises(GenaeError, match="digits has no labels; conditional asks a classifier of them"):
        measured(told, tmp_path, metrics=["conditional"], data=replace(load(told).open_data(), labels=None))


def test_a_prior_that_is_told_an_attribute_is_not_asked_about_labels(told: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(told, tmp_path / "run"))
    data = load(run).open_data()
    assert data.labels is not None
    with_odd = replace(data, attributes={"odd": data.labels % 2 == 1})
    api.fit_prior(run, "gaussian", with_odd, name="odd", given="odd")
    found = measured(run, tmp_path, metrics=["conditional"])
    assert {of for of, _ in found} == {"gaussian", "code", "real data"}
    beside = measured(run, tmp_path, metrics=["conditional"], priors=["odd", "gaussian"])
    of_told = ("gaussian", "given_accuracy600")
    assert beside[of_told]["value"] == found[of_told]["value"], "whatever is sampled before it"
    with pytest.raises(GenaeError, match="the odd prior is told not odd, odd, which are no labels of digits"):
        measured(run, tmp_path, metrics=["conditional"], priors=["odd"])


def test_guidance_is_part_of_what_was_measured(told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GenaeError, match="guidance is 2, and no prior of run that is sampled has guidance"):
        measured(told, tmp_path, metrics=["fd"], guidance=2.0)
    with pytest.raises(GenaeError, match="guidance is 0; expected a number above 0"):
        measured(told, tmp_path, metrics=["fd"], guidance=0.0)
    with pytest.raises(GenaeError, match="guidance is 101; expected a number above 0, at most 100"):
        measured(told, tmp_path, metrics=["fd"], guidance=101.0)
    plain = [*measured(told, tmp_path, metrics=["conditional", "mse"]).values()]
    monkeypatch.setattr(GaussianPrior, "is_guided", property(lambda self: bool(self.classes)))
    guided = measured(told, tmp_path, metrics=["conditional", "mse"], guidance=2.0)
    assert guided["gaussian", "given_accuracy600"]["fingerprint"]["guidance"] == 2
    assert "guidance" not in guided["gaussian", "mse"]["fingerprint"], "a reconstruction is no sample"
    header, rows = tables.table(tables.newest([*plain, *guided.values()]))
    accuracy = dict(zip(header, rows[[row[0] for row in rows].index("given_accuracy600")], strict=True))
    assert {"gaussian", "gaussian, guidance 2"} <= accuracy.keys(), "neither replaces the other"
    assert tables.compare({"a": plain, "b": [*guided.values()]})[2] == []
