"""The cells of a lab: a stage I is trained, every stage II is fitted to its codes, and all are measured at once."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from genae import api, distributed
from genae.data.sources import ImageData
from genae.errors import GenaeError
from genae.metrics import kind_of
from genae.metrics.copies import FIRST
from genae.metrics.cost import costs, numbers_of
from genae.metrics.records import CODE, SUBJECT, Record
from genae.model import Model, load
from genae.progress import Progress
from genae.protocol import ConditionalPrior
from genae.reproduction.budgets import DATA, Settings
from genae.reproduction.cells import Request, fit_settings, in_words, train_row
from genae.reproduction.labs import FIGURES, LABS, OWN, fitted_name
from genae.reproduction.order import Order, Tools
from genae.reproduction.output import write_table
from genae.reproduction.results import Results, reasons
from genae.storage import read_lines, weights_digest
from genae.training.prior_fit import Fit

METRICS = ("mse", "ssim", "fd", "prdc", "icp", "nearest", "1nn", "logistic")
"""What measures `FIGURES`, but for those of cost and of classes."""
OF_CODES = {"mse", "ssim", "1nn", "logistic"}
"""Figures of `CODE` that only a model with an encoder has."""
FEATURES = {"fd": "-classifier", "precision": "-classifier", "recall": "-classifier"}
"""Figure -> how the names of its records end."""


class StageOne(NamedTuple):
    """A trained stage I."""

    run: Path
    data: ImageData
    """What it was trained on."""
    own: str
    """The prior that comes with it; empty for none."""
    how: str
    """How it was trained."""


class Combination(NamedTuple):
    """What was measured of a stage I with a stage II."""

    values: Mapping[str, float]
    """Figure -> value."""
    protocols: Mapping[str, dict[str, object]]
    """Figure of samples -> how it was measured."""


def fill_lab(order: Order, results: Results, tools: Tools) -> None:
    """Train, fit and measure the cells of a lab that are asked for, and write the table after every row and seed.

    What is there already is not done again. A stage II that cannot be fitted or measured leaves the others as they are.
    """
    lab = LABS[order.table]
    for name in lab.rows:
        results.rows.setdefault(name, {})
        wanted = [column for column in lab.columns if order.wants(name, column)]
        if name in lab.runs_of_the_user and order.rows is None and name not in order.sources:
            wanted = []
        for column in lab.columns:
            for figure in FIGURES if column not in wanted else ():
                results.leave_out(name, lab.key(column, figure), None)
        failures: dict[str, dict[str, list[int]]] = {column: {} for column in wanted}
        for seed in order.seeds if wanted else ():
            tools.say(f"{name}, seed {seed}")
            try:
                stage_one = _stage_one(order, name, seed, tools)
                _note_stage_one(results, lab.data, name, seed, stage_one)
                outcomes = _combined(order, stage_one, wanted, seed, tools)
            except GenaeError as error:
                tools.say(str(error))
                outcomes = dict.fromkeys(wanted, str(error))
            for column, outcome in outcomes.items():
                if isinstance(outcome, str):
                    failures[column].setdefault(outcome, []).append(seed)
                _note(order, results, (name, column, seed), outcome, failures[column])
            distributed.by_writer(partial(write_table, order.path, results))


def _note_stage_one(results: Results, data: str, row: str, seed: int, stage_one: StageOne) -> None:
    """How it was trained, and if it is the row's lowest seed that it is shown."""
    seeds = {int(other) for cell in results.rows[row].values() for other in cell.get("values", {})}
    if seed <= min(seeds, default=seed):
        results.runs.setdefault(data, {})[row] = [str(stage_one.run), CODE]
    results.note_training(row, data, seed, stage_one.how)


def _note(
    order: Order,
    results: Results,
    cell: tuple[str, str, int],
    outcome: Combination | str,
    failures: Mapping[str, Sequence[int]],
) -> None:
    """Fill in the figures of a row, a column and a seed."""
    (row, column, seed), lab = cell, LABS[order.table]
    for figure in FIGURES:
        key = lab.key(column, figure)
        values = results.values(row, key)
        if isinstance(outcome, Combination) and figure in outcome.values:
            values[str(seed)] = outcome.values[figure]
            if figure in outcome.protocols:
                results.note_protocol(f"{lab.data}_{figure}", f"{row}, {key}, seed {seed}", outcome.protocols[figure])
        results.fill(row, key, None, values, reasons(failures, order.seeds))
    if column in lab.fitted and isinstance(outcome, Combination):
        results.how[f"{column}, {lab.data}"] = in_words(_fit_settings(order, column))


def _stage_one(order: Order, name: str, seed: int, tools: Tools) -> StageOne:
    """Train a row, or open the user's run. Raises `GenaeError`, and `KeyboardInterrupt` for an interrupted training."""
    lab = LABS[order.table]
    row = lab.rows[name]
    if row is None:
        if seed != min(order.seeds):
            raise GenaeError(f"{name} is one run, not one for each seed")
        if name not in order.sources:
            raise GenaeError(f"no run: name one with --data {name}=RUN")
        run = Path(order.sources[name]).expanduser()
        if not run.is_dir():
            raise GenaeError(f"--data {name}={run} is not a run folder")
        model = load(run, with_fitted_priors=False)
        return StageOne(run, model.open_data(None, order.data_root), "", f"{model.config.model}: the run {run}")
    request = Request(
        row.within(order.budget), f"{lab.data}_mse", order.budget, seed, order.sources, order.data_root,
        Path(order.runs), order.precision,
    )  # fmt: skip
    how = train_row(request, tools.open_images, tools.progress)
    config = request.config()
    return StageOne(request.run, tools.open_images(config.data, **config.data_options()), row.prior, how)


def _fit_settings(order: Order, column: str) -> Settings:
    """The arguments of `api.fit_prior` for a column. What is trained, is trained in the precision of the order. Raises
    `GenaeError` for an unknown prior."""
    fitted = LABS[order.table].fitted[column]
    settings = fit_settings(fitted, order.budget)
    return settings | {"precision": order.precision} if Fit(fitted["kind"]).learned else settings


def _combined(
    order: Order, stage_one: StageOne, columns: Sequence[str], seed: int, tools: Tools
) -> dict[str, Combination | str]:
    """Fit the stages II that are missing, and measure them all; column -> what was measured, or why nothing."""
    lab = LABS[order.table]
    outcomes: dict[str, Combination | str] = {}
    for column in (column for column in columns if column in lab.fitted):
        tools.say(f"{stage_one.run.name} + {column}")
        try:
            settings = _fit_settings(order, column) | {"name": fitted_name(column), "seed": seed}
            api.fit_prior(stage_one.run, data=stage_one.data, force=True, progress=tools.progress, **settings)
        except GenaeError as error:
            tools.say(str(error))
            outcomes[column] = str(error)
    model = load(stage_one.run)
    priors = {CODE: CODE, OWN: stage_one.own} | {column: fitted_name(column) for column in lab.fitted}
    subjects = {column: priors[column] for column in columns if column not in outcomes}
    if CODE in subjects and not model.autoencoder.has_encoder:
        outcomes[CODE] = f"{model.config.model} has no encoder"
        del subjects[CODE]
    if OWN in subjects and stage_one.own not in model.priors:
        outcomes[OWN] = f"{model.config.model} has no prior of its own"
        del subjects[OWN]
    evaluation = Measuring(model, stage_one.data, *DATA[lab.data].evaluation_within(order.budget))
    why = evaluation.measure(list(subjects.values()), tools.progress)
    for column, of in subjects.items():
        outcomes[column] = evaluation.combination(of) or why.get(of, "it is not measured")
    return outcomes


class Measuring(NamedTuple):
    """The measurements of a run and all its priors."""

    model: Model
    data: ImageData
    samples: int
    """Of each prior."""
    split: str

    def measure(self, subjects: Sequence[str], progress: Progress) -> dict[str, str]:
        """Measure what of `CODE` and of priors is not measured yet, in one evaluation; whose numbers cannot be had, and
        why."""
        missing = [of for of in subjects if not self.combination(of)]
        return self._evaluate([of for of in missing if of != CODE], progress) if missing else {}

    def _is_told(self, prior: str) -> bool:
        """Whether a prior knows classes."""
        source = self.model.autoencoder.priors[prior]
        return isinstance(source, ConditionalPrior) and bool(source.classes)

    def _evaluate(self, priors: list[str], progress: Progress) -> dict[str, str]:
        metrics = [metric for metric in METRICS if self.model.autoencoder.has_encoder or metric not in OF_CODES]
        metrics += ["conditional"] if any(map(self._is_told, priors)) else []
        try:
            api.evaluate(
                self.model, self.data, metrics=metrics, samples=self.samples, split=self.split,
                priors=priors, networks=["classifier"], progress=progress,
            )  # fmt: skip
        except GenaeError as error:
            if len(priors) < 2:
                return dict.fromkeys(priors or [CODE], str(error))
            alone = [self._evaluate([prior], progress) for prior in priors]  # one of them must not spoil the others
            return {of: why for failures in alone for of, why in failures.items()}
        return {}

    def combination(self, of: str) -> Combination | None:
        """What was measured of `CODE` or of a prior; None where something is missing."""
        model, folder = self.model, self.model.folder
        assert folder is not None
        records = self._records(of)
        prior = None if of == CODE else model.autoencoder.priors[of]
        expected = {"fd", "precision", "recall", "icp"} | (set() if prior is None else {"copies"})
        expected |= {"mse", "ssim"} if prior is None or prior.has_encoder else set()
        expected |= {"1nn", "logistic"} if prior is None else set()
        expected |= {"given_accuracy"} if prior is not None and self._is_told(of) else set()
        if not expected <= records.keys():
            return None
        spent = distributed.by_writer(partial(costs, folder, model.digest))
        seconds = sum(spent.get(part, {}).get("train_seconds", 0.0) for part in {CODE, of})
        parameters = numbers_of(model.autoencoder, without="priors") + (0 if prior is None else numbers_of(prior))
        values = {figure: records[figure]["value"] for figure in FIGURES if figure in records}
        protocols = {
            figure: {key: value for key, value in records[figure]["fingerprint"].items() if key not in SUBJECT}
            for figure in values
            if prior is not None
        }
        return Combination(values | {"seconds": seconds, "parameters": parameters}, protocols)

    def _records(self, of: str) -> dict[str, Record]:
        """Figure -> the newest record of it by the protocol of the lab."""
        assert self.model.folder is not None
        path = self.model.folder / "metrics.jsonl"
        wanted = {"weights": self.model.digest, "split": self.split, "data_digest": self.data.digest, "real": None}
        if of != CODE:
            wanted["prior_weights"] = weights_digest(self.model.autoencoder.priors[of])
        found: dict[str, Record] = {}
        for record in distributed.by_writer(partial(read_lines, path, "metric")):
            figure, fingerprint = kind_of(record["metric"]), record["fingerprint"]
            of_samples = of != CODE and figure not in OF_CODES
            protocol = wanted | ({"seed": 0, "images": self._count(figure)} if of_samples else {})
            if (
                record["of"] == of
                and record["metric"].endswith(FEATURES.get(figure, ""))
                and all(fingerprint.get(key) == value for key, value in protocol.items())
            ):
                found[figure] = record
        return found

    def _count(self, figure: str) -> int:
        return min(FIRST, self.samples) if figure == "copies" else self.samples
