"""Kernel distance."""

from typing import Any

import pytest
import torch

from genae.metrics.kernel import kernel_distance, polynomial_mmd
from tests.metrics.vectors import VECTORS, named, normal, t


@named(VECTORS["kid_poly"])
def test_polynomial_mmd(case: dict[str, Any]) -> None:
    assert polynomial_mmd(t(*case["x"]), t(*case["y"])) == pytest.approx(case["unbiased"], abs=1e-12)


def test_kernel_distance_agrees_with_the_packages() -> None:
    from torch_fidelity.metric_kid import kernel_mmd
    from torchmetrics.image.kid import poly_mmd

    x, y = normal(50, 16), normal(50, 16, seed=1) + 0.2
    defaults = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None,
                "kid_kernel_poly_coef0": 1, "kid_kernel_mmd_est": "unbiased"}  # fmt: skip
    assert polynomial_mmd(x, y) == pytest.approx(float(poly_mmd(x, y)), rel=1e-12)
    assert polynomial_mmd(x, y) == pytest.approx(float(kernel_mmd(x.numpy(), y.numpy(), **defaults)), rel=1e-12)
    mean, deviation = kernel_distance(x, y, subsets=1, subset_size=50)
    assert (mean, deviation) == (pytest.approx(polynomial_mmd(x, y), rel=1e-12), 0)


def test_kernel_distance_is_seeded_and_leaves_the_global_generator_alone() -> None:
    x, y = normal(60, 4), normal(80, 4, seed=1)
    state = torch.random.get_rng_state()
    first = kernel_distance(x, y, 20, 30, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert kernel_distance(x, y, 20, 30, seed=1) == first
    assert kernel_distance(x, y, 20, 30, seed=2) != first
