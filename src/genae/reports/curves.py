"""The curves of a training: validation error and losses over images, as SVG."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Required, TypedDict

from PIL import Image

from genae.reports.figures import space_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#7d8590"
"""Of text and axes: reads on light and on dark pages."""
STYLES = ("-", "--", ":", "-.")
"""Of the lines of one training, where several are compared: through the code, and through each prior."""


class Entry(TypedDict, total=False):
    """A line of a run's ``log.jsonl``."""

    images: Required[int]
    seconds: float
    losses: dict[str, dict[str, float]]
    validation: dict[str, float]
    diagnostics: dict[str, float]
    warnings: list[str]


Log = Sequence[Entry]


def curves(log: Log) -> str:
    """Validation MSE and training losses over images, as two SVGs for light and dark pages (SWAE Fig. 4)."""
    validations, losses = _figure("Validation MSE in [-1, 1]"), _figure("Training losses")
    _draw_validations(validations.axes[0], [line for line in log if "validation" in line])
    _draw_losses(losses.axes[0], [line for line in log if "losses" in line])
    return _svg(validations) + _svg(losses)


def _figure(title: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 3.9), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.set_title(title, color=INK, fontsize=10)
    axes.set_yscale("log")
    axes.set_xlabel("images", color=INK, fontsize=9)
    axes.tick_params(which="both", colors=INK, labelsize=8)
    axes.set_facecolor("none")
    axes.grid(alpha=0.25)
    for spine in axes.spines.values():
        spine.set_color(INK)
    return figure


class Comparison(NamedTuple):
    """What is compared of one training."""

    log: Log
    distances: Mapping[str, Sequence[tuple[int, float]]] = {}
    """Prior -> images, and the Fréchet distance of its samples then."""


def compare_courses(courses: Mapping[str, Comparison], title: str) -> Image.Image:
    """Of several trainings, by name: validation MSE through the code and each prior, and where they were measured
    Fréchet distances of samples of each prior (SWAE Fig. 4)."""
    figures = [_figure(f"Validation MSE in [-1, 1], {title}")]
    for number, (name, course) in enumerate(courses.items()):
        lines = [line for line in course.log if "validation" in line]
        _draw_validations(figures[0].axes[0], lines, f"{name}, ", f"C{number}", STYLES)
    if any(course.distances for course in courses.values()):
        figures.append(_figure(f"Fréchet distance of samples, {title}"))
    for number, (name, course) in enumerate(courses.items()):
        for style, (prior, points) in zip(STYLES[1:], course.distances.items(), strict=False):
            x, y = zip(*points, strict=True)
            figures[-1].axes[0].plot(x, y, label=f"{name}, {prior}", color=f"C{number}", linestyle=style,
                                     marker="o", markersize=3)  # fmt: skip
    return _beside([_png(figure) for figure in figures])


def _png(figure: "Figure") -> Image.Image:
    figure.patch.set(alpha=1, facecolor="white")
    _legend(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return Image.open(buffer).convert("RGB")


def _beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one height in a row."""
    row = Image.new("RGB", (sum(picture.width for picture in pictures), pictures[0].height), "white")
    for number, picture in enumerate(pictures):
        row.paste(picture, (sum(before.width for before in pictures[:number]), 0))
    return row


def _svg(figure: "Figure") -> str:
    from matplotlib import rc_context

    _legend(figure)
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "genae"}):  # the same curves are the same text
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _legend(figure: "Figure") -> None:
    """Below the axes: over them it would cover curves. Its lines are long enough to show dashes."""
    if figure.axes[0].lines:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, fontsize=7, framealpha=0, labelcolor=INK, loc="outside lower center",
                      ncols=2, handlelength=5)  # fmt: skip


def _draw_validations(
    axes: "Axes", lines: Log, of: str = "", colour: str | None = None, styles: Sequence[str] = ("-",)
) -> None:
    for number, name in enumerate(lines[0]["validation"] if lines else ()):
        label = of + space_title("code" if name == "mse" else name.removeprefix("mse_"))
        points = [(line["images"], line["validation"][name]) for line in lines if name in line["validation"]]
        style = styles[number % len(styles)]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label, color=colour, linestyle=style)


def _draw_losses(axes: "Axes", lines: Log) -> None:
    for name in lines[0]["losses"] if lines else ():
        points = [(line["images"], line["losses"][name]["loss"]) for line in lines if name in line["losses"]]
        axes.plot(*zip(*points, strict=True), linewidth=1, label=_short(name))


def _short(update: str) -> str:
    """``priors.normal.encoder+priors.normal.decoder`` -> ``normal: encoder+decoder``."""
    parts = update.split("+")
    prior = parts[0].split(".")[1] if parts[0].startswith("priors.") else ""
    names = "+".join(part.rsplit(".", 1)[-1] for part in parts)
    return f"{prior}: {names}" if prior else names
