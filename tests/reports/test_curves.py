"""Curves of losses and validations."""

import pytest
from matplotlib.figure import Figure

from genae.reports.curves import Comparison, compare_courses


def test_a_legend_tells_dashed_lines_from_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    save = Figure.savefig

    def saved(figure: Figure, *arguments: object, **settings: object) -> None:
        lengths.append(figure.legends[0].handlelength)
        save(figure, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", saved)
    log = [{"images": n, "validation": {"mse": 1 / n, "mse_normal": 2 / n}} for n in (1, 2)]
    compare_courses({"k=1": Comparison(log, {"normal": [(1, 2.0), (2, 1.0)]})}, "celeba")
    assert lengths == [5, 5]
