"""Files of tensors and lines: whole or refused, and errors that name them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from genae.errors import GenaeError
from genae.model import load
from genae.storage import load_tensors, save_tensors
from genae.training.start import train


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "not a readable safetensors file"),
        (lambda p: p.write_bytes(b"\x80\x04\x95pickle"), "not a readable safetensors file"),
        (lambda p: save_tensors(p, {"x": torch.zeros(1)}, {}), "does not hold a genae model"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(damage: Any, message: str, tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    damage(tmp_path / "run" / "best.safetensors")
    with pytest.raises(GenaeError, match=message):
        load(tmp_path / "run")


def test_weights_of_another_architecture_are_refused(tmp_path: Path, short_config) -> None:
    train(short_config(), tmp_path / "run")
    path = tmp_path / "run" / "best.safetensors"
    tensors, metadata = load_tensors(path)
    tensors["encoder.linear.weight"] = torch.zeros(2, 2)
    del metadata["format"]
    save_tensors(path, tensors, metadata)
    with pytest.raises(GenaeError, match=r"does not fit the model .* 'encoder.linear.weight' differs"):
        load(path)
