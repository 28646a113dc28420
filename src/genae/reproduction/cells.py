"""One cell of a table for one seed: a model is trained, its prior fitted if the row has one, and the run measured."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from genae import api, distributed
from genae.autoencoders import AUTOENCODERS
from genae.data.sources import ImageData
from genae.errors import GenaeError
from genae.metrics.records import CODE
from genae.priors import PRIORS
from genae.progress import Progress, silent
from genae.protocol import Autoencoder
from genae.reproduction import lookup, milestones
from genae.reproduction.budgets import BUDGETS, DATA, MILESTONES, PRECISIONS, SMOKE_FIT, Settings
from genae.reproduction.columns import Measure, measure_of
from genae.reproduction.published import Row
from genae.training.config import Config, option_types, resolve
from genae.training.prior_fit import Fit
from genae.training.start import train
from genae.training.trainer import Outcome

VARIANTS = (
    "critic_weight",
    "inner_steps",
    "error",
    "joint",
    "mixing",
    "edges",
    "parts",
    "part_dim",
    "occurrence_rate",
    "beta_occurrence",
    "code_grid",
    "code_channels",
)
"""Options in which rows of the same model differ: the name of a run shows them."""


@dataclass(frozen=True)
class Request:
    """A cell, a seed, and where the data and the runs are."""

    row: Row
    """As the budget trains it (`Row.within`)."""
    column: str
    budget: str
    seed: int
    sources: Mapping[str, str]
    """Data set of `DATA` -> folder or zip that holds it."""
    data_root: str | None
    runs: Path
    precision: str = PRECISIONS[0]
    keep_features: float = 0.0
    """GB of disk for frozen layers' features."""

    @property
    def measure(self) -> Measure:
        """What the column holds."""
        return measure_of(self.column)

    @property
    def space(self) -> str:
        """What the row's reconstructions pass through: the code or a prior."""
        return self.row.prior if self.row.through_prior else CODE

    @property
    def run(self) -> Path:
        """The folder of the run. Rows that are trained alike share it."""
        options = self.row.options
        variant = [f"{key}={options[key]}" for key in VARIANTS if key in options]
        label = "-".join(
            [self.row.model or "data", *variant, *([f"{self.row.longer}x"] if self.row.longer > 1 else [])]
        )
        return self.runs / protocol_name(self.budget, self.precision) / self.measure.data / f"{label}-seed{self.seed}"

    def config(self) -> Config:
        """What is trained. Raises `GenaeError` where the data set has no source."""
        settings = training_settings(self.row, self.measure.data, self.budget, self.sources)
        settings |= {"seed": self.seed, "data_root": self.data_root, "precision": self.precision}
        if not self.row.model:  # real data: nothing of the model is used
            settings |= {"images": 1, "anneal": 0}
        return resolve(self.row.network, settings, {}, AUTOENCODERS)


class Measurement(NamedTuple):
    """The value of a cell for a seed."""

    value: float
    protocol: dict[str, object]
    """How it was measured."""


def protocol_name(budget: str, precision: str) -> str:
    """What the folder of runs is called, and how the name of a table ends: ``gpu``, ``gpu-bfloat16``."""
    return budget if precision == PRECISIONS[0] else f"{budget}-{precision}"


def train_row(request: Request, open_images: Callable[..., ImageData], progress: Progress = silent) -> str:
    """Train and fit what is missing of a cell's run, and say what was trained.

    open_images: `open_data`, or a version of it that remembers. Raises `GenaeError`, also for a cell that cannot be
    measured, and `KeyboardInterrupt` where the training was interrupted.
    """
    row, run = request.row, request.run
    _refuse(row, request.measure)
    config = request.config()
    data = _images_of(config, open_images)

    def show(event: Mapping[str, Any]) -> None:
        seen = event.get("began_at", event.get("images", 0))
        if seen < config.images or "losses" in event:
            progress(f"training of {run.name}", min(seen, config.images), config.images)

    def train_until(part: Config) -> Outcome:
        return train(part, run, data=data, progress=show)

    if row.milestones:
        measure = milestones.measure_samples(run, data, request.measure.data, request.budget, progress)
        count = MILESTONES.get(request.budget, row.milestones)
        outcome = milestones.train_in_parts(run, config, count, train_until, measure)
    else:
        outcome = train_until(config)
    if outcome.stopped == "interrupted":
        raise KeyboardInterrupt
    how = _training_in_words(request, config)
    if row.fitted is not None:
        settings = fit_settings(row.fitted, request.budget)
        api.fit_prior(run, **settings, name=row.prior, seed=request.seed, force=True, progress=progress)
        how += f"; then, on its frozen codes, {in_words(settings)}"
    return how


def measure_cell(request: Request, progress: Progress = silent) -> Measurement:
    """Measure a trained run, if that was not done before. Raises `GenaeError`."""
    row, measure, run = request.row, request.measure, request.run
    if measure.is_recognition:
        sought = lookup.recognition(row, measure, request.budget, request.seed, run, request.keep_features)
    else:
        sought = lookup.evaluation(row, measure, request.budget, run)
    record = sought.find_or_measure(run, progress)
    return Measurement(measure.scale * record["value"], sought.protocol_of(record))


def _images_of(config: Config, open_images: Callable[..., ImageData]) -> ImageData:
    """The images of a cell. Raises `GenaeError` in every process where one cannot read them, or reads others: the next
    cell must find all processes."""
    images = f"images of {config.data} with the hash"
    hint = "every process must read the same images and splits"
    try:
        data = open_images(config.data, **config.data_options())
    except GenaeError as error:
        distributed.expect_same({images: f"none ({error})"}, hint)
        raise
    distributed.expect_same({images: data.digest}, hint)
    return data


def _refuse(row: Row, measure: Measure) -> None:
    """Raise `GenaeError` for a cell that cannot be measured."""
    if measure.compares_pairs and not row.model:
        raise GenaeError("real data have no reconstructions")
    if measure.compares_pairs and AUTOENCODERS[row.network].encode is Autoencoder.encode:
        raise GenaeError(f"{row.network} has no encoder")


def training_settings(row: Row, data: str, budget: str, sources: Mapping[str, str]) -> Settings:
    """The flags of ``genae train`` for a row on a data set: the row's own, replaced by the budget's. Flags that the
    model does not have are left out. Raises `GenaeError` where the data set has no source."""
    data_set = DATA[data]
    source = "digits" if budget == "smoke" else sources.get(data) or data_set.source
    if source is None:
        raise GenaeError(f"no data: give a folder with --data {data}=FOLDER")
    run_options = ("patience", "validate_every", "checkpoint_every")
    replaced = run_options if row.small and budget == "cpu" else BUDGETS[budget]
    settings: Settings = {"images": row.images.get(data, data_set.images)} | row.options
    without = set() if row.options.get("code_grid") else {"code_grid"}  # else vectors would become maps
    settings |= {key: BUDGETS[budget][key] for key in replaced if key not in without}
    if budget == "cpu":
        settings["images"] = data_set.cpu_images
        settings["anneal"] = 0 if row.small else data_set.cpu_images * row.longer
    settings["images"] *= row.longer
    allowed = {*option_types(AUTOENCODERS[row.network]), "images", "average", "flip", *run_options}
    settings = {key: value for key, value in settings.items() if key in allowed}
    if budget == "smoke":
        return settings | {"data": source}
    if row.own_settings:
        allowed = {"flip"}
    allowed |= {"size", "fit", "channels"}  # only from the data set: a row's own are those of a preset, for other data
    data_options = {key: value for key, value in data_set.options_within(budget).items() if key in allowed}
    return settings | {"data": source} | data_options


def fit_settings(fitted: Settings, budget: str) -> Settings:
    """The flags of ``genae prior``; a smoke test takes small ones. Raises `GenaeError` for an unknown prior."""
    learned = Fit(fitted["kind"]).learned
    if budget != "smoke":
        return dict(fitted)
    allowed = {*inspect.signature(PRIORS[fitted["kind"]].__init__).parameters}
    allowed |= {*get_type_hints(Fit)} if learned else set()
    return fitted | {key: value for key, value in SMOKE_FIT.items() if key in allowed}


def _training_in_words(request: Request, config: Config) -> str:
    if not request.row.model:
        return "not trained: the test images themselves"
    row, measure = request.row, request.measure
    settings = training_settings(row, measure.data, request.budget, request.sources)
    settings |= {"precision": config.precision, **config.options}
    return f"{row.model}: {in_words({key: value for key, value in settings.items() if key != 'data'})}"


def in_words(settings: Settings) -> str:
    """Settings as a table names them."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())
