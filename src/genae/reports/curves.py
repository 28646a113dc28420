"""The curves of a training: validation error and losses over images, as SVG."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genae.reports.figures import space_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#7d8590"
"""Of text and axes: reads on light and on dark pages."""

LEGEND_COLUMNS = 3

Log = Sequence[Mapping[str, Any]]
"""The lines of a run's ``log.jsonl``."""


def curves(history: Log) -> str:
    """Validation MSE and training losses over images, as an SVG for light and dark pages (SWAE Fig. 4)."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    figure.patch.set_alpha(0)
    left, right = figure.subplots(1, 2)
    _draw_validations(left, [line for line in history if "validation" in line])
    _draw_losses(right, [line for line in history if "losses" in line])
    for axes, title in ((left, "Validation MSE in [-1, 1]"), (right, "Training losses")):
        _style(axes, title)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "genae"}):  # the same curves are the same text
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _draw_validations(axes: "Axes", lines: Log) -> None:
    for name in lines[0]["validation"] if lines else ():
        label = space_title("code" if name == "mse" else name.removeprefix("mse_"))
        points = [(line["images"], line["validation"][name]) for line in lines if name in line["validation"]]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)


def _draw_losses(axes: "Axes", lines: Log) -> None:
    for name in lines[0]["losses"] if lines else ():
        points = [(line["images"], line["losses"][name]["loss"]) for line in lines if name in line["losses"]]
        axes.plot(*zip(*points, strict=True), linewidth=1, label=_short(name))


def _style(axes: "Axes", title: str) -> None:
    axes.set_title(title, color=INK, fontsize=10)
    axes.set_yscale("log")
    axes.set_xlabel("images", color=INK, fontsize=9)
    axes.tick_params(which="both", colors=INK, labelsize=8)
    axes.set_facecolor("none")
    axes.grid(alpha=0.25)
    for spine in axes.spines.values():
        spine.set_color(INK)
    if axes.lines:  # below the axes: over them it would cover curves
        axes.legend(
            fontsize=7,
            framealpha=0,
            labelcolor=INK,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.2),
            ncols=LEGEND_COLUMNS,
        )


def _short(update: str) -> str:
    """``priors.normal.encoder+priors.normal.decoder`` -> ``normal: encoder+decoder``."""
    parts = update.split("+")
    prior = parts[0].split(".")[1] if parts[0].startswith("priors.") else ""
    names = "+".join(part.rsplit(".", 1)[-1] for part in parts)
    return f"{prior}: {names}" if prior else names
