"""The report of a run: one self-contained HTML page."""

import base64
import html
import io
from dataclasses import asdict
from pathlib import Path

from genae.data.sources import ImageData
from genae.metrics import explain, kind_of
from genae.model import Model
from genae.reports import figures, tables
from genae.reports.course import Course, course_of
from genae.reports.curves import Log, curves
from genae.reports.gallery import HEADINGS, Drawing, Gallery, draw_figures
from genae.storage import read_lines, write_atomically
from genae.training.checkpoint import RunFolder
from genae.training.config import Config

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --paper: #fff; --panel: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --paper: #0d1117; --panel: #151b23 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem; font-size: 1.15rem } p, figcaption { color: var(--soft) }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper) }
figure { margin: 1rem 0 } img, svg { max-width: 100%; height: auto } img { border-radius: 4px; background: #fff }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1rem }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); gap: 1rem }
.samples figure { margin: 0 }
pre { background: var(--panel); padding: 1rem; overflow-x: auto; font-size: .8rem }
"""


def write_report(model: Model, data: ImageData, run: Path | str, seed: int = 0) -> Path:
    """Draw every figure into ``figures/`` and write ``report.html``; returns its path."""
    folder = RunFolder(run)
    gallery = draw_figures(model, data, seed)
    for name, drawing in gallery.items():
        figures.save_picture(drawing.picture, folder.path / "figures" / f"{name}.png")
    records = tables.newest(read_lines(folder.path / "metrics.jsonl", "fingerprint"), model.digest)
    page = folder.path / "report.html"
    write_atomically(page, render(model, data, records, course_of(folder), gallery))
    return page


def render(model: Model, data: ImageData, records: tables.Records, course: Course, gallery: Gallery) -> str:
    """The page as text."""
    parts = [
        *_headed(model, data, course),
        "<h2>Measured</h2>",
        _measured(records, model.digest),
        "<h2>Training</h2>",
        *(_trained(course) if not model.autoencoder.origin else ["<p>It was imported, and not trained here.</p>"]),
        *_shown(gallery),
        *("<h2>Data</h2>", "<ul>", *(f"<li>{html.escape(note)}</li>" for note in data.describe()), "</ul>"),
        *("<h2>Configuration</h2>", f"<pre>{html.escape(_settings(model.config))}</pre>"),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(model.name)} · genae</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _headed(model: Model, data: ImageData, course: Course) -> list[str]:
    """What the model is, how long it was trained, and which of its weights are shown."""
    channels, height, width = model.image_shape
    what = f"{model.config.model} on {data.name} ({channels} × {height} × {width})."
    origin = model.autoencoder.origin
    sentences = [f"Its weights are those of {origin}."] if origin else course.sentences
    return [f"<h1>{html.escape(model.name)}</h1>", f"<p>{html.escape(' '.join([what, *sentences]))}</p>"]


def _trained(course: Course) -> list[str]:
    """The curves, what the training said of itself, and what is wrong with its log."""
    caption = "Validation error through the code and through each prior (SWAE Fig. 4, left), and the training losses."
    figure = f'<figure><div class="curves">{curves(course.log)}</div><figcaption>{caption}</figcaption></figure>'
    trouble = [f"<p>{course.trouble}</p>"] if course.trouble else []
    return [*([figure] if course.log else []), *trouble, *_diagnosed(course.log)]


def _shown(gallery: Gallery) -> list[str]:
    """The figures under their headings."""
    parts = []
    for kind, heading in HEADINGS.items():
        group = [_figure(name, drawing) for name, drawing in gallery.items() if name.split("-")[0] == kind]
        if group:
            parts += [f"<h2>{heading}</h2>", f'<div class="{kind}">', *group, "</div>"]
    return parts


def _measured(records: tables.Records, weights: str) -> str:
    """The table of measurements; ``weights`` is the hash of those that the report shows."""
    if not records:
        return "<p>Nothing measured yet: run <code>genae evaluate</code>.</p>"
    header, rows = tables.table(records)
    head = "".join(f"<th>{html.escape(h)}</th>" for h in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    kinds = dict.fromkeys(kind_of(row[0]) for row in rows)
    legend = "; ".join(f"<b>{kind}</b>: {explain(kind)}" for kind in kinds if kind)
    if any(row[0].startswith(f"r{kind_of(row[0])}") for row in rows):
        legend += "; names that begin with <b>r</b> are of reconstructions"
    cautions = tables.cautions(records)
    if weights not in {record["fingerprint"].get("weights") for record in records}:
        cautions.append("these numbers are of other weights than the pictures; genae evaluate measures those again")
    notes = "".join(f"<p>Note: {html.escape(caution)}.</p>" for caution in cautions)
    protocols = "".join(
        f"<p>{html.escape(name)}: {html.escape(how)}.</p>" for name, how in tables.protocols(records).items()
    )
    return (
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
        f"<p>{legend}.</p>{notes}<details><summary>Protocol</summary>{protocols}</details>"
    )


def _diagnosed(log: Log) -> list[str]:
    """The latest diagnostics of the training, and every warning that it gave."""
    checks = [line for line in log if line.get("diagnostics")]
    if not checks:
        return []
    numbers = ", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in checks[-1]["diagnostics"].items())
    warnings = [
        f"<li>warning at {line['images']:,} images: {html.escape(text)}</li>"
        for line in checks
        for text in line.get("warnings", ())
    ]
    return [
        f"<p>At the end of the training: {html.escape(numbers)}. Code std and code rank are the spread and the "
        "effective dimensions of the codes. Hole is how far a prior’s samples are from the codes, in units of the "
        "codes’ variance. Diversity is the spread of samples over that of real images.</p>",
        *(["<ul>", *warnings, "</ul>"] if warnings else []),
    ]


def _figure(name: str, drawing: Drawing) -> str:
    buffer = io.BytesIO()
    drawing.picture.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{html.escape(name)}">'
        f"<figcaption>{html.escape(drawing.caption)}</figcaption></figure>"
    )


def _settings(config: Config) -> str:
    fields = asdict(config)
    flat = {key: value for key, value in fields.items() if key != "options"} | dict(config.options)
    return "\n".join(f"{key.replace('_', '-'):18} {value}" for key, value in flat.items())
