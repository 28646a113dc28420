"""The course of a training: iterations, log, validation, checkpoints, clean stops."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from genae import distributed
from genae.data.sources import ImageData
from genae.errors import GenaeError
from genae.metrics.reconstruction import reconstruction_mse
from genae.networks.arithmetic import exact_float32
from genae.protocol import Autoencoder, Part, evaluating
from genae.training.average import Average
from genae.training.captured import CapturedLoop
from genae.training.checkpoint import Best, RunFolder, State
from genae.training.config import Config
from genae.training.diagnostics import SAMPLES, diagnose, warnings
from genae.training.feed import Feed, levels_taken
from genae.training.loop import Loop, Record
from genae.training.precision import Precision

LOG_EVERY = 50  # iterations; also how late a NaN is noticed, since looking at a loss waits for the device
LOOK_EVERY = 20
"""Iterations, at most, between two looks of several processes whether one was asked to stop."""
LOOK_SECONDS = 1.0
"""Slow iterations are looked at after about this time: torchrun kills what has not stopped after 30 seconds."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended."""

    images: int
    seconds: float
    """Of this call."""
    stopped: str
    """``finished``, ``early`` (no improvement) or ``interrupted``."""
    best_mse: float
    """Best validation MSE through the code, in [-1, 1]."""


class Trainer:
    """The state of a running `train`: the loop, its log, validation, checkpoints, clean stops."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        data: ImageData,
        model: Autoencoder,
        progress: Callable[[Mapping[str, object]], None],
    ) -> None:
        self.config = config
        self.folder = folder
        self.data = data
        self.model = model
        self.progress = progress
        self.device = next(model.parameters()).device
        self.average = Average(model, config.average) if config.average else None
        self.trained = self.average.model if self.average else model
        parts = config.accumulate * distributed.world_size()
        self.feed = Feed(data, model, config.seed, config.flip, parts, config.images)
        self.levels = levels_taken(model, data.store)
        self.loop = (CapturedLoop if config.capture else Loop)(
            model,
            self.batches,
            betas=model.betas,
            seed=config.seed,
            precision=config.precision,
            accumulate=config.accumulate,
            compiled=config.compile,
        )
        self.images = 0
        self.best: Best = {"mse": math.inf, "images": 0, "since": 0}
        self.seconds = 0.0
        self.waiting = 0.0
        self.logged_at, self.logged_images = time.perf_counter(), 0
        self.records: list[Record] = []
        self.losses: dict[str, dict[str, float]] = {}

    def batches(self, images: int, part: Part) -> Iterator[Tensor]:
        """This part's rows of the batches of the iteration at ``images``; each draw has its own random order."""
        for draw in count():
            start = time.perf_counter()
            x = self.feed.batch(images, part, draw)
            self.waiting += time.perf_counter() - start
            yield x

    def go(self, precision: Precision) -> Outcome:
        """From where the folder's last checkpoint left off to the end, or to a request to stop; saves.

        ``precision`` is the configuration's, with the reason, which the log keeps.
        """
        state = self.folder.restore(self.loop, self.average)
        if state is not None:
            if state["data"] != self.data.digest:
                raise GenaeError(
                    f"the images, labels or splits of {self.config.data} are not those that {self.folder.path} was "
                    "started with: restore them, or choose another --run"
                )
            self.expect_levels(state.get("levels", 0))
            self.expect_perceptual(state.get("perceptual", ""))
            self.images, self.best, self.seconds = state["images"], state["best"], state["seconds"]
        distributed.expect_same(
            {f"the newest checkpoint of {self.folder.path} at image": self.images},
            "every process must see the same run folder",
        )
        distributed.by_writer(lambda: self.folder.trim_logs(self.images))
        begun, before = time.perf_counter(), self.seconds
        stopped = "finished"
        self.logged_at, self.logged_images = time.perf_counter(), self.images
        with _stop_requests() as requested, closing(self.feed):
            self.emit({"began_at": self.images, "precision": precision.name, "reason": precision.reason})
            next_look = 0
            for iterations in count():
                if self.images >= self.config.images:
                    break
                distributed.expect_all_alive()
                if self.patience and self.best["since"] >= self.patience:
                    stopped = "early"
                    break
                if iterations == next_look:
                    pace = _looks_apart(iterations, self.seconds - before)
                    stop, following = distributed.look(bool(requested), pace, self.device)
                    if stop:
                        stopped = "interrupted"
                        break
                    next_look += following
                self.seconds = before + time.perf_counter() - begun
                self.iterate()
            self.seconds = before + time.perf_counter() - begun
            self.flush()
            self.save()
        return Outcome(self.images, self.seconds - before, stopped, self.best["mse"])

    def expect_levels(self, before: int) -> None:
        """Raise `GenaeError` if the run took ``before`` halvings from its data, and would now take others."""
        if before == self.levels:
            return
        raise GenaeError(
            f"{self.folder.path} was started with {before} packed level{'s' * (before != 1)} of {self.config.data}, "
            f"not {self.levels}; they are rounded, so pack the images as they were, or choose another --run"
        )

    def expect_perceptual(self, before: str) -> None:
        """Raise `GenaeError` if the run compared images in a network with the hash ``before``, and not in this one."""
        term = self.model.perceptual
        if term is not None and before != term.digest:
            raise GenaeError(
                f"{self.folder.path} was started with a {term.network} of the hash {before}, not {term.digest}: "
                "restore it in genae's cache, or choose another --run"
            )

    @property
    def patience(self) -> int:
        """Of models that minimise the error; others are judged by the error at no time, so it does not stop them."""
        return self.config.patience if self.model.minimises_error else 0

    def iterate(self) -> None:
        """One iteration of the algorithm, and what is due after it."""
        stage = self.model.stage(self.images)
        before = self.images
        self.records += self.loop.iteration(before, stage.learning_rate)
        if self.average:
            self.average.update(self.model, stage.batch_size)
        self.images += stage.batch_size
        ended = self.images >= self.config.images
        if ended or self.images // stage.batch_size % LOG_EVERY == 0:
            self.flush()
        due = self.images // self.config.validate_every > before // self.config.validate_every
        if ended or due:
            self.flush()
            self.validate(counts=due)
        if self.images // self.config.checkpoint_every > before // self.config.checkpoint_every and not ended:
            self.flush()
            self.save()

    def flush(self) -> None:
        """Average what was recorded, look for NaN, write a line of the log."""
        if not self.records:
            return
        keys = [(r.images, r.name, key) for r in self.records for key in r.values]
        values = torch.stack([v.float().mean() for r in self.records for v in r.values.values()])
        numbers = distributed.average(values).tolist()

        def expect_finite() -> None:
            for (images, name, key), number in zip(keys, numbers, strict=True):
                if not math.isfinite(number):
                    raise self.diverged(f"the {key} of update {name!r} became {number} at image {images}")

        distributed.by_writer(expect_finite)
        sums: dict[str, dict[str, list[float]]] = {}
        for (_, name, key), number in zip(keys, numbers, strict=True):
            sums.setdefault(name, {}).setdefault(key, []).append(number)
        self.losses = {n: {k: sum(v) / len(v) for k, v in terms.items()} for n, terms in sums.items()}
        now = time.perf_counter()
        elapsed = now - self.logged_at
        self.emit(
            {
                "images": self.images,
                "seconds": round(self.seconds, 3),
                "images_per_second": round((self.images - self.logged_images) / elapsed, 2),
                "data_share": round(self.waiting / elapsed, 5),
                "losses": self.losses,
            }
        )
        self.records, self.waiting = [], 0.0
        self.logged_at, self.logged_images = now, self.images

    def validate(self, counts: bool) -> None:
        """Measure the validation error; the best weights are kept, if the model minimises it.

        ``counts`` is False for the extra one at the end of a training, which a longer training would not have.
        """
        start = time.perf_counter()
        errors, numbers = distributed.by_writer(self.measure)
        said = warnings(numbers, self.losses)
        if errors and errors["mse"] < self.best["mse"]:
            self.best = {"mse": errors["mse"], "images": self.images, "since": 0}
            if self.model.minimises_error:
                distributed.by_writer(
                    lambda: self.folder.save_best(self.trained, self.images, self.config, self.data.digest)
                )
        elif errors and counts:
            self.best["since"] += 1
        event = {"images": self.images, "seconds": round(self.seconds, 3), "validation": errors}
        self.emit(event | {"diagnostics": numbers, "warnings": said})
        self.logged_at += time.perf_counter() - start  # validation is not training time

    def measure(self) -> tuple[dict[str, float], dict[str, float]]:
        """Errors on the validation images, and what `diagnose` finds. Process 0 measures: so the processes agree on
        what is best and when patience ends."""
        indices = self.data.split("validation")
        errors: dict[str, float] = {}
        numbers: dict[str, float] = {}
        with torch.no_grad(), exact_float32(), evaluating(self.trained):
            if self.model.has_encoder:
                with closing(self.feed.full_size(indices)) as batches:
                    errors = reconstruction_mse(self.trained, batches)
            if len(indices) > 1:
                with closing(self.feed.full_size(indices[:SAMPLES])) as batches:
                    numbers = diagnose(self.trained, batches)
        return errors, numbers

    def save(self) -> None:
        """Write a checkpoint. Raises `GenaeError` where weights are not finite: the last good one stays."""
        distributed.by_writer(self.expect_finite)
        distributed.check_replicas(self.model)
        state: State = {
            "images": self.images,
            "best": self.best,
            "seconds": self.seconds,
            "data": self.data.digest,
            "levels": self.levels,
        }
        if self.model.perceptual is not None:
            state["perceptual"] = self.model.perceptual.digest
        distributed.by_writer(lambda: self.folder.save(self.loop, state, self.config, self.average))

    def expect_finite(self) -> None:
        """Raise `GenaeError` for weights that are NaN or infinite."""
        for name, p in self.model.named_parameters():
            if not torch.isfinite(p).all():
                raise self.diverged(f"parameter {name} became NaN or infinite before image {self.images}")

    def diverged(self, what: str) -> GenaeError:
        """The error that says where to go on from."""
        saved = self.folder.checkpoints()
        good = f"the last good checkpoint is {saved[-1]}" if saved else "there is no checkpoint yet"
        return GenaeError(f"training diverged: {what}; {good}; a lower --learning-rate usually helps")

    def emit(self, record: Mapping[str, object]) -> None:
        """A line of the log."""
        if distributed.rank() == 0:
            self.folder.log(record)
            self.progress(record)


def _looks_apart(iterations: int, seconds: float) -> int:
    """Iterations until the next look for requests to stop, after so many in so much time."""
    if not distributed.active():
        return 1
    return max(1, min(LOOK_EVERY, int(LOOK_SECONDS * iterations / max(seconds, 1e-9))))


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM instead of dying; a second Ctrl-C interrupts at once."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        distributed.expect_loss()

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller's own handlers stay
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
