"""The report of a run: one self-contained HTML page."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from genae.data.sampler import shuffled
from genae.data.sources import ImageData
from genae.latent.mixing import BANDS
from genae.metrics import explain, kind_of
from genae.model import Model
from genae.reports import figures, part_figures, tables
from genae.storage import read_lines, write_atomically
from genae.training.checkpoint import RunFolder

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --paper: #fff; --panel: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --paper: #0d1117; --panel: #151b23 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem; font-size: 1.15rem } p, figcaption { color: var(--soft) }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
figure { margin: 1rem 0 } img, svg { max-width: 100%; height: auto } img { border-radius: 4px; background: #fff }
.samples { display: flex; flex-wrap: wrap; gap: 1rem } .samples figure { flex: 1 1 20rem } 
pre { background: var(--panel); padding: 1rem; overflow-x: auto; font-size: .8rem }
"""


def write_report(model: Model, data: ImageData, run: Path | str, seed: int = 0) -> Path:
    """Draw every figure into ``figures/`` and write ``report.html``; returns its path."""
    folder = RunFolder(run)
    pictures = draw_figures(model, data, seed)
    for name, (picture, _) in pictures.items():
        figures.save_picture(picture, folder.path / "figures" / f"{name}.png")
    records = tables.newest(read_lines(folder.path / "metrics.jsonl", "fingerprint"))
    page = folder.path / "report.html"
    write_atomically(page, render(model, data, records, folder.history(), pictures))
    return page


def draw_figures(model: Model, data: ImageData, seed: int) -> dict[str, tuple[Image.Image, str]]:
    """Name -> picture and caption."""
    test = data.split("test")
    count = min(12, len(test))
    held_out = data.images(test[:count])
    drawn: dict[str, tuple[Image.Image, str]] = {}
    if model.spaces:
        drawn["reconstructions"] = (
            figures.reconstruction_grid(model, held_out),
            "Held-out images and what each path gives back.",
        )
    for prior in model.priors:
        drawn[f"samples-{prior}"] = (figures.sample_grid(model, 64, seed, prior), f"New images from the {prior} prior.")
    for prior, network in model.autoencoder.priors.items():
        if figures.is_mapped(network):
            drawn[f"traversal-{prior}"] = (
                figures.traversal_grid(model, prior, seed=seed),
                "Straight lines between the same two samples: in the prior’s latent variables, and in codes "
                "(ALAE Fig. 4).",
            )
    if not model.spaces:  # no encoder: there is nothing between images to show
        return drawn
    pairs = min(4, count // 2)
    if pairs:
        a, b = held_out[:pairs], held_out[pairs : 2 * pairs]
        for space in model.spaces:
            drawn[f"interpolation-{space}"] = (
                figures.interpolation_grid(model, a, b, space=space),
                f"Straight lines in {'code' if space == 'code' else 'the ' + space + ' prior’s'} space; "
                "the outer columns are the images themselves.",
            )
    if count >= 4:
        drawn["manifold"] = (
            figures.manifold_grid(model, held_out[-4:]),
            "The corners are four held-out images (SWAE Fig. 6).",
        )
    if model.layers > 1 and count >= 2:
        drawn["mixing"] = (
            figures.mixing_grid(model, *mixing_example(model, held_out)),
            "Styles of one image in others, layer by layer (ALAE Fig. 9).",
        )
    if model.has_parts and count >= 2:
        drawn |= _draw_parts(model, data, held_out)
    train = data.split("train")
    learned = train[shuffled(0, min(2000, len(train)), len(train), seed=0)]
    both = [name for name, has in data.directions().items() if has[learned].any() and not has[learned].all()]
    if both:
        along = model.direction(data.images(learned), data.directions()[both[0]][learned], both[0])
        strengths = (-2, -1, -0.5, 0, 0.5, 1, 2)
        drawn["edit"] = (
            figures.edit_grid(model, model.encode(held_out[:4]), along, f"“{both[0]}”", strengths),
            "Codes moved along the difference of means with and without an attribute (SWAE Section 4.3).",
        )
    return drawn


def _draw_parts(model: Model, data: ImageData, images: Tensor) -> dict[str, tuple[Image.Image, str]]:
    there = model.parts(images[:1])[1].shape[1]
    numbers = list(range(min(8, there)))
    of = f" The first 8 of {there} parts; genae parts draws all." if there > 8 else ""
    return {
        "parts-maps": (
            part_figures.occurrence_grid(model, images, numbers),
            "Held-out images, and the cells in which each part is likely (PatchVAE Fig. 3)." + of,
        ),
        "parts-crops": (
            part_figures.crop_grid(model, data, data.split("train")[:2000], numbers),
            "The likeliest places of each part among training images (PatchVAE Fig. 4), unpicked." + of,
        ),
        "parts-swaps": (
            part_figures.swap_grid(model, images, images.roll(1, 0), numbers),
            "Reconstructions with the appearance of one part from another image (PatchVAE Fig. 5)." + of,
        ),
    }


def mixing_example(model: Model, images: Tensor, bands: Sequence[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
    """Up to six images, and for each band (by default all that the model has) two others that give their styles."""
    highest = 4 * 2 ** ((model.layers - 1) // 2)
    bands = bands or [band for band, (low, _) in BANDS.items() if low <= highest]
    into = images[: min(6, len(images) // 2)]
    numbers = [[(len(into) + 2 * place + i) % len(images) for i in (0, 1)] for place in range(len(bands))]
    return into, {band: images[chosen] for band, chosen in zip(bands, numbers, strict=True)}


def render(
    model: Model,
    data: ImageData,
    records: tables.Records,
    history: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, tuple[Image.Image, str]],
) -> str:
    """The page as text."""
    losses = [h for h in history if "losses" in h]
    trained = (
        f"{losses[-1]['images']:,} images in {losses[-1]['seconds'] / 60:.1f} minutes" if losses else "no training log"
    )
    channels, height, width = model.image_shape
    parts = [
        f"<h1>{html.escape(model.name)}</h1>",
        f"<p>{html.escape(model.config.model)} on {html.escape(data.name)} "
        f"({channels} × {height} × {width}), trained on {trained}.</p>",
        "<h2>Measured</h2>",
        _measured(records),
        "<h2>Training</h2>",
        f"<figure>{figures.curves(history)}<figcaption>Validation error through the code and through each prior "
        "(SWAE Fig. 4, left), and the training losses.</figcaption></figure>"
        if history
        else "<p>No training log.</p>",
    ]
    parts += _diagnosed(history)
    headings = {"reconstructions": "Reconstructions", "samples": "Samples", "interpolation": "Interpolation",
                "traversal": "Between samples",
                "manifold": "Between four images", "mixing": "Style mixing", "edit": "Editing",
                "parts": "Parts"}  # fmt: skip
    for kind, heading in headings.items():
        group = [(n, p, c) for n, (p, c) in pictures.items() if n.split("-")[0] == kind]
        if group:
            parts += [
                f"<h2>{heading}</h2>",
                f'<div class="{kind}">',
                *(_figure(n, p, c) for n, p, c in group),
                "</div>",
            ]
    parts += ["<h2>Data</h2>", "<ul>", *(f"<li>{html.escape(note)}</li>" for note in data.describe()), "</ul>"]
    parts += ["<h2>Configuration</h2>", f"<pre>{html.escape(_settings(asdict(model.config)))}</pre>"]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(model.name)} · genae</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _measured(records: tables.Records) -> str:
    if not records:
        return "<p>Nothing measured yet: run <code>genae evaluate</code>.</p>"
    header, rows = tables.table(records)
    head = "".join(f"<th>{html.escape(h)}</th>" for h in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    kinds = dict.fromkeys(kind_of(row[0]) for row in rows)
    legend = "; ".join(f"<b>{kind}</b>: {explain(kind)}" for kind in kinds if kind)
    if any(row[0].startswith(f"r{kind_of(row[0])}") for row in rows):
        legend += "; names that begin with <b>r</b> are of reconstructions"
    notes = "".join(f"<p>Note: {html.escape(note)}.</p>" for note in tables.cautions(records))
    protocols = "".join(
        f"<p>{html.escape(name)}: {html.escape(how)}.</p>" for name, how in tables.protocols(records).items()
    )
    return (
        f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
        f"<p>{legend}.</p>{notes}<details><summary>Protocol</summary>{protocols}</details>"
    )


def _diagnosed(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The latest diagnostics of the training, and every warning that it gave."""
    checks = [h for h in history if h.get("diagnostics")]
    if not checks:
        return []
    numbers = ", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in checks[-1]["diagnostics"].items())
    said = [f"at {h['images']:,} images: {text}" for h in checks for text in h["warnings"]]
    return [
        f"<p>At the end: {html.escape(numbers)}. (Code std and rank: spread and effective dimensions of the codes; "
        "hole: how far a prior’s samples are from the codes, in units of the codes’ variance; diversity: spread of "
        "samples over that of real images.)</p>",
        *(["<ul>", *(f"<li>warning {html.escape(text)}</li>" for text in said), "</ul>"] if said else []),
    ]


def _figure(name: str, picture: Image.Image, caption: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<figure><img src="data:image/png;base64,{data}" alt="{html.escape(name)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _settings(config: Mapping[str, Any]) -> str:
    flat = {k: v for k, v in config.items() if k != "options"} | dict(config["options"])
    return "\n".join(f"{key.replace('_', '-'):18} {value}" for key, value in flat.items())
