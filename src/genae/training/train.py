"""A run from its first image to its last: data, resume, the loop, validation, checkpoints, clean stops."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genae import distributed
from genae.autoencoders import AUTOENCODERS
from genae.data.sampler import mix_seed, shuffled
from genae.data.sources import ImageData, open_data
from genae.errors import GenaeError, reason
from genae.metrics.reconstruction import reconstruction_mse
from genae.protocol import Autoencoder, Part, evaluating
from genae.storage import write_atomically
from genae.training.average import Average
from genae.training.captured import CapturedLoop
from genae.training.checkpoint import RunFolder
from genae.training.config import Config, option_types
from genae.training.diagnostics import SAMPLES, diagnose, warnings
from genae.training.loop import Loop, Record

LOG_EVERY = 50  # iterations; also how late a NaN is noticed, since looking at a loss waits for the device
MAY_CHANGE = {"images", "device", "checkpoint_every", "data_root"}  # between the starts of one run


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


def build_model(config: Config, image_shape: tuple[int, int, int]) -> Autoencoder:
    """The configuration's model with freshly initialised weights."""
    torch.manual_seed(mix_seed("weights", config.seed))
    try:
        model = AUTOENCODERS[config.model](image_shape, **config.options)  # type: ignore[arg-type]
    except (ValueError, RuntimeError) as error:  # RuntimeError: no room for the weights
        raise GenaeError(f"cannot build {config.model}: {reason(error)}") from None
    return model.to(memory_format=torch.channels_last)


def train(
    config: Config,
    run: Path | str,
    *,
    data: ImageData | None = None,
    progress: Callable[[Mapping[str, Any]], None] = lambda event: None,
) -> Outcome:
    """Train ``config`` in the folder ``run``, or go on where it stopped: the same call again resumes, bit for bit.

    ``progress`` receives every log line. Ctrl-C and SIGTERM save the state and return. Raises `GenaeError`.
    """
    device = distributed.start(config.device)
    folder = RunFolder(run)
    data = data or open_data(config.data, **config.data_options())
    if config.value_range is None and data.pixels.is_floating_point():
        config = replace(config, value_range=f"{data.low!r},{data.high!r}")  # other data will be read in the same range
    stored = folder.config
    if stored:
        config = _continue(config, stored, folder)
    if config.precision == "auto":
        faster = distributed.as_writer(_bfloat16_is_faster(device), device)
        config = replace(config, precision="bfloat16" if faster else "float32")
    model = build_model(config, data.image_shape).to(device)
    _check_batch(config, model, data)
    if config.capture:
        _check_capture(model, device)
    with ExitStack() as stack:
        distributed.by_writer(lambda: _claim(folder, config, model, stack))
        return _Run(config, folder, data.to(device), model, progress).go()


def _claim(folder: RunFolder, config: Config, model: Autoencoder, stack: ExitStack) -> None:
    """Create and lock the run folder; it stays locked until ``stack`` is closed."""
    parameters = sum(p.numel() for p in model.parameters())
    copies = 3 + bool(config.average)  # weights, two moments, perhaps the average
    folder.prepare(needed_bytes=parameters * 4 * (3 * copies + 1))  # two checkpoints and a new one
    stack.enter_context(folder.locked())
    write_atomically(folder.path / "config.json", config.to_json())


class _Run:
    """The state of a running `train`."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        data: ImageData,
        model: Autoencoder,
        progress: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.config = config
        self.folder = folder
        self.data = data
        self.model = model
        self.progress = progress
        self.device = next(model.parameters()).device
        self.average = Average(model, config.average) if config.average else None
        self.trained = self.average.model if self.average else model
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
        self.best = {"mse": math.inf, "images": 0, "since": 0}
        self.seconds = 0.0
        self.waiting = 0.0
        self.records: list[Record] = []
        self.losses: dict[str, dict[str, float]] = {}

    def batches(self, images: int, part: Part) -> Iterator[Tensor]:
        """This part's rows of the batches of the iteration at ``images``; each draw has its own random order."""
        train, whole = self.data.split("train"), self.model.stage(images).batch_size
        rows = slice(part.number * whole // part.parts, (part.number + 1) * whole // part.parts)
        for draw in count():
            start = time.perf_counter()
            indices = train[shuffled(images, whole, len(train), self.config.seed, draw)[rows]]
            x = self.data.images(indices).to(self.device)
            if self.config.flip:
                generator = torch.Generator().manual_seed(mix_seed("flip", self.config.seed, draw, images))
                mirrored = (torch.rand(whole, generator=generator)[rows] < 0.5).to(x.device)
                x = torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x)
            x = x.contiguous(memory_format=torch.channels_last)
            self.waiting += time.perf_counter() - start
            yield x

    def go(self) -> Outcome:
        state = self.folder.restore(self.loop, self.average)
        if state is not None:
            if state["data"] != self.data.digest:
                raise GenaeError(
                    f"the images, labels or splits of {self.config.data} are not those that {self.folder.path} was "
                    "started with: restore them, or choose another --run"
                )
            self.images, self.best, self.seconds = state["images"], state["best"], state["seconds"]
        if distributed.rank() == 0:
            self.folder.trim_logs(self.images)
        begun, before = time.perf_counter(), self.seconds
        stopped = "finished"
        self.logged_at, self.logged_images = time.perf_counter(), self.images
        with _stop_requests() as requested:
            while self.images < self.config.images:
                if self.config.patience and self.best["since"] >= self.config.patience:
                    stopped = "early"
                    break
                if distributed.anywhere(bool(requested), self.device):
                    stopped = "interrupted"
                    break
                self.seconds = before + time.perf_counter() - begun
                self.iterate()
            self.seconds = before + time.perf_counter() - begun
            self.flush()
            self.save()
        return Outcome(self.images, self.seconds - before, stopped, self.best["mse"])

    def iterate(self) -> None:
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
        for (images, name, key), number in zip(keys, numbers, strict=True):
            if not math.isfinite(number):
                raise self.diverged(f"the {key} of update {name!r} became {number} at image {images}")
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
        indices = self.data.split("validation")
        errors: dict[str, float] = {}
        numbers: dict[str, float] = {}
        with torch.no_grad(), evaluating(self.trained):
            if self.model.has_encoder:
                batches = (self.data.images(i).to(self.device) for i in indices.split(256))
                errors = reconstruction_mse(self.trained, batches)
            if len(indices) > 1:
                numbers = diagnose(self.trained, self.data.images(indices[:SAMPLES]).to(self.device))
        said = warnings(numbers, self.losses)
        if errors and errors["mse"] < self.best["mse"]:
            self.best = {"mse": errors["mse"], "images": self.images, "since": 0}
            if distributed.rank() == 0 and self.model.minimises_error:
                self.folder.save_best(self.trained, self.images, self.config, self.data.digest)
        elif errors and counts:
            self.best["since"] += 1
        event = {"images": self.images, "seconds": round(self.seconds, 3), "validation": errors}
        self.emit(event | {"diagnostics": numbers, "warnings": said})
        self.logged_at += time.perf_counter() - start  # validation is not training time

    def save(self) -> None:
        for name, p in self.model.named_parameters():
            if not torch.isfinite(p).all():
                raise self.diverged(f"parameter {name} became NaN or infinite before image {self.images}")
        distributed.check_replicas(self.model)
        if distributed.rank() == 0:
            state = {"best": self.best, "seconds": self.seconds, "data": self.data.digest}
            self.folder.save(self.loop, self.images, state, self.config, self.average)
        distributed.barrier()

    def diverged(self, what: str) -> GenaeError:
        saved = self.folder.checkpoints()
        good = f"the last good checkpoint is {saved[-1]}" if saved else "there is no checkpoint yet"
        return GenaeError(f"training diverged: {what}; {good}; a lower --learning-rate usually helps")

    def emit(self, record: Mapping[str, Any]) -> None:
        if distributed.rank() == 0:
            self.folder.log(record)
            self.progress(record)


def _continue(config: Config, stored: Config, folder: RunFolder) -> Config:
    """The stored configuration, with what may change taken from the new one; other differences are refused."""
    old, new = asdict(stored), asdict(config)
    known = option_types(AUTOENCODERS[stored.model]) if stored.model in AUTOENCODERS else {}
    defaults = {key: default for key, (_, default) in known.items()}
    old["options"], new["options"] = defaults | old["options"], defaults | new["options"]  # earlier versions had fewer
    if new["precision"] == "auto":
        new["precision"] = old["precision"]
    for key in old:
        if old[key] == new[key] or key in MAY_CHANGE:
            continue
        if key == "options":
            key = next(k for k in {**old[key], **new[key]} if old["options"].get(k) != new["options"].get(k))
            was, now = old["options"].get(key), new["options"].get(key)
        else:
            was, now = old[key], new[key]
        raise GenaeError(
            f"{folder.path} was started with {key.replace('_', '-')} {was!r}, not {now!r}: "
            "repeat its command to resume, or choose another --run"
        )
    return replace(stored, **{key: new[key] for key in MAY_CHANGE})


def _check_batch(config: Config, model: Autoencoder, data: ImageData) -> None:
    train = len(data.split("train"))
    if len(data.pixels) < 3:
        raise GenaeError(
            f"{config.data} holds {len(data.pixels)} images; training, validation and test need at least 3"
        )
    parts = config.accumulate * distributed.world_size()
    for batch in {model.stage(images).batch_size: None for images in model.changes()}:
        if batch > train:
            raise GenaeError(
                f"a batch of {batch} is larger than the {train} training images of {config.data}; lower --batch-size"
            )
        if batch % parts:
            raise GenaeError(
                f"a batch of {batch} cannot be divided into {parts} parts "
                f"({distributed.world_size()} processes x --accumulate {config.accumulate})"
            )


def _check_capture(model: Autoencoder, device: torch.device) -> None:
    if device.type != "cuda":
        raise GenaeError(f"--capture is for CUDA GPUs; this training is on {device.type}: leave it out")
    if distributed.world_size() > 1:
        raise GenaeError(f"--capture is for one process, not {distributed.world_size()}: leave it out")
    if not model.steady:
        raise GenaeError(f"{type(model).__name__} changes as it trains, which a captured iteration cannot: leave out "
                         "--capture")  # fmt: skip


def _bfloat16_is_faster(device: torch.device) -> bool:
    """Whether a matrix product in it takes at most 0.8 of float32's time, measured on the spot."""
    times: dict[torch.dtype, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(1024, 1024, device=device).to(dtype)
        for repeat in range(4):
            start = time.perf_counter()
            (a @ a).sum().item()  # .item() waits for the device
            times[dtype] = min(times.get(dtype, math.inf), time.perf_counter() - start) if repeat else math.inf
    return times[torch.bfloat16] < 0.8 * times[torch.float32]


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM instead of dying; a second Ctrl-C interrupts at once."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller's own handlers stay
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
