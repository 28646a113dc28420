"""The protocol of metrics: what they need is opened once, batches are seen in order, nothing else is computed."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from genae import api, metrics
from genae.data.stream import open_stream
from genae.errors import GenaeError
from genae.metrics import FUNCTIONS, METRICS, Entry, explain, kind_of, metric_class
from genae.metrics.backbones import Networks
from genae.metrics.evaluation import Evaluation, Request, opened
from genae.metrics.features import FeatureNetwork
from genae.metrics.metric import OF_IMAGES, Batch, Measured, Metric
from genae.metrics.of_images import ImageEvaluation


class Brightness(Metric):
    """Mean of the pixels that a pass shows."""

    needs = frozenset({"features"})
    keeps = "moments"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.seen: list[float] = []

    def see(self, of: str, batch: Batch) -> Mapping[str, torch.Tensor]:
        return {} if batch.pixels is None else {"means": batch.pixels.double().flatten(1).mean(1)}

    def add(self, of: str, seen: Mapping[str, torch.Tensor]) -> None:
        self.seen += seen["means"].tolist()

    def measure(self, evaluation: Evaluation) -> Iterator[Measured]:
        yield Measured(evaluation.name, "brightness", sum(self.seen) / len(self.seen), {"images": len(self.seen)})


def test_a_metric_is_a_class_and_a_line(monkeypatch: pytest.MonkeyPatch, small_run: Path, tmp_path: Path) -> None:
    import genae.metrics.vendi as somewhere

    monkeypatch.setattr(somewhere, "Brightness", Brightness, raising=False)
    monkeypatch.setitem(METRICS, "brightness", Entry("vendi:Brightness", {"brightness": "mean of 8-bit values"}))
    images = open_stream("digits")
    (record,) = api.evaluate_images(
        images, images, metrics=["brightness"], networks=["pixels"], out=tmp_path / "m.jsonl"
    )
    expected = torch.cat([images.read(part) for part in images.indices.split(64)]).double().mean()
    assert record["value"] == pytest.approx(float(expected))
    assert record["fingerprint"]["images"] == len(images)
    records = api.evaluate(small_run, metrics=["brightness"], networks=["pixels"], samples=70, out=tmp_path / "m.jsonl")
    assert records[0]["fingerprint"]["images"] == 179 + 2 * 70, "reconstructions, and samples of two priors"


def test_computing_after_the_last_image_is_said(tmp_path: Path) -> None:
    messages: list[str] = []
    images = open_stream("digits")
    api.evaluate_images(
        images, images, metrics=["fd", "kid"], networks=["pixels"], out=tmp_path / "m.jsonl",
        progress=lambda message, done, total: messages.append(f"{message}: {done} of {total}"),
    )  # fmt: skip
    assert messages[-2:] == ["computing the metrics: 0 of 2", "computing the metrics: 1 of 2"]


def test_every_metric_has_a_class_and_every_number_an_explanation() -> None:
    for name, entry in METRICS.items():
        cls = metric_class(name)
        assert issubclass(cls, Metric)
        assert cls.__doc__
        assert cls.needs
        assert all(kind_of(start) == start and explain(start) for start in entry.records)
        if cls.stand_in:
            assert not metric_class(cls.stand_in)(cls.stand_in).downloads(["pixels"])
        if entry.of_images:
            assert cls.needs <= OF_IMAGES


def test_a_network_is_opened_once_for_all_metrics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from genae.metrics import backbones

    looks: list[int] = []

    def compute(images: torch.Tensor) -> tuple[torch.Tensor, None]:
        looks.append(len(images))
        return images.flatten(1).float() + 1, None

    opens: list[str] = []

    def open_network(name: str, *_: object) -> FeatureNetwork:
        opens.append(name)
        return FeatureNetwork(name, name, "digest", "none", compute)

    monkeypatch.setattr(backbones, "open_network", open_network)
    monkeypatch.setenv("GENAE_CACHE", str(tmp_path))
    images = open_stream("digits").take(200, 0)
    metrics = opened(["fd", "kid", "prdc", "swd", "vendi"])
    request = Request(networks=["pixels"], split="all")
    records = ImageEvaluation(images, images, metrics, request, Networks(torch.device("cpu"))).run()
    assert opens == ["pixels"]
    assert sum(looks) == 400, "each set of images once"
    values = {(record["of"], record["metric"]): record["value"] for record in records}
    assert values["digits", "fd200-pixels"] == pytest.approx(0, abs=1e-6)
    assert values["digits", "swd200-pixels"] == 0
    assert values["digits", "vendi200-pixels"] == values["real data", "vendi200-pixels"] > 1


def test_what_a_source_of_images_cannot_offer_is_refused_by_name() -> None:
    images = open_stream("digits").take(50, 0)
    for name in (name for name in METRICS if not metric_class(name).needs <= OF_IMAGES):
        with pytest.raises(GenaeError, match=f"{name} measures a run; digits is a source of images"):
            ImageEvaluation(images, images, opened([name]), Request(), Networks(torch.device("cpu"))).run()
    with pytest.raises(GenaeError, match="there is no metric 'fidd'; did you mean 'fid'"):
        opened(["fidd"])


def test_functions_on_tensors_are_imported_from_the_room(tmp_path: Path) -> None:
    names = [name for names in FUNCTIONS.values() for name in names]
    script = "from genae import metrics\n" + "".join(
        f"assert callable(metrics.{name}), {name!r}\n" for order in (names, names[::-1]) for name in order
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)


def test_no_metric_is_known_by_name_outside_its_room() -> None:
    """Words that are nothing but names of metrics stand in their files, in `METRICS`, and in the papers' tables."""
    package = Path(metrics.__file__).parents[1]
    other_words = {
        "codes",
        "cost",
        "is",
        "mse",
        "psnr",
        "nearest",
        "svm",
        "occurrence",
        "lpips",
    }  # they mean other things too
    names = set(METRICS) - other_words
    for file in package.rglob("*.py"):
        if file.parent.name in ("metrics", "reproduction"):
            continue
        constants = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
        assert not constants & names, f"{file.relative_to(package)} knows {constants & names}"
