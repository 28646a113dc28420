"""Numbers that tests of metrics compare with: published or hand-computed cases, and seeded tensors."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "metric_vectors.json").read_text())


def t(*rows: object) -> torch.Tensor:
    """A float64 tensor of rows."""
    return torch.tensor(rows, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Seeded draws from N(0, 1), float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def named(cases: list[dict[str, Any]]) -> Any:
    """A test for each case of `VECTORS`, under its name."""
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])
