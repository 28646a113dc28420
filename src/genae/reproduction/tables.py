"""The papers' tables: train what is missing, measure it, and set it beside the published figures."""

import inspect
import json
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.data.sources import ImageData, open_data
from genae.errors import GenaeError, nearest
from genae.metrics import METRICS
from genae.metrics.judges import REAL
from genae.metrics.reconstruction import CODE
from genae.model import load
from genae.priors import PRIORS
from genae.protocol import Autoencoder
from genae.reports.tables import FRESH, SUBJECT
from genae.reproduction.page import NOT_ASKED, draw_reconstructions, draw_traversals, write_table
from genae.reproduction.published import (
    BUDGETS,
    DATA,
    DROP_EVERY,
    EPOCHS,
    SAMPLES,
    SMOKE_FIT,
    TABLES,
    Measure,
    Row,
    measure_of,
)
from genae.storage import read_lines, weights_digest
from genae.training.config import option_types, resolve
from genae.training.fit import Fit
from genae.training.start import train

# Options in which rows of the same model differ.
VARIANTS = (
    "critic_weight",
    "error",
    "joint",
    "mixing",
    "edges",
    "parts",
    "part_dim",
    "occurrence_rate",
    "beta_occurrence",
)


def reproduce(
    table: str,
    *,
    budget: str = "cpu",
    seeds: Sequence[int] = (0,),
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    sources: Mapping[str, str] | None = None,
    data_root: str | None = None,
    runs: Path | str = "runs/reproduce",
    out: Path | str = "results",
    command: str = "",
    say: Callable[[str], None] = print,
    progress: Callable[[Mapping[str, Any]], None] = lambda event: None,
) -> Path:
    """Train and measure the rows of a table of `TABLES`, and write ``<paper>-<table>.json`` and ``.md`` into ``out``
    (with the budget ``smoke``, ``<paper>-<table>-smoke``). What was measured before with the same budget is kept: other
    cells, and other seeds of a cell.

    sources: data set of `DATA` -> folder or zip that holds it. Runs are kept in ``runs`` and resumed; what is measured
    is not measured again. A cell says why it, or a seed of it, could not be measured. Of each data set, a picture shows
    the reconstructions of the lowest seed's runs. Returns the Markdown file. Raises `GenaeError`.
    """
    if table not in TABLES:
        raise GenaeError(f"there is no table {table!r}; {nearest(table, TABLES)}")
    if budget not in BUDGETS:
        raise GenaeError(f"budget is {budget!r}; {nearest(budget, BUDGETS)}")
    all_columns, all_rows = TABLES[table]
    for given, known, what in ((rows, all_rows, "row"), (columns, all_columns, "column"), (sources, DATA, "data set")):
        for name in given or ():
            if name not in known:
                raise GenaeError(f"{table} has no {what} {name!r}; {nearest(name, known)}")
    api.expect_seeds(seeds)
    Path(out).mkdir(parents=True, exist_ok=True)  # after the checks, before the work
    opened = lru_cache(maxsize=1)(open_data)  # many cells of a table are of the same images
    path = Path(out) / f"{table.replace('/', '-')}{'-smoke' if budget == 'smoke' else ''}.json"
    result = _begun(path, table, budget, command)
    for name, (row, published) in all_rows.items():
        cells = result["rows"].setdefault(name, {})
        for column, paper in zip(all_columns, published, strict=True):
            if not ((rows is None or name in rows) and (columns is None or column in columns)):
                cells.setdefault(column, {"paper": paper, "measured": None, "why": NOT_ASKED})
                continue
            values: dict[str, float] = dict(cells.get(column, {}).get("values", {}))
            failed: dict[str, list[int]] = {}
            for seed in seeds:
                say(f"{name}, {column}, seed {seed}")
                try:
                    found = _measure(row, column, budget, seed, sources or {}, data_root, opened, Path(runs), progress)
                except GenaeError as error:
                    failed.setdefault(str(error), []).append(seed)
                    say(str(error))
                    continue
                data = measure_of(column).data
                _note_training(result, name, data, seed, found.how)
                values[str(seed)] = found.value
                if seed == min(map(int, values)):
                    result["runs"].setdefault(data, {})[name] = [str(found.run), found.space]
                _note_protocol(result, column, f"{name}, {column}, seed {seed}", found.protocol)
            cells[column] = {"paper": paper, **_summary(values), "why": _reasons(failed, seeds)}
            write_table(path, result)  # after every cell: nothing is lost
    draw_reconstructions(path, result)
    draw_traversals(path, result)
    return write_table(path, result)


def _begun(path: Path, table: str, budget: str, command: str) -> dict[str, Any]:
    """The table so far: what was measured before with the same budget stays."""
    fresh: dict[str, Any] = {"table": table, "budget": budget, "command": command, "protocol": {}, "unlike": {},
                             "how": {}, "otherwise": {}, "rows": {}, "runs": {}}  # fmt: skip
    before = json.loads(path.read_text()) if path.exists() else {}
    if before.get("budget") != budget:
        return fresh
    commands = [*before["command"].splitlines(), command]
    return fresh | before | {"command": "\n".join(dict.fromkeys(commands))}


def _summary(values: Mapping[str, float]) -> dict[str, Any]:
    """The value of each seed, and what the table shows of them."""
    ordered = {seed: values[seed] for seed in sorted(values, key=int)}
    if not ordered:
        return {"measured": None, "values": {}}
    of = list(ordered.values())
    return {"measured": {"mean": statistics.mean(of), "std": statistics.pstdev(of), "n": len(of)}, "values": ordered}


def _reasons(failed: Mapping[str, Sequence[int]], seeds: Sequence[int]) -> str | None:
    """Why seeds have no value; numbered where others have one, or another reason."""
    if not failed:
        return None
    return "; ".join(
        why if len(of) == len(seeds) else f"seed {', '.join(map(str, of))}: {why}" for why, of in failed.items()
    )


def _note_protocol(result: dict[str, Any], column: str, cell: str, protocol: dict[str, Any]) -> None:
    """Keep the column's protocol, and every way in which a cell's is another: such numbers are not comparable."""
    first = result["protocol"].setdefault(column, protocol)
    differences = [
        f"{key} {first.get(key)} / {protocol.get(key)}"
        for key in sorted({*first, *protocol})
        if first.get(key) != protocol.get(key)
    ]
    result["unlike"].pop(cell, None)
    if differences:
        result["unlike"][cell] = "; ".join(differences)


def _note_training(result: dict[str, Any], name: str, data: str, seed: int, how: str) -> None:
    """Keep how a row was trained on a data set, and whether this seed was trained otherwise than its others."""
    cells = [cell for column, cell in result["rows"][name].items() if measure_of(column).data == data]
    others = {other for cell in cells for other in cell.get("values", {})} - {str(seed)}
    where = f"{name}, {data}"
    first = result["how"].setdefault(where, how) if others else how
    result["how"][where] = first
    result["otherwise"].pop(f"{where}, seed {seed}", None)
    if how != first:
        result["otherwise"][f"{where}, seed {seed}"] = how


class Found(NamedTuple):
    """One cell and one seed."""

    value: float
    protocol: dict[str, Any]
    """The fingerprint without what was measured."""
    how: str
    """What was trained and fitted."""
    run: Path
    """Its folder."""
    space: str
    """What the row's reconstructions pass through."""


def _measure(
    row: Row,
    column: str,
    budget: str,
    seed: int,
    sources: Mapping[str, str],
    data_root: str | None,
    opened: Callable[..., ImageData],
    runs: Path,
    progress: Callable[[Mapping[str, Any]], None],
) -> Found:
    """Train, fit and evaluate what is missing of one cell and one seed."""
    measure = measure_of(column)
    row = row.on_cpu if budget == "cpu" and row.on_cpu else row
    if row.quoted:
        raise GenaeError(row.quoted)
    if measure.metric == "mse" and not row.model:
        raise GenaeError("real data have no reconstructions")
    model = row.model or "ae"  # of real data, any model's evaluation measures them
    if measure.metric == "mse" and AUTOENCODERS[model].encode is Autoencoder.encode:
        raise GenaeError(f"{model} has no encoder")
    settings = _settings(row, model, measure.data, budget, sources) | {"seed": seed, "data_root": data_root}
    if not row.model:  # nothing of it is used
        settings |= {"images": 1, "anneal": 0}
    label = "-".join([row.model or "data", *(f"{key}={row.options[key]}" for key in VARIANTS if key in row.options)])
    run = runs / budget / measure.data / f"{label}-seed{seed}"
    config = resolve(model, settings, {}, AUTOENCODERS)
    data = opened(config.data, **config.data_options())
    if train(config, run, data=data, progress=progress).stopped == "interrupted":
        raise KeyboardInterrupt
    how = "not trained: the test images themselves"
    if row.model:
        said = {k: v for k, v in {**settings, **config.options}.items() if k not in ("seed", "data", "data_root")}
        how = f"{model}: " + ", ".join(f"{k} {v}" for k, v in said.items())
    if row.fitted is not None:
        fitted = _fit_settings(row.fitted, budget)
        api.fit_prior(run, **fitted, name=row.prior, seed=seed)
        how += "; then, on its frozen codes, " + ", ".join(f"{k} {v}" for k, v in fitted.items())
    if measure.metric in ("top1", "top5"):
        wanted = _recognition(row, measure, budget, seed, run)
    else:
        wanted = _evaluation(row, measure, budget, run)
    for attempt in (0, 1):
        for record in reversed(read_lines(run / "metrics.jsonl", "metric")):
            fingerprint = record["fingerprint"]
            named = record["of"] == wanted.of and record["metric"].startswith(wanted.metric)
            if named and all(fingerprint.get(key) == value for key, value in wanted.fingerprint.items()):
                protocol = {k: v for k, v in fingerprint.items() if k not in wanted.subject}
                space = row.prior if row.through_prior else CODE
                return Found(measure.scale * record["value"], protocol, how, run, space)
        if attempt == 0:
            wanted.measure()
    raise GenaeError(f"{wanted.metric} of {wanted.of} is not measured for this row")


class Wanted(NamedTuple):
    """The record that a cell needs: only what this module measures itself, since a person may have measured the run in
    other ways."""

    of: str
    metric: str
    """How its name begins."""
    fingerprint: Mapping[str, Any]
    """What must be in its fingerprint; None: what must not."""
    measure: Callable[[], Any]
    """Makes it."""
    subject: Collection[str] = SUBJECT
    """What of its fingerprint says what was measured, not how."""


def _recognition(row: Row, measure: Measure, budget: str, seed: int, run: Path) -> Wanted:
    """Of a head on an encoder's frozen layers."""
    frozen = "none" if row.supervised else str(measure.features)
    trained = load(run)
    schedule: dict[str, Any] = {"epochs": EPOCHS.get(budget, DATA[measure.data].epochs)}
    if budget == "gpu":
        schedule["drop_every"] = DROP_EVERY
    subject = {
        "weights": FRESH if row.random_trunk else trained.digest, "data_digest": trained.trained_on,
        "split": "test", "frozen": frozen, "seed": seed, **schedule,
    }  # fmt: skip
    return Wanted(
        "random trunk" if row.random_trunk else CODE,
        f"{measure.metric}-{frozen}",
        subject,
        lambda: api.probe(run, frozen=frozen, random_trunk=row.random_trunk, seeds=[seed], **schedule),
        SUBJECT | {"seed"},
    )


def _evaluation(row: Row, measure: Measure, budget: str, run: Path) -> Wanted:
    """Of `api.evaluate`."""
    trained = load(run)
    metric, features = measure.metric, measure.features
    if budget == "smoke":  # what needs no published weights
        metric = {"is": "icp", "fid": "fd"}.get(metric, metric.replace("ppl", "fpl"))
    asked, _, path = metric.partition("_") if metric.startswith(("ppl", "fpl")) else (metric, "", "")
    if path:
        metric = f"{asked}_{row.space}_{path}"
    through_code = row.reconstructions or features or (metric == "mse" and not row.through_prior)
    of = REAL if not row.model else CODE if through_code else row.prior
    if row.reconstructions and metric in ("fid", "fd"):
        metric = f"r{metric}"
    subject: dict[str, Any] = {"weights": trained.digest, "split": "test", "data_digest": trained.trained_on}
    priors = [of] if of in trained.priors else []
    if priors:
        subject["prior_weights"] = weights_digest(trained.autoencoder.priors[of])
    if features:
        subject |= {"features": features, "train_data": None}  # the training images of the table's data
    elif METRICS[asked].of != "pairs":
        subject |= {"seed": 0} | ({"images": SAMPLES[budget]} if of not in (REAL, CODE) else {})
    return Wanted(of, metric, subject, lambda: api.evaluate(
        run, metrics=[asked, "cost"], samples=SAMPLES[budget], priors=priors, features=[features or "short"]
    ))  # fmt: skip


def _settings(row: Row, model: str, data: str, budget: str, sources: Mapping[str, str]) -> dict[str, Any]:
    """The flags of ``genae train``: the row's, and over them the budget's; flags that the model lacks are left out."""
    found = DATA[data]
    source = "digits" if budget == "smoke" else sources.get(data) or found.source
    if source is None:
        raise GenaeError(f"no data: give a folder with --data {data}=FOLDER")
    run_options = ("patience", "validate_every", "checkpoint_every", "precision")
    keep = run_options if row.small and budget == "cpu" else BUDGETS[budget]
    settings: dict[str, Any] = {"images": found.images} | dict(row.options)
    settings |= {key: BUDGETS[budget][key] for key in keep}
    if budget == "cpu":
        settings["images"] = found.cpu_images
        settings["anneal"] = 0 if row.small else found.cpu_images
    known = {*option_types(AUTOENCODERS[model]), "images", "average", "flip", *run_options}
    settings = {key: value for key, value in settings.items() if key in known}
    if budget == "smoke":
        return settings | {"data": source}
    opened = found.options | (found.cpu_options if budget == "cpu" else {})  # type: ignore[operator]
    known |= {"size", "fit"}  # a row's own are those of a preset, for other data
    return settings | {"data": source} | {key: value for key, value in opened.items() if key in known}


def _fit_settings(fitted: Mapping[str, Any], budget: str) -> dict[str, Any]:
    """The flags of ``genae prior``; a smoke test takes small ones."""
    if budget != "smoke":
        return dict(fitted)
    known = {*inspect.signature(PRIORS[fitted["kind"]].__init__).parameters}
    known |= {*get_type_hints(Fit)} if Fit(fitted["kind"]).learned else set()
    return {**fitted, **{key: value for key, value in SMOKE_FIT.items() if key in known}}
