"""The record that a cell shows: found among the measurements of its run, and measured if it is not there."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from genae import api, distributed
from genae.errors import GenaeError
from genae.metrics import metric_class
from genae.metrics.path_length import UNCLIPPED
from genae.metrics.probe import RANDOM_TRUNK
from genae.metrics.records import CODE, FRESH, REAL, SUBJECT, Record
from genae.model import Model, load
from genae.progress import Progress
from genae.reproduction.budgets import DATA, DROP_EVERY, EPOCHS
from genae.reproduction.columns import Measure
from genae.reproduction.published import Row
from genae.storage import read_lines, weights_digest

SCORES = ("is", "icp")
"""Inception scores. Those of the papers are means over ten splits; Inception-v3's is recorded over one split too."""


class Lookup(NamedTuple):
    """Which record a cell needs. A person may have measured the run in other ways: those records are no match."""

    of: str
    metric: str
    """How the name of its metric begins."""
    fingerprint: Mapping[str, object]
    """What its fingerprint must hold; None for what it must not hold."""
    measure: Callable[[Progress], object]
    """Measures the run, so that the record exists."""
    subject: Collection[str] = SUBJECT
    """Entries of the fingerprint that say what was measured; the others say how, and are the protocol."""

    def find(self, run: Path) -> Record | None:
        """The newest record of ``run`` that matches, as process 0 reads them."""
        return distributed.by_writer(partial(self._newest, run))

    def _newest(self, run: Path) -> Record | None:
        for record in reversed(read_lines(run / "metrics.jsonl", "metric")):
            if record["of"] != self.of or not record["metric"].startswith(self.metric):
                continue
            if all(record["fingerprint"].get(key) == value for key, value in self.fingerprint.items()):
                return record
        return None

    def find_or_measure(self, run: Path, progress: Progress) -> Record:
        """As `find`; where nothing matches, the run is measured first. Raises `GenaeError`."""
        record = self.find(run)
        if record is None:
            self.measure(progress)
            record = self.find(run)
        if record is None:
            raise GenaeError(f"{self.metric} of {self.of} is not measured for this row")
        return record

    def protocol_of(self, record: Record) -> dict[str, object]:
        """How the record was measured: its fingerprint without what says what was measured."""
        return {key: value for key, value in record["fingerprint"].items() if key not in self.subject}


def trained_model(row: Row, run: Path | str) -> Model:
    """The weights of a run that a row measures and shows. Raises `GenaeError`."""
    return load(run, checkpoint="last" if row.last else None)


def recognition(row: Row, measure: Measure, budget: str, seed: int, run: Path, keep_features: float) -> Lookup:
    """The accuracy of a head on frozen layers of the run's encoder (`api.probe`)."""
    trained = load(run)
    frozen = "none" if row.supervised else str(measure.features)
    epochs = EPOCHS.get(budget, DATA[measure.data].epochs)
    drop_every = DROP_EVERY if budget == "gpu" else None
    fingerprint = {
        "weights": FRESH if row.random_trunk else trained.digest, "data_digest": trained.trained_on,
        "split": "test", "frozen": frozen, "seed": seed, "epochs": epochs, "drop_every": drop_every,
        "flip": trained.config.flip or None,
    }  # fmt: skip
    return Lookup(
        RANDOM_TRUNK if row.random_trunk else CODE,
        f"{measure.metric}-{frozen}",
        fingerprint,
        lambda progress: api.probe(
            run,
            frozen=frozen,
            random_trunk=row.random_trunk,
            epochs=epochs,
            drop_every=drop_every,
            seeds=[seed],
            keep_features=keep_features,
            progress=progress,
        ),
        SUBJECT | {"seed"},
    )


def evaluation(row: Row, measure: Measure, budget: str, run: Path) -> Lookup:
    """The value of a metric of the run (`api.evaluate`)."""
    trained = trained_model(row, run)
    metric = measure.metric
    if budget == "smoke":  # what needs no published weights
        metric = metric_class(metric).stand_in or metric
    of_codes = row.reconstructions or measure.features or (measure.compares_pairs and not row.through_prior)
    of = REAL if not row.model else CODE if of_codes else row.prior
    samples, split = DATA[measure.data].evaluation_within(budget)
    fingerprint: dict[str, object] = {"weights": trained.digest, "split": split, "data_digest": trained.trained_on}
    real = samples if split == "train" else None  # as many training images as samples
    if not measure.features and not measure.compares_pairs:
        fingerprint["real"] = real
    priors = [of] if of in trained.priors else []
    if priors:
        fingerprint["prior_weights"] = weights_digest(trained.autoencoder.priors[of])
    if measure.features:
        fingerprint |= {"features": measure.features, "train_data": None}  # the table's own training images
    elif not measure.compares_pairs:
        if metric in SCORES and budget != "smoke" and samples >= 1000:  # fewer have no ten splits; smoke has 179 images
            fingerprint["splits"] = 10
        if measure.path:
            fingerprint["values"] = UNCLIPPED
        fingerprint |= {"seed": 0} | ({"images": samples} if of not in (REAL, CODE) else {})
    return Lookup(of, _recorded_name(metric, row, measure.path), fingerprint, lambda progress: api.evaluate(
        trained, metrics=[metric, "cost"], samples=samples, split=split, real=real,
        priors=priors, features=[measure.features or "short"], out=run / "metrics.jsonl", progress=progress,
    ))  # fmt: skip


def _recorded_name(metric: str, row: Row, path: str) -> str:
    """How the name of a metric begins in records: with the space of a path, with ``r`` for reconstructions."""
    if path:
        return f"{metric}_{row.space}_{path}"
    return f"r{metric}" if row.reconstructions and metric_class(metric).compares else metric
