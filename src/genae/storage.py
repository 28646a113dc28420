"""Files that survive: written under a temporary name, flushed, renamed; and never pickle."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from genae.errors import GenaeError

FORMAT = "genae-1"


def write_atomically(path: Path, data: str | bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, rename it: readers see the old or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write named tensors as safetensors, atomically."""
    temporary = path.with_name(path.name + ".tmp")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, temporary, {"format": FORMAT, **metadata})
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `save_tensors` wrote; anything else raises `GenaeError`."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise GenaeError(f"{path} is not a readable safetensors file: {error}") from None
    if metadata.get("format") != FORMAT:
        raise GenaeError(f"{path} was not written by this version of genae (format {metadata.get('format')!r})")
    return tensors, metadata


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Copy named tensors into a model; missing, unknown or misshapen ones raise `GenaeError`."""
    state = model.state_dict()
    wrong = sorted(set(state) ^ set(tensors)) or [n for n, t in tensors.items() if t.shape != state[n].shape]
    if wrong:
        raise GenaeError(f"{where} does not fit the model of its configuration: {wrong[0]!r} differs")
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(tensors[name])


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append one JSON line."""
    with open(path, "a") as file:
        file.write(json.dumps(record) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Every complete JSON line of a file; none where there is no file."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:  # cut short by a kill
            continue
    return lines


def flush_folder(path: Path) -> None:
    """Make renames inside a folder survive a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_arrays(path: Path, arrays: Mapping[str, Tensor], names: Sequence[str] = ()) -> None:
    """Write named arrays, and file names beside them, as ``.npz`` or ``.safetensors``; else `GenaeError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        values: dict[str, Any] = {name: tensor.numpy() for name, tensor in arrays.items()}
        if names:
            values["names"] = np.array(names)
        buffer = io.BytesIO()
        np.savez(buffer, **values)
        write_atomically(path, buffer.getvalue())
    elif path.suffix == ".safetensors":
        save_tensors(path, arrays, {"names": json.dumps(names)} if names else {})
    else:
        raise GenaeError(f"cannot write {path}: expected a name that ends in .npz or .safetensors")


def load_codes(path: Path) -> Tensor:
    """Read the codes [N, D] that `save_arrays` wrote; anything else raises `GenaeError`."""
    if path.suffix == ".safetensors":
        found = load_tensors(path)[0].get("codes")
    else:
        try:
            found = torch.from_numpy(np.load(path, allow_pickle=False)["codes"])
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise GenaeError(f"{path} is not a file of codes: {error}") from None
    if found is None or found.ndim != 2:
        raise GenaeError(f"{path} holds no array 'codes' of shape [N, D]")
    return found.float()
