"""The run folder: what is in it, how it is written so that nothing is ever lost, and how it is read."""

import errno
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from genae.errors import GenaeError
from genae.storage import (
    LOCK,
    OWNER,
    append_line,
    flush_folder,
    load_tensors,
    load_weights,
    locked,
    read_lines,
    save_tensors,
    write_atomically,
)
from genae.training.average import Average
from genae.training.config import Config
from genae.training.loop import Loop

AVERAGE = "average.safetensors"
WRITABLE = ".writable"
PREPARED = {"checkpoints", "figures", WRITABLE, f"{WRITABLE}.tmp"}
"""What a folder holds before it is locked."""
KEEP = 2  # the older one is there in case the disk loses the newer


class Best(TypedDict):
    """The lowest validation error of a run."""

    mse: float
    images: int
    """Images seen when it was measured."""
    since: int
    """Validations after it."""


class State(TypedDict):
    """What a checkpoint's ``state.json`` holds."""

    images: int
    best: Best
    seconds: float
    data: str
    """The hash of the training data."""
    levels: NotRequired[int]
    """How many halvings of the images it took from the data; 0 where it is not said."""
    perceptual: NotRequired[str]
    """The hash of the network of its perceptual term; not said where it has none."""


class RunFolder:
    """``config.json``, ``log.jsonl``, ``metrics.jsonl``, ``figures/``, ``checkpoints/``, ``best.safetensors``."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def expect_ours(self) -> None:
        """Raise `GenaeError` for a folder of the user's, in which something lies that no training wrote."""
        try:
            if self.checkpoints() or not self.path.exists():
                return
            names = {file.name for file in self.path.iterdir()}
        except OSError as error:  # a file; a name that is too long; no permission
            raise GenaeError(f"{str(self.path)[:60]} cannot be a run folder: {error.strerror}") from None
        began = "checkpoints" in names and ({LOCK, OWNER} & names or names <= PREPARED)
        if names and not began:
            raise GenaeError(
                f"{self.path} holds {min(names)!r} and no training of genae; choose a --run that is new or empty"
            )

    def prepare(self, needed_bytes: int) -> None:
        """Create the folder; raise `GenaeError` if it cannot be written or its disk has too little room."""
        try:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
            (self.path / "figures").mkdir(exist_ok=True)
            write_atomically(self.path / WRITABLE, "")
            (self.path / WRITABLE).unlink()
        except OSError as error:
            raise GenaeError(f"cannot write the run folder {self.path}: {error.strerror}") from None
        free = shutil.disk_usage(self.path).free
        if free < needed_bytes:
            raise GenaeError(
                f"the disk of {self.path} has {free / 1e6:.0f} MB free; this run needs {needed_bytes / 1e6:.0f} MB"
            )

    def locked(self) -> AbstractContextManager[None]:
        """Hold the folder for this process; a second writer gets a `GenaeError`."""
        return locked(self.path)

    @property
    def config(self) -> Config | None:
        """The configuration of what was trained here; None before the first checkpoint, when nothing can be lost."""
        checkpoints = self.checkpoints()
        if not checkpoints:
            return None
        file = self.path / "config.json"
        if not file.exists():  # it is in every weights file as well
            _, metadata = load_tensors(checkpoints[-1] / "model.safetensors")
            return Config.from_json(metadata.get("config", ""), str(checkpoints[-1]))
        try:
            return Config.from_json(file.read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise GenaeError(f"{file} cannot be read: {error}") from None

    @property
    def weights(self) -> Path | None:
        """The trained model: the best weights, else the newest checkpoint's, averaged where an average is kept."""
        candidates = [self.path / "best.safetensors"]
        for checkpoint in self.checkpoints()[-1:]:
            candidates += [checkpoint / AVERAGE, checkpoint / "model.safetensors"]
        return next((file for file in candidates if file.exists()), None)

    def weights_at(self, checkpoint: str) -> Path:
        """A weights file: the ``best``, the ``last`` checkpoint's, or of the one after so many images; averaged where
        an average is kept. Raises `GenaeError` for what there is not."""
        numbers = [str(int(_images(folder))) for folder in self.checkpoints()]
        names = dict(zip([*numbers, "last"], [*self.checkpoints(), *self.checkpoints()[-1:]], strict=False))
        candidates = [self.path / "best.safetensors"] if checkpoint == "best" else []
        if checkpoint in names:
            candidates += [names[checkpoint] / AVERAGE, names[checkpoint] / "model.safetensors"]
        file = next((file for file in candidates if file.exists()), None)
        if file is None:
            best = ["best"] if (self.path / "best.safetensors").exists() else []
            there = ", ".join([*best, *(["last"] if numbers else []), *numbers]) or "none"
            raise GenaeError(f"{self.path} has no weights {checkpoint!r}; there are: {there}")
        return file

    def checkpoints(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        folders = (self.path / "checkpoints").glob("images-*")
        return sorted((p for p in folders if _images(p).isdigit()), key=lambda p: int(_images(p)))

    def save(self, loop: Loop, state: State, config: Config, average: Average | None = None) -> None:
        """Write the checkpoint ``images-NNNNNNNNN``: a temporary folder, renamed when all of it is on the disk."""
        images = state["images"]
        final = self.path / "checkpoints" / f"images-{images:09d}"
        if final.exists():  # resumed from it, and nothing was trained since
            return
        temporary = final.with_name(final.name + ".tmp")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            self._save_weights(temporary / "model.safetensors", loop.model, images, config, state["data"])
            if average:
                self._save_weights(temporary / AVERAGE, average.model, images, config, state["data"])
            save_tensors(temporary / "optimisers.safetensors", optimiser_tensors(loop), {"images": str(images)})
            write_atomically(temporary / "state.json", json.dumps(state, indent=2))
            flush_folder(temporary)
            os.rename(temporary, final)
            flush_folder(final.parent)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise self._write_error(error) from None
        for old in self.checkpoints()[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)  # on Windows, what somebody reads stays until the next save

    def save_best(self, model: nn.Module, images: int, config: Config, data: str) -> None:
        """Replace ``best.safetensors``; ``data`` is the hash of what it was trained on."""
        try:
            self._save_weights(self.path / "best.safetensors", model, images, config, data)
        except (OSError, SafetensorError) as error:
            (self.path / "best.safetensors.tmp").unlink(missing_ok=True)
            raise self._write_error(error) from None

    def _save_weights(self, path: Path, model: nn.Module, images: int, config: Config, data: str) -> None:
        shape = json.dumps(list(model.image_shape))  # type: ignore[arg-type]
        metadata = {"config": config.to_json(), "images": str(images), "image_shape": shape, "data": data}
        save_tensors(path, model.state_dict(), metadata)

    def restore(self, loop: Loop, average: Average | None = None) -> State | None:
        """Bring a loop and its average to the newest checkpoint; returns its state, or None when there is none."""
        checkpoints = self.checkpoints()
        if not checkpoints:
            return None
        newest = checkpoints[-1]
        try:
            weights, _ = load_tensors(newest / "model.safetensors")
            averaged, _ = load_tensors(newest / AVERAGE) if average else ({}, {})
            moments, _ = load_tensors(newest / "optimisers.safetensors")
            state: State = json.loads((newest / "state.json").read_text(encoding="utf-8"))
            if state["images"] != int(_images(newest)) or not {"best", "seconds", "data"} <= state.keys():
                raise ValueError("state.json is incomplete or of another checkpoint")
            restore_optimisers(loop, moments)
        except (GenaeError, OSError, ValueError, KeyError, TypeError) as error:
            raise GenaeError(
                f"checkpoint {newest} is damaged ({error}); delete it to resume from the one before"
            ) from None
        load_weights(loop.model, weights, newest / "model.safetensors")
        if average:
            load_weights(average.model, averaged, newest / AVERAGE)
        return state

    def trim_logs(self, images: int) -> None:
        """Drop what was logged after the checkpoint that a run resumes from, and a line cut short by a kill.

        Raises `GenaeError` for a file that holds nothing of a log: it would be lost.
        """
        log = self.path / "log.jsonl"
        begun, history = self.beginnings(), self.history()
        if not begun and not history and log.exists() and b"\n" in log.read_bytes():
            raise GenaeError(f"{log} is not the log of a training: no line of it can be read; restore or delete it")
        kept = [record for record in begun if record["began_at"] <= images]
        kept += [record for record in history if record["images"] <= images]
        write_atomically(self.path / "log.jsonl", "".join(json.dumps(record) + "\n" for record in kept))

    def log(self, record: Mapping[str, object]) -> None:
        """Append one line to ``log.jsonl``."""
        try:
            append_line(self.path / "log.jsonl", record)
        except OSError as error:
            raise self._write_error(error) from None

    def history(self) -> list[dict[str, Any]]:
        """The lines of ``log.jsonl`` that say what was reached after how many images."""
        return read_lines(self.path / "log.jsonl", "images")

    def beginnings(self) -> list[dict[str, Any]]:
        """The lines of ``log.jsonl`` that say after how many images a training began or went on, and how."""
        return read_lines(self.path / "log.jsonl", "began_at")

    def _write_error(self, error: Exception) -> GenaeError:
        saved = self.checkpoints()
        full = (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left" in str(error)
        reason = "the disk is full" if full else str(error)
        state = f"the last saved state is {saved[-1].name}" if saved else "nothing was saved yet"
        return GenaeError(f"cannot write to {self.path}: {reason}; {state}, the same command resumes from it")


def _images(checkpoint: Path) -> str:
    return checkpoint.name.removeprefix("images-")


def optimiser_tensors(loop: Loop) -> dict[str, Tensor]:
    """The state of every optimiser, by network, number of the parameter, and name."""
    return {
        f"{network}/{i}/{key}": torch.as_tensor(value)
        for network, optimiser in loop.optimisers.items()
        for i, p in enumerate(optimiser.param_groups[0]["params"])
        for key, value in optimiser.state[p].items()
    }


def restore_optimisers(loop: Loop, tensors: Mapping[str, Tensor]) -> None:
    """Undo `optimiser_tensors`; raises ValueError for those of another model."""
    keys = ("step", "exp_avg", "exp_avg_sq")
    expected = {f"{n}/{i}/{key}" for n, ps in loop.parameters.items() for i in range(len(ps)) for key in keys}
    if set(tensors) - expected or len(tensors) % len(keys):
        raise ValueError("the optimisers are not those of this model")
    for network, optimiser in loop.optimisers.items():
        for i, p in enumerate(optimiser.param_groups[0]["params"]):
            prefix = f"{network}/{i}/"
            state = {key: tensors[prefix + key] for key in keys if prefix + key in tensors}
            # Moments keep their parameter's memory layout: fused Adam walks both by address.
            optimiser.state[p] = {
                key: torch.empty_like(p).copy_(t) if t.shape == p.shape and key != "step" else t.clone().to(p.device)
                for key, t in state.items()
            }
