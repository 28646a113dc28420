"""The papers' tables: train what is missing, measure it, and set it beside the published figures."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError, nearest
from genae.metrics.evaluate import REAL
from genae.metrics.reconstruction import CODE
from genae.model import load
from genae.protocol import Autoencoder
from genae.report.tables import markdown
from genae.storage import read_lines, write_atomically
from genae.training.config import option_types, resolve
from genae.training.train import train

BUDGETS: dict[str, dict[str, Any]] = {
    # Minutes on two cores, to see that everything works: the figures mean nothing. Digits stand in for every data set.
    "smoke": {"images": 1_500, "width": 4, "prior_width": 32, "critic_width": 32, "batch_size": 50, "code_dim": 16},
    # An hour and more for each row on two cores: narrow networks, codes of 32 dimensions, a falling learning rate.
    "cpu": {
        "images": 400_000, "anneal": 400_000, "width": 16, "code_dim": 32, "learning_rate": 7e-4, "batch_size": 64,
        "patience": 0, "prior_initial": "kaiming", "validate_every": 20_000, "checkpoint_every": 20_000,
    },
    # The papers' own settings.
    "gpu": {},
}  # fmt: skip
SAMPLES = {"smoke": 1_000, "cpu": 10_000, "gpu": 10_000}


@dataclass(frozen=True)
class DataSet:
    """A data set of the tables: how it is opened, and how long the papers trained on it."""

    source: str | None
    """Its name; None where the user has to give a folder."""
    options: Mapping[str, Any]
    images: int


DATA = {
    "mnist": DataSet("mnist", {"size": "32", "fit": "pad"}, 200 * 55_000),
    "cifar10": DataSet("cifar10", {}, 200 * 45_000),
    "celeba": DataSet(None, {"size": "64", "fit": "crop"}, 25 * 162_770),
    "oxford102": DataSet(None, {"size": "64", "fit": "stretch"}, 200 * 1_020),
}


@dataclass(frozen=True)
class Row:
    """What a row of a table is, in genae: a model, its options, and where its samples come from."""

    model: str = ""
    """A name in `AUTOENCODERS`; empty for real data."""
    prior: str = "normal"
    options: Mapping[str, Any] = field(default_factory=dict)
    through_prior: bool = False
    """Whether the table's reconstructions pass through the prior (SWAE's do)."""


_PAPER: dict[str, Any] = {"learning_rate": 1e-4, "code_dim": 128, "width": 64, "patience": 10}
_SWAE: dict[str, Any] = _PAPER | {"batch_size": 64, "priors": "normal,uniform", "prior_dim": 64}
_AAAE: dict[str, Any] = _PAPER | {"batch_size": 100, "prior_dim": 64}
_ALI, _ALICE = Row("ali", options=_PAPER), Row("alice", options=_PAPER)
_WAE, _WGAN = (
    Row("wae-mmd", options=_PAPER),
    Row("wgan-gp", options={k: v for k, v in _PAPER.items() if k != "patience"}),
)

# Rows: what each is in genae, and the published figures, by column (None: the paper gives none).
TABLES: dict[str, tuple[tuple[str, ...], dict[str, tuple[Row, tuple[float | None, ...]]]]] = {
    # Xu, Keshmiri, Wang: Stacked Wasserstein Autoencoder (2019), Table 1. It quotes ALI and ALICE on MNIST and CIFAR-10
    # from the ALICE paper.
    "swae/table1": (
        ("mnist_icp", "mnist_mse", "cifar10_icp", "cifar10_mse", "celeba_fid", "celeba_mse"),
        {
            "true data": (Row(), (None, None, None, None, 1.94, None)),
            "ali": (_ALI, (8.84, 0.38, 5.97, 0.56, 6.95, 0.281)),
            "alice": (_ALICE, (9.35, 0.07, 6.04, 0.214, None, None)),
            "wae": (_WAE, (None, None, None, None, 98.78, 0.02)),
            "swae (w/o D1)": (
                Row("stacked-wae", "normal", _SWAE | {"critic_weight": 0.0}, True),
                (None, None, None, None, 68.15, 0.046),
            ),
            "swae (normal)": (Row("stacked-wae", "normal", _SWAE, True), (8.87, 0.01, 5.73, 0.081, 18.38, 0.072)),
            "swae (uniform)": (Row("stacked-wae", "uniform", _SWAE, True), (8.91, 0.01, 5.81, 0.078, 17.14, 0.066)),
        },
    ),
    # Xu, Keshmiri, Wang: Adversarially Approximated Autoencoder (2019), Table I.
    "aaae/table1": (
        ("mnist_icp", "mnist_mse", "cifar10_icp", "cifar10_mse", "celeba_fid", "celeba_mse", "oxford102_fid"),
        {
            "wgan-gp": (_WGAN, (None, None, 6.61, None, None, None, None)),
            "ali": (_ALI, (8.839, 0.38, 5.974, 0.559, 6.946, 0.283, 80.817)),
            "alice": (_ALICE, (9.349, 0.073, 6.043, 0.216, None, None, None)),
            "wae": (_WAE, (None, None, None, None, 98.78, 0.019, 196.56)),
            "aaae": (Row("aaae", "wgan-gp", _AAAE), (9.873, 0.011, 6.431, 0.053, 4.868, 0.023, 103.46)),
        },
    ),
    # The same, Table II: the weight lambda_1 of the adversarial term.
    "aaae/table2": (
        ("celeba_fid", "celeba_mse"),
        {
            f"lambda1={weight}": (Row("aaae", "wgan-gp", _AAAE | {"critic_weight": weight}), published)
            for weight, published in (
                (0.0001, (88.564, 0.018)), (0.001, (4.868, 0.023)), (0.01, (18.541, 0.033)), (0.1, (22.245, 0.039)),
            )
        },
    ),
}  # fmt: skip

# Column -> metric to ask for, and how its record's name begins. CIFAR-10's score is with Inception-v3, as the papers'.
MEASURES = {"mse": ("mse", "mse"), "fid": ("fid", "fid")}


def measure_of(column: str) -> tuple[str, str, str]:
    """``mnist_icp`` -> data set, metric, and how its number's name begins."""
    data, _, kind = column.partition("_")
    if kind == "icp":
        return (data, "is", "is") if data == "cifar10" else (data, "icp", "icp")
    return (data, *MEASURES[kind])


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
    found = DATA[data]
    source = "digits" if budget == "smoke" else sources.get(data) or found.source
    if source is None:
        raise GenaeError(f"no data: give a folder with --data {data}=FOLDER")
    if budget == "smoke":
        metric, begins = {"is": ("icp", "icp"), "fid": ("fd", "fd")}.get(metric, (metric, begins))
    model = row.model or "ae"  # of real data, any model's evaluation measures them
    settings: dict[str, Any] = {"data": source, "seed": seed, "data_root": data_root, "images": found.images}
    settings |= {} if budget == "smoke" else found.options
    settings |= {**row.options, **BUDGETS[budget]}
    known = option_types(AUTOENCODERS[model])
    run_settings = {
        "data",
        "seed",
        "data_root",
        "images",
        "size",
        "fit",
        "patience",
        "validate_every",
        "checkpoint_every",
    }
    settings = {key: value for key, value in settings.items() if key in known or key in run_settings}
    if metric == "mse" and not row.model:
        raise GenaeError("real data have no reconstructions")
    if metric == "mse" and AUTOENCODERS[model].encode is Autoencoder.encode:
        raise GenaeError(f"{model} has no encoder")
    label = "-".join([model, *(f"{key}={row.options[key]}" for key in ("critic_weight",) if key in row.options)])
    run = runs / budget / data / f"{label}-seed{seed}"
    config = resolve(model, settings, {}, AUTOENCODERS)
    if train(config, run, progress=progress).stopped == "interrupted":
        raise KeyboardInterrupt
    of = REAL if not row.model else CODE if metric == "mse" and not row.through_prior else row.prior
    for attempt in (0, 1):
        digest = load(run).digest
        for record in reversed(read_lines(run / "metrics.jsonl", "metric")):
            fingerprint = record["fingerprint"]
            if (record["of"], fingerprint["weights"]) == (of, digest) and record["metric"].startswith(begins):
                return record["value"], {k: v for k, v in fingerprint.items() if k != "weights"}
        if attempt == 0:
            api.evaluate(run, metrics=[metric], samples=SAMPLES[budget])
    raise GenaeError(f"{metric} of {of} is not measured for this row")


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
