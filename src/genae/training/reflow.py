"""A flow made straight: trained again on pairs of noise and the codes that it makes of it, so that few steps do.

Liu, Gong, Liu 2023, Algorithm 1 (reflow).
"""

import json
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from genae.data.sampler import mix_seed
from genae.errors import GenaeError
from genae.networks.arithmetic import exact_float32
from genae.priors.flow_matching import Flow
from genae.priors.stack import StackedPrior
from genae.progress import Progress, silent
from genae.protocol import Prior
from genae.rows import HELD
from genae.settings.parser import dashed
from genae.storage import load_tensors
from genae.training.prior_fit import Fit, Labels, train_prior

PIECE = 256
FREE = ("solver_steps", "half_life")
"""Options in which a straightened flow may differ from the one that it comes from: its network stays what it is."""


def settings_of_teacher(settings: Fit, file: Path, weights: str) -> Fit:
    """``settings`` with what a straightened flow has from the prior in ``file``: its options and what it is told.

    Raises `GenaeError` where there is no such prior of these ``weights`` (their hash), for one of another kind, and for
    other options.
    """
    name = settings.reflow_from
    said = load_tensors(file)[1] if file.exists() else {}
    if said.get("weights") != weights:
        raise GenaeError(f"there is no prior {name!r} of these weights to reflow from; fit it first with genae prior")
    teacher = Fit(**json.loads(said["fit"]))
    if teacher.kind != settings.kind:
        raise GenaeError(f"prior {name!r} is of kind {teacher.kind}, and {settings.kind} is to reflow from it")
    for option, value in settings.options.items():
        if option not in FREE and value != teacher.options.get(option, value):
            raise GenaeError(
                f"{dashed(option)} is {value}, and {teacher.options[option]} in {name!r}: a flow is made straight with "
                "its own network; leave it out"
            )
    return replace(settings, given=teacher.given, options=dict(sorted({**teacher.options, **settings.options}.items())))


def reflow(
    teacher: Prior,
    count: int,
    settings: Fit,
    partial: Path,
    progress: Progress = silent,
    device: torch.device | str = "cpu",
) -> tuple[Prior, float]:
    """Straighten a fitted flow, on ``count`` pairs or as many as `rows.HELD` bytes hold; the flow, on the CPU, and the
    seconds that it took. It begins as the teacher, which is changed. See `fit_to_codes` for ``partial``."""
    begun = time.perf_counter()
    assert isinstance(teacher, StackedPrior)
    flow = teacher.levels[1]
    assert isinstance(flow, Flow)
    flow.to(device)
    pairs, numbers = _pairs(flow, min(count, HELD // (8 * flow.code_dim)), settings.seed, progress)
    flow.solver_steps = int(settings.options.get("solver_steps", flow.solver_steps))
    flow.half_life = int(settings.options.get("half_life", flow.half_life))
    vector_to_parameters(flow.average.clone(), flow.velocity.parameters())
    labels = None if numbers is None else Labels(numbers, flow.classes)
    before = time.perf_counter() - begun
    seconds = before + train_prior(flow.train(), pairs, labels, settings, partial, progress)
    return teacher.cpu().eval(), seconds


@torch.no_grad()
@exact_float32()
def _pairs(flow: Flow, count: int, seed: int, progress: Progress) -> tuple[Tensor, Tensor | None]:
    """[x_0, x_1] of a flow, [N, 2 D], and of which classes [N] they are; on the CPU."""
    generator = torch.Generator().manual_seed(mix_seed("reflow", seed))
    pairs = torch.empty(count, 2 * flow.code_dim)
    labels = torch.empty(count, dtype=torch.long) if flow.classes else None
    for rows in torch.arange(count).split(PIECE):
        progress("pairs of noise and codes", int(rows[0]), count)
        given = flow.drawn_classes(len(rows), generator)
        x_0 = flow.latent(len(rows), generator, given)
        pairs[rows] = torch.cat([x_0, flow.decode(x_0, given)], 1).cpu()
        if labels is not None and given is not None:
            labels[rows] = given.labels.cpu()
    return pairs, labels
