"""Crops of a model's parts."""

from pathlib import Path

import pytest
import torch

from genae.model import load
from genae.reports import part_figures


@pytest.mark.cpu
def test_crops_at_random_are_of_images_where_the_part_is_likely(patched: Path) -> None:
    model = load(patched)
    data = model.open_data()
    everything = data.split("train")
    with torch.no_grad():  # half of the images have no likely place of a part
        surest = model.parts(data.images(everything))[1].flatten(2).amax(2).logit()  # [M, N]
        model.autoencoder.heads.convolution.bias[-3:] -= surest.median(0).values  # type: ignore[union-attr,operator,index]
    for part in range(3):
        (found,) = part_figures.part_crops(model, data, everything, [part], 4, seed=1)
        (again,) = part_figures.part_crops(model, data, everything, [part], 4, seed=1)
        (other,) = part_figures.part_crops(model, data, everything, [part], 4, seed=2)
        likely = (model.parts(data.images(everything))[1][:, part].flatten(1).amax(1) > 0.5).sum()
        assert len(found.images) == min(4, int(likely))
        assert (found.scores > 0.5).all()
        assert torch.equal(found.images, again.images)
        assert not torch.equal(found.images, other.images)
        (most,) = part_figures.part_crops(model, data, everything, [part], len(everything), seed=1)
        assert len(most.images) == likely
        assert 0.25 < likely / len(everything) < 0.75


def test_a_part_that_is_likely_nowhere_has_no_crops(patched: Path, tmp_path: Path) -> None:
    model = load(patched)
    data = model.open_data()
    with torch.no_grad():
        model.autoencoder.heads.convolution.bias[-3:] -= 100  # type: ignore[union-attr,operator,index]
    (crops,) = part_figures.part_crops(model, data, data.split("test"), [1], 4, seed=1)
    assert crops.crops.shape == (0, 1, 22, 22)
    assert part_figures.save_crops([crops], data, tmp_path) == 0
    assert part_figures.crop_grid(model, data, data.split("test"), [0, 1, 2], 4, seed=1).height > 3 * 22
