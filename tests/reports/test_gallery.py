"""Which images a report shows."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genae.data.sources import ImageData
from genae.model import Model, load
from genae.reports import figures
from genae.reports.gallery import draw_figures


def test_held_out_images_are_of_many_classes_also_where_files_are_sorted(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(run)
    data = model.open_data()
    test = data.split("test")
    labels = data.labels
    assert labels is not None
    sorted_by_class = replace(data, splits=data.splits | {"test": test[labels[test].argsort(stable=True)]})
    shown: list[torch.Tensor] = []
    plain = figures.reconstruction_grid

    def noting(model: Model, images: torch.Tensor) -> object:
        shown.append(images)
        return plain(model, images)

    monkeypatch.setattr(figures, "reconstruction_grid", noting)
    for source in (sorted_by_class, sorted_by_class):
        draw_figures(model, source, seed=0)
    assert torch.equal(*shown), "the choice is fixed"
    of = [_class_of(image, data) for image in shown[0]]
    assert len(of) == 12
    assert len(set(of[:10])) == 10, "every digit once before any comes again"


def _class_of(image: torch.Tensor, data: ImageData) -> int:
    assert data.labels is not None
    everything = data.images(torch.arange(len(data.labels)))
    return int(data.labels[int((everything - image).abs().flatten(1).sum(1).argmin())])


def test_edits_stand_beside_the_images_that_they_are_of(run: Path) -> None:
    drawn = draw_figures(load(run), load(run).open_data(), seed=0)
    width = drawn["interpolation-code"].picture.width  # an image, nine steps, an image
    assert drawn["edit"].picture.width == width - 3 * 66, "an image and seven strengths"


def test_priors_that_know_classes_show_each(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(told)
    drawn = draw_figures(model, model.open_data(), seed=0)
    assert [name for name in drawn if name.startswith("classes")] == ["classes-gaussian"]
    assert drawn["classes-gaussian"].picture.height == 26 + 10 * 66 + 2
    monkeypatch.setattr("genae.reports.gallery.CLASSES", 3)
    (few,) = (each for name, each in draw_figures(model, model.open_data(), 0).items() if name.startswith("classes"))
    assert few.picture.height == 26 + 3 * 66 + 2
    assert few.caption.endswith("The first 3 of 10 classes; genae sample --given all draws all.")
