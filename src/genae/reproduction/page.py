"""A paper's table beside what was measured: its Markdown, its JSON, its pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from genae.model import is_run, load
from genae.reports import figures
from genae.reports.tables import markdown
from genae.reproduction.published import TABLES
from genae.storage import write_atomically

NOT_ASKED = "not asked for"
SHOWN = 12  # images


def draw_reconstructions(path: Path, result: Mapping[str, Any]) -> None:
    """Held-out images and every row's reconstructions of them, a picture for each data set (ALAE Fig. 3).

    A picture stays as it is where a row's run is gone: a new one would lack that row.
    """
    for data, runs in result["runs"].items():
        if _picture(path, data).exists() and not all(is_run(run) for run, _ in runs.values()):
            continue
        images, rows = None, {}
        drawn: dict[tuple[str, str], str] = {}
        for name, (run, space) in runs.items():
            drawn.setdefault((run, space), name)  # once for rows that differ in their prior alone
        table = list(TABLES[result["table"]][1])
        for (run, space), name in sorted(drawn.items(), key=lambda item: table.index(item[1])):
            model = load(run) if is_run(run) else None
            if model is None or not model.spaces or not TABLES[result["table"]][1][name][0].model:
                continue
            if images is None:
                source = model.open_data()
                test = source.split("test")  # often sorted by class: take them from all over
                images = source.images(test[torch.linspace(0, len(test) - 1, SHOWN).long()])
            rows[name] = model.reconstruct(images, space)
        if images is not None:
            picture = figures.grid(
                torch.stack([images, *rows.values()]),
                ["held out", *rows],
                title=f"Reconstructions, {data}, the lowest seed of each row",
            )
            figures.save_picture(picture, _picture(path, data))


def draw_traversals(path: Path, result: Mapping[str, Any]) -> None:
    """Ways between samples in z and in codes, for the first row of each data set whose codes are learned (Fig. 4)."""
    for data, runs in result["runs"].items():
        for row, (run, _) in runs.items():
            model = load(run) if is_run(run) else None
            mapped = (
                [name for name, prior in model.autoencoder.priors.items() if figures.is_mapped(prior)] if model else []
            )
            if model and mapped:
                ways = figures.traversal_grid(model, mapped[0], title=f"{row}, {data}: ways between samples")
                figures.save_picture(ways, _picture(path, f"{data}-paths"))
                break


def _picture(table: Path, data: str) -> Path:
    return table.with_name(f"{table.stem}-{data}.png")


def write_table(path: Path, result: Mapping[str, Any]) -> Path:
    """The table as JSON and as Markdown; returns the latter's path."""
    write_atomically(path, json.dumps(result, indent=2) + "\n")
    columns = TABLES[result["table"]][0]
    rows = [
        [row, *(_cell(cells[column]) for column in columns if column in cells)] for row, cells in result["rows"].items()
    ]
    why = {
        f"{row}, {column}: {cell['why']}"
        for row, cells in result["rows"].items()
        for column, cell in cells.items()
        if cell["why"] and cell["why"] != NOT_ASKED
    }
    why |= _together(result["unlike"], "not comparable with the rest of its column")
    why |= _together(result["otherwise"], "not trained as the row's other seeds")
    protocol = {column: ", ".join(f"{k} {v}" for k, v in p.items()) for column, p in result["protocol"].items()}
    note = "**A smoke test: the figures mean nothing; digits stand in for every data set.**\n\n"
    text = (
        f"# {result['table']}\n\n```\n{result['command']}\n```\n\n{note if result['budget'] == 'smoke' else ''}"
        "Each cell: paper / measured; of several seeds their mean ± standard deviation (over n, not n - 1), and n.\n\n"
        + markdown(["", *columns], rows)
        + "\n\n"
        + "".join(
            f"![Held-out images of {data} and what each row gives back]({_picture(path, data).name})\n\n"
            for data in result["runs"]
            if _picture(path, data).exists()
        )
        + "".join(
            f"![Ways between samples, in z and in codes, {data}]({_picture(path, f'{data}-paths').name})\n\n"
            for data in result["runs"]
            if _picture(path, f"{data}-paths").exists()
        )
        + "".join(f"- {line}\n" for line in sorted(why))
        + f"\nHow each row was trained (budget {result['budget']}):\n\n"
        + "".join(f"- {row}: {how}\n" for row, how in result["how"].items())
        + "\nProtocol:\n\n"
        + "".join(f"- {column}: {line}\n" for column, line in protocol.items())
    )
    write_atomically(path.with_suffix(".md"), text)
    return path.with_suffix(".md")


def _together(notes: Mapping[str, str], what: str) -> set[str]:
    """A sentence for each cell and way in which it is ``what``, for all its seeds together."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for cell, way in notes.items():
        name, _, seed = cell.partition(", seed ")
        seeds.setdefault((name, way), []).extend([int(seed)] if seed else [])
    return {
        f"{name}{', seed ' if of else ''}{', '.join(map(str, sorted(of)))}: {what}: {way}"
        for (name, way), of in seeds.items()
    }


def _cell(cell: Mapping[str, Any]) -> str:
    paper = "-" if cell["paper"] is None else f"{cell['paper']:g}"
    measured = cell["measured"]
    if measured is None:
        return f"{paper} / -"
    several = f" ± {measured['std']:.2g} ({measured['n']})" if measured["n"] > 1 else ""
    return f"{paper} / {measured['mean']:.4g}{several}"
