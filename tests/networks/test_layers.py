"""Layers: padding and its inverse, normalisation by name and over processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from genae.networks.layers import centre_crop, normalisation, pad_to_multiple


def test_cropping_undoes_padding() -> None:
    x = torch.rand(1, 2, 5, 7)
    assert torch.equal(centre_crop(pad_to_multiple(x, 8, 12), 5, 7), x)


def test_normalisation_by_name() -> None:
    assert isinstance(normalisation("batch", 3), nn.BatchNorm2d)
    with pytest.raises(ValueError, match="'layer'; expected 'batch', 'group' or 'none'"):
        normalisation("layer", 3)


PROCESSES = """
import torch
from genae import distributed
from genae.networks.layers import BatchNorm

distributed.start("cpu")
rank, count = distributed.rank(), distributed.world_size()
torch.manual_seed(0)
x, target = 3 * torch.randn(12, 5, 4, 3) + 10, torch.randn(12, 5, 4, 3)
weight, bias = torch.randn(5), torch.randn(5)

def normalised(x, target):
    layer = BatchNorm(5)
    layer.load_state_dict(layer.state_dict() | {"weight": weight, "bias": bias})
    x = x.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
    y = layer(x)
    (y - target).square().mean().backward()
    return y.detach(), x.grad, layer

whole = []
def alone():
    y, gradient, layer = normalised(x, target)
    whole.extend([y, gradient, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var])
if rank == 0:
    distributed.by_writer(alone)
else:
    distributed.by_writer(lambda: None)
rows = slice(rank * 12 // count, (rank + 1) * 12 // count)
y, gradient, layer = normalised(x[rows], target[rows])
own = [y, gradient / count, distributed.average(layer.weight.grad), distributed.average(layer.bias.grad)]
own += [layer.running_mean, layer.running_var]
if rank == 0:
    for i, (a, b) in enumerate(zip(own, whole)):
        torch.testing.assert_close(a, b[rows] if i < 2 else b, rtol=1e-4, atol=1e-5)
    print("equal")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_batch_normalisation_of_processes_is_that_of_their_union(processes: int, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROCESSES, encoding="utf-8")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    printed = subprocess.run(
        [*launch, tmp_path / "program.py"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "equal" in printed
