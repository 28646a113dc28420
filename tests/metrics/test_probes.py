"""Probes: accuracies, what they learn from, what they refuse."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genae import api
from genae.data.sources import ImageData, open_data
from genae.data.store import MemoryStore
from genae.errors import GenaeError
from genae.metrics.neighbours import nearest
from genae.metrics.probes import linear_svm, logistic, one_nn
from genae.model import load
from genae.reports import tables
from tests.metrics.vectors import VECTORS, normal, t
from tests.reading import pixels_of


def test_probes_of_several_layers_have_names_of_their_own(small_run: Path) -> None:
    records = api.evaluate(small_run, metrics=["1nn", "logistic"], features=["short", "encoder.convolutions.1"])
    values = {r["metric"]: (r["value"], r["fingerprint"]["features"]) for r in records}
    names = {f"{probe}{layer}" for probe in ("1nn", "logistic") for layer in ("", "-encoder.convolutions.1")}
    assert set(values) == names
    assert values["1nn"][1] == "short"
    assert values["1nn-encoder.convolutions.1"][1] == "encoder.convolutions.1"
    assert 0.1 < values["1nn-encoder.convolutions.1"][0] <= 1


def accuracy(small_run: Path, data: ImageData, **options: Any) -> tuple[float, dict[str, Any]]:
    (record,) = api.evaluate(small_run, data, metrics=["1nn"], **options)
    return record["value"], record["fingerprint"]


def test_probes_learn_from_another_source_by_the_names_of_its_classes(small_run: Path) -> None:
    digits = open_data("digits")
    assert digits.labels is not None
    expected, alone = accuracy(small_run, digits)
    turned = replace(digits, name="turned", classes=digits.classes[::-1], labels=9 - digits.labels)
    value, fingerprint = accuracy(small_run, digits, train_data=turned)
    assert value == expected
    assert fingerprint == alone | {"train_data": "turned", "train_digest": turned.digest, "train_split": "train"}
    unnamed = replace(turned, classes=())
    assert accuracy(small_run, digits, train_data=unnamed)[0] < 0.2, "the numbers mean other digits"
    few, fingerprint = accuracy(small_run, digits, train_data=turned, train_split="validation")
    assert fingerprint["train"] == len(digits.split("validation"))
    assert 0.5 < few < expected


def test_a_solver_that_did_not_converge_is_said(small_run: Path, tmp_path: Path) -> None:
    model = load(small_run)
    with torch.no_grad():
        model.autoencoder.encoder.linear.weight.mul_(1e5)  # type: ignore[union-attr,operator]
    (record,) = api.evaluate(model, metrics=["svm"], out=tmp_path / "metrics.jsonl")
    assert record["fingerprint"]["converged"] is False
    assert "svm: the solver stopped before it had converged" in tables.cautions([record])[0]
    assert not tables.cautions(api.evaluate(small_run, metrics=["svm"]))


def test_probes_are_not_tested_on_what_they_learnt(small_run: Path) -> None:
    digits = open_data("digits")
    assert digits.labels is not None
    with pytest.raises(GenaeError, match=r"1nn would be tested on images .*: 1457 of the 1797 chosen images of digits"):
        accuracy(small_run, digits, split="all")
    with pytest.raises(GenaeError, match=r"179 of the 179 .* are in the split test of digits"):
        accuracy(small_run, digits, train_data=open_data("digits"), train_split="test")
    copied = replace(digits, name="copied", store=MemoryStore(pixels_of(digits).float()))
    with pytest.raises(GenaeError, match=r"179 of the 179 .* are in the split all of copied"):
        accuracy(small_run, digits, train_data=copied, train_split="all")
    assert accuracy(small_run, digits, train_data=copied)[0] == accuracy(small_run, digits)[0], (
        "its training images are others"
    )
    train = digits.split("train")
    sevens = replace(digits, splits=digits.splits | {"train": train[digits.labels[train] == 7]})
    with pytest.raises(GenaeError, match="the split train of digits holds one class; expected two or more for 1nn"):
        accuracy(small_run, sevens)
    halves = replace(digits, classes=digits.classes[:5], labels=digits.labels % 5)
    with pytest.raises(GenaeError, match="digits has no class 5, 6, 7, 8, 9; 1nn cannot learn it"):
        accuracy(small_run, digits, train_data=halves)
    with pytest.raises(GenaeError, match="small has no labels; expected labelled images for 1nn"):
        accuracy(small_run, digits, train_data=replace(digits, name="small", labels=None))
    with pytest.raises(GenaeError, match=r"digits has images of \(1, 4, 8\), digits of \(1, 8, 8\)"):
        accuracy(small_run, digits, train_data=replace(digits, store=MemoryStore(pixels_of(digits)[:, :, :4])))
    with pytest.raises(GenaeError, match="metrics that learn from labels"):
        api.evaluate(small_run, digits, metrics=["mse"], train_data=digits)


def test_one_nearest_neighbour() -> None:
    v = VECTORS["one_nn"]
    train, test = t(*v["train"]), t(*v["test"])
    labels, wanted = torch.tensor(v["train_labels"]), torch.tensor(v["test_labels"])
    assert labels[nearest(test, train)[1]].tolist() == v["predictions"]
    assert one_nn(train, labels, test, wanted) == pytest.approx(v["accuracy"])


@pytest.mark.parametrize("probe", [linear_svm, logistic])
def test_linear_probes_tell_what_is_separable_and_only_that(probe: Callable[..., float]) -> None:
    x = normal(400, 5)
    straight, twisted = (x[:, 0] > 0.1).long(), (x[:, 0] * x[:, 1] > 0).long()
    assert probe(x[:300], straight[:300], x[300:], straight[300:]) > 0.94
    assert probe(x[:300], twisted[:300], x[300:], twisted[300:]) < 0.7


def test_the_support_vector_machine_sees_features_as_they_are_and_the_regression_does_not() -> None:
    x = normal(400, 2)
    labels = (x[:, 0] > 0.5).long()
    small = x * torch.tensor([1e-4, 1.0])  # what tells the classes apart is hidden by its scale
    assert linear_svm(small[:300], labels[:300], small[300:], labels[300:]) < 0.8
    assert logistic(small[:300], labels[:300], small[300:], labels[300:]) > 0.95


def test_the_support_vector_machine_minimises_its_objective() -> None:
    """Squared hinge, C = 0.02, the constant's weight among the squares: minimised here by other means."""
    x, noise = 0.2 * normal(300, 3), normal(300, 1, seed=1)[:, 0]
    labels = (5 * x[:, 0] + 0.5 * noise > 0.8).long()
    rows, signs = torch.cat([x, torch.ones(300, 1, dtype=x.dtype)], 1), 2.0 * labels - 1

    def best(c: float) -> torch.Tensor:
        w = torch.zeros(4, dtype=x.dtype, requires_grad=True)
        minimiser = torch.optim.LBFGS([w], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            minimiser.zero_grad()
            value = w.square().sum() / 2 + c * (1 - signs * (rows @ w)).clamp_min(0).square().sum()
            value.backward()
            return value

        minimiser.step(loss)
        return w.detach()

    test = normal(4000, 3, seed=2)
    right, other = ((test @ w[:3] + w[3] > 0).long() for w in (best(0.02), best(1.0)))
    assert linear_svm(x, labels, test, right) > 0.998
    assert linear_svm(x, labels, test, other) < 0.99
