"""The verbs that work on runs, as Python functions: what the command line calls."""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from genae import distributed
from genae.autoencoders import AUTOENCODERS
from genae.data.sources import ImageData
from genae.data.stream import ImageStream, open_stream
from genae.errors import GenaeError, nearest
from genae.metrics import METRICS
from genae.metrics.backbones import open_network
from genae.metrics.classifier import classifier_path, load_classifier, train_classifier
from genae.metrics.cost import costs
from genae.metrics.evaluate import evaluate_model
from genae.metrics.evaluate_images import evaluate_images as measure_images
from genae.metrics.features import FeatureNetwork
from genae.metrics.judges import Judges, networks_needed
from genae.metrics.lpips import open_lpips
from genae.metrics.path_length import by_features, by_lpips
from genae.metrics.recognition import FROZEN, HEADS, Layers, calibrate, freeze, read_off, recognise, sections
from genae.metrics.reconstruction import CODE
from genae.model import Model, load
from genae.progress import Progress, silent
from genae.reports import tables
from genae.reports.page import write_report
from genae.settings.presets import FITTED, PRESETS
from genae.storage import append_line, load_tensors, read_lines, save_tensors
from genae.training.config import Config, resolve
from genae.training.fit import fit, fit_of
from genae.training.memory import Footprint, footprints
from genae.training.start import build_model
from genae.training.start import train as train_run
from genae.version import VERSION

RUN_METRICS = ("mse", "psnr", "ssim", "icp", "fd", "nearest", "codes", "cost")
IMAGE_METRICS = ("fid", "kid", "prdc")


def train(model: str, run: Path | str, **settings: Any) -> Model:
    """Train ``model`` (a name or a preset) in the folder ``run``, or resume it, fit the prior that the preset may name,
    and load the result.

    ``settings`` are the flags of ``genae train``: ``data="digits", images=200_000, width=32``. Ctrl-C saves the state
    and raises KeyboardInterrupt. Raises `GenaeError`.
    """
    outcome = train_run(resolve(model, settings, PRESETS, AUTOENCODERS), run)
    if outcome.stopped == "interrupted":
        raise KeyboardInterrupt
    fit_preset_prior(model, run)
    return load(run)


def image_shape(config: Config) -> tuple[int, int, int]:
    """Channels, height and width of the run's images, whose pixels are not loaded from folders. Raises `GenaeError`."""
    options = config.data_options()
    wanted = ("size", "fit", "channels", "value_range", "data_root")
    return open_stream(config.data, **{key: options[key] for key in wanted}).image_shape


def footprint(config: Config, shape: tuple[int, int, int]) -> list[Footprint]:
    """What training will take up at every resolution of its schedule, for one process; see `training.memory`.

    Raises `GenaeError` for settings that no model can be built with.
    """
    parts = int(os.environ.get("WORLD_SIZE", 1)) * config.accumulate
    return list(footprints(build_model(config, shape), parts, bool(config.average)))


def fit_preset_prior(preset: str, run: Path | str, progress: Progress = silent) -> Path | None:
    """Fit the prior that a preset names, if it names one, to the codes of its trained run; returns the prior's file."""
    if preset not in FITTED:
        return None
    settings = FITTED[preset]
    try:
        return distributed.by_writer(lambda: fit_prior(run, **settings, progress=progress))
    except GenaeError as error:
        raise GenaeError(
            f"{run} is trained, but the prior of {preset} could not be fitted: {error}; "
            f"genae prior {run} {settings['kind']} fits one with settings of your own"
        ) from None


def classifier_for(data: ImageData, device: torch.device, progress: Progress = silent) -> FeatureNetwork:
    """The classifier that scores samples of labelled data, trained and cached when it is first needed."""

    def train_once() -> None:
        if not classifier_path(data).exists():
            train_classifier(data, device, progress=progress)

    distributed.writer_first(train_once)
    return load_classifier(data, device)


def evaluate(
    run: Path | str,
    data: ImageData | None = None,
    *,
    metrics: Sequence[str] | None = None,
    networks: Sequence[str] | None = None,
    weights: Mapping[str, Path] | None = None,
    priors: Sequence[str] | None = None,
    split: str = "test",
    samples: int = 10_000,
    features: Sequence[str] = ("short",),
    train_data: ImageData | None = None,
    train_split: str = "train",
    seed: int = 0,
    out: Path | None = None,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Measure a run on its own or on other data: see `genae.metrics.evaluate.evaluate_model` for the records.

    metrics: names in `METRICS`; by default `RUN_METRICS`, without ``icp`` and ``fd`` where data have no labels.
    networks: those that fd, kid, prdc and fpl compare in: ``classifier`` (the default for labelled data),
    ``inception``, ``pixels``, ``torchvision:NAME``, ``timm:NAME``. weights: network -> weight file that replaces its
    download.
    priors: those whose samples are measured, by default all.
    features: the layers that 1nn, knn, svm and logistic read: ``short`` is the code, ``long`` the layer before it, or
    the name of any module of the encoder (`genae.metrics.probing.layers`). train_data, train_split: the labelled
    images that those probes learn from, by default the training images of what they are tested on.

    Records are appended to ``out``, by default the run's ``metrics.jsonl``. Under torchrun, processes share the work
    and the result is that of one. Raises `GenaeError`.
    """
    model = load(run)
    for name in priors or ():
        model.check_prior(name)
    data = data or model.open_data()
    labelled = data.labels is not None
    if metrics is None:
        metrics = [
            metric
            for metric in RUN_METRICS
            if (labelled or metric not in ("icp", "fd"))
            and (data.digest == model.trained_on or metric != "nearest")
            and (Path(run).is_dir() or metric != "cost")
            and (model.autoencoder.has_encoder or METRICS[metric].of not in ("pairs", "codes", "labels"))
        ]
    if "cost" in metrics and not Path(run).is_dir():
        raise GenaeError(f"the cost is read from the log of a run folder; {run} is a file: leave out cost")
    if "nearest" in metrics and data.digest != model.trained_on:
        raise GenaeError(f"nearest compares samples with the training images of {run}; leave out --data {data.name}")
    networks = networks or (["classifier"] if labelled else ["inception"])
    out = out or (Path(run) / "metrics.jsonl" if Path(run).is_dir() else None)
    _prepare(out)
    judges = _judges(metrics, networks, weights or {}, lambda: data, model.device, seed, progress)
    records = evaluate_model(
        model.autoencoder, model.sample_codes, data, judges, metrics, weights=model.digest, priors=priors, split=split,
        samples=samples, features=features, train_data=train_data, train_split=train_split,
        spent=costs(Path(run), model.digest) if "cost" in metrics else {},
    )  # fmt: skip
    _keep(records, out)
    return records


def evaluate_images(
    images: ImageStream,
    reference: ImageStream,
    *,
    labelled: Callable[[], ImageData] | None = None,
    metrics: Sequence[str] = IMAGE_METRICS,
    networks: Sequence[str] = ("inception",),
    weights: Mapping[str, Path] | None = None,
    split: str = "all",
    samples: int | None = None,
    seed: int = 0,
    device: str = "auto",
    out: Path | None = None,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Measure anybody's images against reference images; no genae model is needed.

    labelled: opens the labelled data whose classifier ``icp`` and the network ``classifier`` use. samples: at most so
    many images, drawn at random. out: file of JSON lines that records are appended to. The rest as in `evaluate`.
    """
    device_used = distributed.start(device)
    _prepare(out)
    judges = _judges(metrics, networks, weights or {}, labelled, device_used, seed, progress)
    chosen = images.take(samples, seed) if samples else images
    records = measure_images(chosen, reference, judges, metrics, split=split)
    _keep(records, out)
    return records


def probe(
    run: Path | str,
    data: ImageData | None = None,
    *,
    frozen: str = "conv1-5",
    heads: Sequence[str] = ("mlp",),
    random_trunk: bool = False,
    epochs: int = 90,
    drop_every: int | None = None,
    seeds: Sequence[int] = (0,),
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Recognition on the layers of a run's encoder: records ``top1-FROZEN`` and ``top5-FROZEN`` of every seed.

    ``heads`` is of `HEADS`: ``mlp`` is that of `genae.metrics.recognition.recognise`, the others are probes of the
    frozen features, with records such as ``knn-FROZEN``; the features are computed once. With ``random_trunk`` the same
    trunk with fresh weights, others for every seed: the row that every other has to beat, and with ``frozen`` none that
    of supervised training. The learning rate is divided by 10 every ``drop_every`` epochs, by default after each third
    of them. Raises `GenaeError`.
    """
    if not heads or isinstance(heads, str):
        raise GenaeError(f"heads are {heads!r}; expected a list of some of {', '.join(HEADS)}")
    for head in heads:
        if head not in HEADS:
            raise GenaeError(f"head is {head!r}; {nearest(head, HEADS)}")
    if epochs < 1:
        raise GenaeError(f"epochs is {epochs}; expected at least 1")
    expect_seeds(seeds)
    if FROZEN.get(frozen) == 0 and (others := [head for head in heads if head != "mlp"]):
        raise GenaeError(f"{others[0]} reads frozen layers, and with frozen {frozen!r} there are none; freeze some")
    model = load(run)
    data = data or model.open_data()
    of = "random trunk" if random_trunk else CODE
    fingerprint = {
        "data": data.name, "data_digest": data.digest, "split": "test", "count": len(data.split("test")),
        "weights": tables.FRESH if random_trunk else model.digest, "frozen": frozen, "genae": VERSION,
    }  # fmt: skip
    records: list[dict[str, Any]] = []

    def keep(named: Mapping[str, float], more: Mapping[str, Any], epoch: int | None = None) -> None:
        best = {} if epoch is None else {"epoch": epoch}
        new = [
            {"of": of, "metric": f"{name}-{frozen}", "value": value, **best, "fingerprint": {**fingerprint, **more}}
            for name, value in named.items()
        ]
        _keep(new, Path(run) / "metrics.jsonl" if Path(run).is_dir() else None)
        records.extend(new)

    layers: Layers | None = None
    protocol = {"epochs": epochs} | ({"drop_every": drop_every} if drop_every else {})
    for seed in seeds:
        first = layers is None
        if random_trunk:
            fresh = build_model(replace(model.config, seed=seed), model.image_shape).to(model.device)
            trunk = sections(fresh)
            calibrate(trunk, data)
            layers = freeze(trunk, data, frozen, progress)
        elif layers is None:
            layers = freeze(sections(model.autoencoder), data, frozen, progress)
        for head in heads:
            if head == "mlp":
                every = drop_every or math.ceil(epochs / 3)
                found = recognise(layers, epochs=epochs, drop_every=every, seed=seed, progress=progress)
                accuracies = {"top1": found.top1} | ({"top5": found.top5} if layers.classes > 5 else {})
                keep(accuracies, {**protocol, "seed": seed}, found.epoch)
            elif first or random_trunk:  # a probe knows no chance: one figure for one trunk
                progress(f"{head} of the frozen features", 0, 1)
                keep({head: read_off(layers, head)}, {"seed": seed} if random_trunk else {})
    return records


def expect_seeds(seeds: Sequence[int]) -> None:
    """Raises `GenaeError` for what would count a run twice, or none."""
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise GenaeError(f"seeds are {list(seeds)}; expected different whole numbers from 0 up")


def _judges(
    metrics: Sequence[str],
    networks: Sequence[str],
    weights: Mapping[str, Path],
    labelled: Callable[[], ImageData] | None,
    device: torch.device,
    seed: int,
    progress: Progress,
) -> Judges:
    """Open every network that the metrics need."""
    opened, perceivers = [], []
    for name, kinds in networks_needed(metrics, networks).items():
        if name == "classifier":
            if labelled is None:
                raise GenaeError("the classifier needs labelled reference data (class sub-folders would be labels)")
            network = classifier_for(labelled(), device, progress)
        else:
            progress(f"opening {name}", 0, 1)
            network = open_network(name, device, weights)
        if "fpl" in kinds:
            perceivers.append(by_features(network))
        if kinds - {"fpl"}:
            opened.append((network, kinds - {"fpl"}))
    pairs = [metric for metric in metrics if METRICS[metric].of == "pairs"]
    lpips = open_lpips(device, weights) if {"lpips", "ppl"} & set(metrics) else None
    if lpips and "ppl" in metrics:
        perceivers.append(by_lpips(lpips))
    return Judges(opened, lpips if "lpips" in pairs else None, pairs, perceivers, seed, progress)


def _prepare(out: Path | None) -> None:
    """Refuse a file that cannot be written before the work, not after it."""

    def try_it() -> None:
        if out and not os.access(out if out.exists() else out.parent, os.W_OK):
            raise GenaeError(f"cannot write {out}: {'it' if out.exists() else 'its folder'} is missing or read-only")

    distributed.by_writer(try_it)


def _keep(records: Iterable[Mapping[str, Any]], out: Path | None) -> None:
    if out and distributed.rank() == 0:
        for record in records:
            append_line(out, record)


def fit_prior(
    run: Path | str,
    kind: str,
    data: ImageData | None = None,
    *,
    name: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> Path:
    """Fit a prior (a name in `PRIORS`) to the frozen codes of a run's training images, and keep it in the run.

    It is then one of the run's priors, called ``name`` (by default its kind). ``settings`` are fields of `Fit` and
    arguments of the prior's class. Codes are encoded once and cached in the run; what is fitted is not fitted again.
    Returns the prior's file.
    """
    if not Path(run).is_dir():
        raise GenaeError(f"{run} is not a run folder; a prior is kept in one")
    model = load(run, with_fitted_priors=False)
    name = name or kind
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name == CODE:
        raise GenaeError(f"--name is {name!r}; expected letters, digits, - and _, and not {CODE!r}")
    if name in model.priors:
        raise GenaeError(f"{run} was trained with a prior {name!r}; choose another --name")
    fit_settings = fit_of(kind, settings)
    data = data or model.open_data()
    folder = Path(run) / "priors"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.safetensors"
    wanted = {"fit": json.dumps(asdict(fit_settings)), "weights": model.digest, "data": data.digest, "genae": VERSION}
    if path.exists() and load_tensors(path)[1].items() >= wanted.items():
        return path  # the same settings, the same codes
    partial = folder / f".{name}.partial"
    codes = model.training_codes(data, Path(run))
    fitted, seconds = fit(codes, fit_settings, partial, progress)
    seen = fit_settings.images if fit_settings.learned else len(codes)
    known = {"code_dim": str(model.code_dim), "images": str(seen), "seconds": repr(seconds)}
    save_tensors(path, fitted.state_dict(), wanted | known)
    partial.unlink(missing_ok=True)
    return path


def measurements(run: Path | str) -> list[dict[str, Any]]:
    """Every record of a run's ``metrics.jsonl``, or of such a file. Raises `GenaeError` where nothing was measured."""
    path = Path(run)
    if not path.exists():
        raise GenaeError(f"there is no run {str(run)!r}")
    records = read_lines(path / "metrics.jsonl" if path.is_dir() else path, "metric")
    if not records:
        raise GenaeError(f"{run} has no measurements; run genae evaluate {run} first")
    return records


def compare(runs: Sequence[Path | str]) -> tuple[list[str], list[list[str]], list[str]]:
    """Measurements of several runs side by side: header, rows, and a sentence for every column of unlike numbers."""
    return tables.compare({str(run): measurements(run) for run in runs})


def report(run: Path | str, data: ImageData | None = None, seed: int = 0) -> Path:
    """Draw every figure of a run and write its ``report.html``; returns its path."""
    if not Path(run).is_dir():
        raise GenaeError(f"{run} is not a run folder; a report needs one")
    model = load(run)
    return write_report(model, data or model.open_data(), run, seed)
