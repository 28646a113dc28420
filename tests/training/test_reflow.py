"""A flow that is made straight."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from genae import api
from genae.errors import GenaeError
from genae.model import load
from genae.priors.flow_matching import Flow
from genae.priors.stack import StackedPrior
from genae.storage import load_tensors
from genae.training.prior_fit import Fit, fit_to_codes
from genae.training.reflow import reflow

OPTIONS = {"width": 32, "blocks": 1, "half_life": 2000}


def test_one_step_of_a_straight_flow_goes_where_many_of_its_teacher_went(
    tmp_path: Path, generator, two_clusters
) -> None:
    codes = two_clusters(1000)
    settings = Fit("flow-matching", images=40_000, batch_size=200, learning_rate=5e-3, options=OPTIONS)
    teacher, _ = fit_to_codes(codes, settings, tmp_path / "a")
    assert isinstance(teacher, StackedPrior)
    with torch.no_grad():
        z = teacher.latent(400, generator())
        there = teacher.decode(z)

    def miss(prior: StackedPrior) -> float:
        flow = prior.levels[1]
        assert isinstance(flow, Flow)
        flow.solver_steps = 1
        with torch.no_grad():
            return float((prior.decode(z) - there).square().mean().sqrt())

    before = miss(teacher)
    teacher.levels[1].solver_steps = 16  # type: ignore[assignment]
    straight, _ = reflow(teacher, 2000, settings, tmp_path / "b")
    assert isinstance(straight, StackedPrior)
    after = miss(straight)
    assert after < 0.5 * before, (before, after)


def test_a_flow_is_made_straight_in_a_run(small_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(small_run, tmp_path / "run")
    fit: dict[str, Any] = {"images": 400, "batch_size": 100}
    api.fit_prior(run, "flow-matching", name="curved", given="label", **fit, **OPTIONS)
    path = api.fit_prior(run, "flow-matching", name="straight", reflow_from="curved", solver_steps=2, **fit)
    said = json.loads(load_tensors(path)[1]["fit"])
    assert said["given"] == "label"
    assert said["options"] == {**OPTIONS, "solver_steps": 2}
    stamp = path.stat().st_mtime_ns
    assert api.fit_prior(run, "flow-matching", name="straight", reflow_from="curved", solver_steps=2, **fit) == path
    assert path.stat().st_mtime_ns == stamp
    model = load(run)
    assert model.classes("straight") == tuple("0123456789")
    assert model.sample(3, prior="straight", given="7").shape[0] == 3
    for settings, sentence in (
        ({"kind": "flow-matching", "reflow_from": "none"}, "no prior 'none' of these weights to reflow from"),
        ({"kind": "flow-matching", "reflow_from": "curved", "width": 64}, "width is 64, and 32 in 'curved'"),
        ({"kind": "flow", "reflow_from": "curved"}, "a flow prior has no flow to make straight"),
    ):
        with pytest.raises(GenaeError, match=sentence):
            api.fit_prior(run, name="other", **settings)  # type: ignore[arg-type]
    with pytest.raises(GenaeError, match="the prior 'curved' would replace the one that it reflows from"):
        api.fit_prior(run, "flow-matching", name="curved", reflow_from="curved", **fit)
