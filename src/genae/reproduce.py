"""The papers' tables: train what is missing, measure it, and set it beside the published figures."""

import inspect
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError, nearest
from genae.metrics.evaluate import REAL
from genae.metrics.reconstruction import CODE
from genae.model import load
from genae.paper_tables import BUDGETS, DATA, SAMPLES, SMOKE_FIT, TABLES, Row, measure_of
from genae.priors import PRIORS
from genae.protocol import Autoencoder
from genae.report.tables import SUBJECT, markdown
from genae.storage import read_lines, weights_digest, write_atomically
from genae.training.config import option_types, resolve
from genae.training.fit import Fit
from genae.training.train import train


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
    """Train and measure the rows of a table of `TABLES`, and write ``<paper>-<table>.json`` and ``.md`` into ``out``.

    sources: data set of `DATA` -> folder or zip that holds it. Runs are kept in ``runs`` and resumed; what is measured
    is not measured again. A cell that cannot be measured says why. Returns the Markdown file. Raises `GenaeError`.
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
    Path(out).mkdir(parents=True, exist_ok=True)  # after the checks, before the work
    result: dict[str, Any] = {"table": table, "command": command, "protocol": {}, "rows": {}}
    for name, (row, published) in all_rows.items():
        cells = result["rows"][name] = {}
        for column, paper in zip(all_columns, published, strict=True):
            wanted = (rows is None or name in rows) and (columns is None or column in columns)
            values, why, protocol = [], None if wanted else "not asked for", None
            for seed in seeds if wanted else ():
                say(f"{name}, {column}, seed {seed}")
                try:
                    value, protocol = _measure(
                        row, column, budget, seed, sources or {}, data_root, Path(runs), progress
                    )
                    values.append(value)
                except GenaeError as error:
                    why = str(error)
                    break
            deviation = statistics.pstdev(values) if values else 0.0
            measured = {"mean": statistics.mean(values), "std": deviation, "n": len(values)} if values else None
            cells[column] = {"paper": paper, "measured": measured, "why": None if measured else why}
            if protocol:
                result["protocol"][column] = protocol
            _write(Path(out), table, budget, result)  # after every cell: nothing is lost
    return _write(Path(out), table, budget, result)


def _measure(
    row: Row,
    column: str,
    budget: str,
    seed: int,
    sources: Mapping[str, str],
    data_root: str | None,
    runs: Path,
    progress: Callable[[Mapping[str, Any]], None],
) -> tuple[float, dict[str, Any]]:
    """One cell and one seed: its value, and the fingerprint without what was measured."""
    data, metric, begins = measure_of(column)
    if metric == "mse" and not row.model:
        raise GenaeError("real data have no reconstructions")
    row = row.on_cpu if budget == "cpu" and row.on_cpu else row
    model = row.model or "ae"  # of real data, any model's evaluation measures them
    if metric == "mse" and AUTOENCODERS[model].encode is Autoencoder.encode:
        raise GenaeError(f"{model} has no encoder")
    if budget == "smoke":
        metric, begins = {"is": ("icp", "icp"), "fid": ("fd", "fd")}.get(metric, (metric, begins))
    settings = _settings(row, model, data, budget, sources) | {"seed": seed, "data_root": data_root}
    label = "-".join([model, *(f"{key}={row.options[key]}" for key in ("critic_weight",) if key in row.options)])
    run = runs / budget / data / f"{label}-seed{seed}"
    if train(resolve(model, settings, {}, AUTOENCODERS), run, progress=progress).stopped == "interrupted":
        raise KeyboardInterrupt
    if row.fitted is not None:
        api.fit_prior(run, **_fit_settings(row.fitted, budget), name=row.prior, seed=seed)
    of = REAL if not row.model else CODE if metric == "mse" and not row.through_prior else row.prior
    for attempt in (0, 1):
        trained = load(run)
        subject = {"weights": trained.digest}
        if of in trained.priors:
            subject["prior_weights"] = weights_digest(trained.autoencoder.priors[of])
        for record in reversed(read_lines(run / "metrics.jsonl", "metric")):
            fingerprint = record["fingerprint"]
            if record["of"] == of and record["metric"].startswith(begins) and fingerprint.items() >= subject.items():
                return record["value"], {k: v for k, v in fingerprint.items() if k not in SUBJECT}
        if attempt == 0:
            priors = [of] if of in trained.priors else []
            api.evaluate(run, metrics=[metric, "cost"], samples=SAMPLES[budget], priors=priors)
    raise GenaeError(f"{metric} of {of} is not measured for this row")


def _settings(row: Row, model: str, data: str, budget: str, sources: Mapping[str, str]) -> dict[str, Any]:
    """The flags of ``genae train``: the row's, and over them the budget's; flags that the model lacks are left out."""
    found = DATA[data]
    source = "digits" if budget == "smoke" else sources.get(data) or found.source
    if source is None:
        raise GenaeError(f"no data: give a folder with --data {data}=FOLDER")
    settings: dict[str, Any] = {"images": found.images} | dict(row.options) | BUDGETS[budget]
    if budget == "cpu":
        settings |= {"images": found.cpu_images, "anneal": found.cpu_images}
    known = {*option_types(AUTOENCODERS[model]), "images", "patience", "validate_every", "checkpoint_every"}
    settings = {key: value for key, value in settings.items() if key in known}
    return settings | {"data": source} | (dict(found.options) if budget != "smoke" else {})


def _fit_settings(fitted: Mapping[str, Any], budget: str) -> dict[str, Any]:
    """The flags of ``genae prior``; a smoke test takes small ones."""
    if budget != "smoke":
        return dict(fitted)
    known = {*get_type_hints(Fit), *inspect.signature(PRIORS[fitted["kind"]].__init__).parameters}
    return {**fitted, **{key: value for key, value in SMOKE_FIT.items() if key in known}}


def _write(out: Path, table: str, budget: str, result: Mapping[str, Any]) -> Path:
    """The table as JSON and as Markdown; returns the latter's path."""
    name = table.replace("/", "-")
    write_atomically(out / f"{name}.json", json.dumps(result, indent=2) + "\n")
    columns = TABLES[table][0]
    rows = [
        [row, *(_cell(cells[column]) for column in columns if column in cells)] for row, cells in result["rows"].items()
    ]
    why = {
        f"{row}, {column}: {cell['why']}"
        for row, cells in result["rows"].items()
        for column, cell in cells.items()
        if cell["why"] and cell["why"] != "not asked for"
    }
    protocol = {column: ", ".join(f"{k} {v}" for k, v in p.items()) for column, p in result["protocol"].items()}
    note = (
        "**A smoke test: the figures mean nothing; digits stand in for every data set.**\n\n"
        if budget == "smoke"
        else ""
    )
    text = (
        f"# {table}\n\n```\n{result['command']}\n```\n\n{note}Each cell: paper / measured (mean ± standard deviation "
        "over seeds, and their number).\n\n"
        + markdown(["", *columns], rows)
        + "\n\n"
        + "".join(f"- {line}\n" for line in sorted(why))
        + "\nProtocol:\n\n"
        + "".join(f"- {column}: {line}\n" for column, line in protocol.items())
    )
    path = out / f"{name}.md"
    write_atomically(path, text)
    return path


def _cell(cell: Mapping[str, Any]) -> str:
    paper = "-" if cell["paper"] is None else f"{cell['paper']:g}"
    measured = cell["measured"]
    ours = "-" if measured is None else f"{measured['mean']:.4g} ± {measured['std']:.2g} ({measured['n']})"
    return f"{paper} / {ours}"
