"""The report of a run."""

import re
from pathlib import Path

from genae import api
from genae.model import load
from genae.reports.course import Course
from genae.reports.gallery import draw_figures
from genae.reports.page import render, write_report


def test_report_is_one_page(run: Path) -> None:
    api.evaluate(run, samples=1000)
    model = load(run)
    page = write_report(model, model.open_data(), run)
    text = page.read_text()
    assert 'src="data:image/png' in text
    assert not re.findall(r'(?:src|href)="http', text), "nothing is loaded from elsewhere"
    for word in ("Reconstructions", "Samples", "Interpolation", "Editing", "icp1k", "through uniform"):
        assert word in text
    assert {p.stem for p in (run / "figures").iterdir()} >= {"reconstructions", "samples-normal", "manifold", "edit"}


def test_the_report_of_a_run_shows_its_parts(patched: Path) -> None:
    model = load(patched)
    data = model.open_data()
    drawn = draw_figures(model, data, seed=0)
    assert {"parts-maps", "parts-crops", "parts-swaps"} <= drawn.keys()
    page = render(model, data, [], Course(), drawn)
    assert "<h2>Parts</h2>" in page
    assert all(f'alt="{name}"' in page for name in drawn), "every figure that was drawn is on the page"
