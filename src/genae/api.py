"""The verbs that work on runs, as Python functions: what the command line calls."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import nn

from genae import distributed
from genae.autoencoders import AUTOENCODERS
from genae.data.sources import ImageData, Wanted
from genae.data.stream import ImageStream, look_at
from genae.errors import GenaeError, nearest
from genae.metrics import IMAGE_METRICS, RUN_METRICS
from genae.metrics.backbones import Networks, check_network
from genae.metrics.evaluation import Request, opened
from genae.metrics.of_images import ImageEvaluation
from genae.metrics.of_model import ModelEvaluation, Subject, offers_of
from genae.metrics.probe import ProbeRequest, probe_encoder
from genae.metrics.recognition import sections
from genae.metrics.records import CODE, Record
from genae.metrics.round_trip import FIRST as HELD_OUT
from genae.metrics.round_trip import round_trip_error
from genae.model import Model, fitted_priors, load
from genae.networks.layers import placed
from genae.priors import PRIORS
from genae.progress import Progress, silent
from genae.reports import tables
from genae.reports.page import write_report
from genae.settings.presets import FITTED, PRESETS
from genae.storage import append_line, is_file_name, read_lines, read_metadata, save_tensors, weights_digest
from genae.training.config import Config, resolve
from genae.training.memory import Footprint, footprints
from genae.training.prior_fit import LABEL, NOT, Labels, fit_of, fit_to_codes
from genae.training.reflow import reflow, settings_of_teacher
from genae.training.start import build_model
from genae.training.start import train as train_run
from genae.training.trainer import Outcome
from genae.version import VERSION


class ImageSettings(TypedDict, total=False):
    """Fields of `Request`."""

    networks: Sequence[str]
    weights: Mapping[str, Path]
    split: str
    seed: int


class EvaluationSettings(ImageSettings, total=False):
    """The same, and those for models alone."""

    samples: int
    real: int | None
    priors: Sequence[str] | None
    guidance: float
    features: Sequence[str]
    train_data: ImageData | None
    train_split: str


class ProbeSettings(TypedDict, total=False):
    """Fields of `ProbeRequest`."""

    frozen: str
    heads: Sequence[str]
    random_trunk: bool
    epochs: int
    drop_every: int | None
    seeds: Sequence[int]
    keep_features: float


def train(model: str, run: Path | str, **settings: Any) -> Model:
    """Train ``model`` (a name or a preset) in the folder ``run``, or resume it, fit the prior that the preset may name,
    and load the result.

    ``settings`` are the flags of ``genae train``: ``data="digits", images=200_000, width=32``. Ctrl-C saves the state
    and raises KeyboardInterrupt. Raises `GenaeError`.
    """
    outcome, _ = train_with_prior(model, resolve(model, settings, PRESETS, AUTOENCODERS), run)
    if outcome.stopped == "interrupted":
        raise KeyboardInterrupt
    return load(run)


def train_with_prior(
    model: str,
    config: Config,
    run: Path | str,
    *,
    progress: Callable[[Mapping[str, Any]], None] = lambda event: None,
    fitting: Callable[[], AbstractContextManager[Progress]] = lambda: nullcontext(silent),
) -> tuple[Outcome, Path | None]:
    """Train the configuration of ``model``, then fit the prior that a preset of this name may have.

    ``progress`` receives every line of the log; ``fitting`` opens what shows the progress of the prior. Returns how
    the training ended, and the prior's file. Raises `GenaeError`.
    """
    outcome = train_run(config, run, progress=progress)
    if outcome.stopped == "interrupted" or model not in FITTED:
        return outcome, None
    with fitting() as work:
        return outcome, fit_preset_prior(model, run, work)


def image_stream(config: Config) -> ImageStream:
    """All of the run's images; pictures are not decoded. Raises `GenaeError`."""
    options = config.data_options()
    del options["attributes"]
    return look_at(config.data, Wanted(**options))


def footprint(config: Config, shape: tuple[int, int, int]) -> list[Footprint]:
    """What training will take up at every resolution of its schedule, for one process; see `training.memory`.

    Raises `GenaeError` for settings that no model can be built with.
    """
    processes = int(os.environ.get("WORLD_SIZE", 1))
    return list(footprints(build_model(config, shape), processes, config.accumulate, bool(config.average)))


def fit_preset_prior(preset: str, run: Path | str, progress: Progress = silent) -> Path | None:
    """Fit the prior that a preset names, if it names one, to the codes of its trained run; returns the prior's file."""
    if preset not in FITTED:
        return None
    try:
        return fit_prior(run, **FITTED[preset], progress=progress)
    except GenaeError as error:
        raise GenaeError(
            f"{run} is trained, but the prior of {preset} could not be fitted: {error}; "
            f"genae prior {run} {FITTED[preset]['kind']} fits one with settings of your own"
        ) from None


def evaluate(
    run: Path | str | Model,
    data: ImageData | None = None,
    *,
    metrics: Sequence[str] | None = None,
    out: Path | None = None,
    progress: Progress = silent,
    **settings: Unpack[EvaluationSettings],
) -> list[Record]:
    """Measure a run, or a model that is open, on its own or on other data.

    Records have ``of`` (``real data``, ``code``: through the code, or a prior's name), ``metric``, ``value``, for
    scores over splits ``deviation``, and ``fingerprint``.

    metrics: names in `METRICS`; by default those that say so there and that this run, its data and the networks allow.
    settings: fields of `Request`. networks: those that fd, kid, prdc, swd, vendi and fpl compare in: ``classifier``
    (the default for labelled data), ``inception``, ``pixels``, ``torchvision:NAME``, ``timm:NAME``.

    Records are appended to ``out``, by default the run's ``metrics.jsonl``. Under torchrun, processes share the work
    and the result is that of one. Raises `GenaeError`.
    """
    _check_settings(settings, Request)
    model = _model_of(run)
    for name in settings.get("priors") or ():
        model.check_prior(name)
    data = data or model.open_data()
    labelled = data.labels is not None
    networks = settings.get("networks") or (["classifier"] if labelled else ["inception"])
    for name in networks:
        check_network(name)
    request = Request(**(settings | {"networks": networks}))
    subject = Subject(model.autoencoder, model.digest, model.trained_on, model.name, model.folder)
    if metrics is None:
        offers = offers_of(subject, data, settings.get("priors"))
        metrics = [
            metric.name
            for metric in opened(RUN_METRICS)
            if metric.needs <= offers
            and (labelled or "classifier" not in metric.networks(networks))
            and (settings.get("networks") or not metric.downloads(networks))
        ]
    out = out or (model.folder / "metrics.jsonl" if model.folder else None)
    _prepare(out)
    sources = Networks(model.device, request.weights, lambda: data, progress)
    evaluation = ModelEvaluation(subject, data, opened(metrics), request, sources, progress)
    records = [_with_weights(record, model) for record in evaluation.run()]
    _keep(records, out)
    return records


def evaluate_images(
    images: ImageStream,
    reference: ImageStream,
    *,
    labelled: Callable[[], ImageData] | None = None,
    metrics: Sequence[str] | None = None,
    samples: int | None = None,
    device: str = "auto",
    out: Path | None = None,
    progress: Progress = silent,
    **settings: Unpack[ImageSettings],
) -> list[Record]:
    """Measure anybody's images against reference images; no genae model is needed.

    labelled: opens the labelled data whose classifier ``icp`` and the network ``classifier`` use. samples: at most so
    many images, drawn at random. out: file of JSON lines that records are appended to. The rest as in `evaluate`.
    """
    for name in settings.get("networks") or ():
        check_network(name)
    _check_settings(settings, Request)
    request = Request(**({"split": "all"} | settings))
    metrics = metrics or IMAGE_METRICS
    networks = Networks(distributed.start(device), request.weights, labelled, progress)
    _prepare(out)
    measured = images.take(samples, request.seed) if samples else images
    records = ImageEvaluation(measured, reference, opened(metrics), request, networks, progress).run()
    _keep(records, out)
    return records


def probe(
    run: Path | str | Model,
    data: ImageData | None = None,
    *,
    progress: Progress = silent,
    **settings: Unpack[ProbeSettings],
) -> list[Record]:
    """Recognition on the layers of a run's encoder: records ``top1-FROZEN`` and ``top5-FROZEN`` of every seed.

    settings: fields of `ProbeRequest`. heads: ``mlp`` is that of `genae.metrics.recognition.recognise`, the others are
    probes of the frozen features, with records such as ``knn-FROZEN``. With ``random_trunk`` the same trunk with fresh
    weights, others for every seed: the row that every other has to beat, and with ``frozen`` none that of supervised
    training. Where the run was trained with flips, so is ``mlp``. Under torchrun, process 0 measures and the others
    wait: a head is too small to share. Raises `GenaeError`.
    """
    _check_settings(settings, ProbeRequest)
    request = ProbeRequest(**settings)
    model = _model_of(run)

    def trunk(seed: int | None) -> nn.ModuleList:
        if seed is None:
            return sections(model.autoencoder)
        return sections(placed(build_model(replace(model.config, seed=seed), model.image_shape), model.device))

    data = data or model.open_data()

    def measure() -> list[Record]:
        records = []
        for record in probe_encoder(trunk, model.digest, data, request, progress, flip=model.config.flip):
            records.append(_with_weights(record, model))
            _keep(records[-1:], model.folder / "metrics.jsonl" if model.folder else None)
        return records

    return distributed.by_writer(measure)


def _check_settings(settings: Mapping[str, object], of: type[Request] | type[ProbeRequest]) -> None:
    names = [field.name for field in fields(of)]
    for name in settings:
        if name not in names:
            raise GenaeError(f"there is no setting {name!r}; {nearest(name, names)}")


def _with_weights(record: Record, model: Model) -> Record:
    """A record whose fingerprint says which weights of a run these are, and in which precision they were trained."""
    fingerprint = record["fingerprint"]
    if fingerprint.get("weights") != model.digest:
        return record
    which = {"checkpoint": model.checkpoint} if model.checkpoint else {}
    return {**record, "fingerprint": {**fingerprint, **which, "trained_in": model.config.precision}}


def _model_of(run: Path | str | Model) -> Model:
    return run if isinstance(run, Model) else load(run)


def _prepare(out: Path | None) -> None:
    """Refuse a file that cannot be written before the work, not after it."""

    def try_it() -> None:
        if out and not os.access(out if out.exists() else out.parent, os.W_OK):
            raise GenaeError(f"cannot write {out}: {'it' if out.exists() else 'its folder'} is missing or read-only")

    distributed.by_writer(try_it)


def _keep(records: Iterable[Record], out: Path | None) -> None:
    def append(to: Path) -> None:
        for record in records:
            append_line(to, record)

    if out:
        distributed.by_writer(partial(append, out))


def fit_prior(
    run: Path | str,
    kind: str,
    data: ImageData | None = None,
    *,
    name: str | None = None,
    data_root: str | None = None,
    force: bool = False,
    progress: Progress = silent,
    **settings: object,
) -> Path:
    """Fit a prior (a name in `PRIORS`) to the frozen codes of a run's training images, and keep it in the run.

    It is then one of the run's priors, called ``name`` (by default its kind). ``settings`` are fields of `Fit` and
    arguments of the prior's class; with ``given="label"``, or the name of an attribute, the prior learns to be told
    classes. Codes are encoded once and cached in the run; what is fitted is not fitted again. A prior of this name that
    was fitted to the same weights with other settings is replaced with ``force`` alone. A fit that was interrupted goes
    on when it is called with the same settings, until a prior of its name is finished.
    Under torchrun, processes share the encoding, and process 0 fits: the result is that of one. Returns the prior's
    file, which says as ``lost`` what held-out codes lose there and back (`metrics.round_trip_error`). Raises
    `GenaeError`.
    """
    if not Path(run).is_dir():
        raise GenaeError(f"{run} is not a run folder; a prior is kept in one")
    model = load(run, with_fitted_priors=False)
    name = name or kind
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name == CODE:
        raise GenaeError(f"--name is {name!r}; expected letters, digits, - and _, and not {CODE!r}")
    if not is_file_name(name):
        raise GenaeError(f"--name is {name!r}, which no file can be called on Windows; choose another")
    if name in model.priors:
        raise GenaeError(f"{run} was trained with a prior {name!r}; choose another --name")
    fit_settings = fit_of(kind, settings).on(model.device)
    teacher = Path(run) / "priors" / f"{fit_settings.reflow_from}.safetensors" if fit_settings.reflow_from else None
    if teacher:
        if name == fit_settings.reflow_from:
            raise GenaeError(f"the prior {name!r} would replace the one that it reflows from; choose another --name")
        fit_settings = settings_of_teacher(fit_settings, teacher, model.digest)
    if PRIORS[kind].spatial:
        fit_settings.build(model.code_shape)  # refuses codes of the wrong shape before images are encoded
    data = data or model.open_data(None, data_root)
    labels = _labels(data, fit_settings.given) if fit_settings.given else None
    path = Path(run) / "priors" / f"{name}.safetensors"
    origin = {"fit": json.dumps(fit_settings.said()), "weights": model.digest, "data": data.digest, "genae": VERSION}
    if labels:
        origin["classes"] = json.dumps(labels.names)
    if teacher:
        origin["reflow_of"] = weights_digest(fitted_priors(teacher.parent, model.digest)[teacher.stem])

    def is_fitted() -> bool:
        return _is_fitted(path, origin, force)

    def fit() -> None:
        what = hashlib.sha256(json.dumps(sorted(origin.items())).encode()).hexdigest()[:8]
        begun = path.with_name(f".{name}-{what}.partial")
        if teacher:
            straightened = fitted_priors(path.parent, model.digest)[teacher.stem]
            fitted, seconds = reflow(straightened, len(codes), fit_settings, begun, progress, model.device)
        else:
            fitted, seconds = fit_to_codes(codes, fit_settings, begun, progress, model.device, model.code_shape, labels)
        seen = fit_settings.images if fit_settings.learned else len(codes)
        shape = {"code_dim": str(model.code_dim), "code_shape": json.dumps(model.code_shape)}
        numbers = shape | {"images": str(seen), "seconds": repr(seconds)}
        held_out = data.split("validation")[:HELD_OUT]
        if fitted.has_encoder and len(held_out) > 1:  # one code has no deviation
            held_out = model.encode_data(data, held_out)
            numbers |= {"lost": repr(round_trip_error(fitted, held_out, progress)), "held_out": str(len(held_out))}
        save_tensors(path, fitted.state_dict(), origin | numbers)
        for left in path.parent.glob(f".{name}-????????.partial"):  # interrupted with other settings, too
            left.unlink()

    if not distributed.by_writer(is_fitted):
        distributed.by_writer(lambda: path.parent.mkdir(exist_ok=True))
        _prepare(path)
        codes = model.training_codes(data, Path(run), progress)
        distributed.by_writer(fit)
    return path


def _is_fitted(path: Path, origin: Mapping[str, str], force: bool) -> bool:
    """Whether a prior's file is of the same settings and the same codes.

    Raises `GenaeError` without ``force`` for one of other settings, which may have taken hours; one of other weights is
    of no use any more.
    """
    there = read_metadata(path) if path.exists() else {}
    same = [there.get(key) == origin.get(key) for key in ("fit", "data", "classes")]
    if there.get("weights") == origin["weights"] and not all(same) and not force:
        raise GenaeError(
            f"{path} was fitted with other settings or data; choose another --name, or replace it with --force"
        )
    return bool(there) and there.items() >= origin.items()


def _labels(data: ImageData, given: str) -> Labels:
    """What ``Fit.given`` names, of each training image. Raises `GenaeError`."""
    train = data.split("train")
    if given == LABEL:
        if data.labels is None:
            raise GenaeError(
                f"{data.name} has no labels; name an attribute, or put each class into a folder of its own"
            )
        return Labels(data.labels[train].long(), data.classes)
    if given not in data.attributes:
        names = [*([LABEL] if data.labels is not None else []), *data.attributes]
        hint = nearest(given, names) if names else "it has neither labels nor attributes"
        raise GenaeError(f"{data.name} has no attribute {given!r} that a prior could be given; {hint}")
    return Labels(data.attributes[given][train].long(), (NOT + given, given))


def measurements(run: Path | str) -> Sequence[Record]:
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
    if isinstance(runs, str | Path) or not runs:
        raise GenaeError(f"runs is {str(runs)!r}; expected a list of runs, such as ['runs/first', 'runs/second']")
    return tables.compare({str(run): measurements(run) for run in runs})


def report(run: Path | str | Model, data: ImageData | None = None, seed: int = 0) -> Path:
    """Draw every figure of a run and write its ``report.html``; returns its path. Under torchrun, process 0 does."""
    model = _model_of(run)
    if model.folder is None:
        raise GenaeError(f"{run} is not a run folder; a report needs one")
    folder, data = model.folder, data or model.open_data()
    return distributed.by_writer(lambda: write_report(model, data, folder, seed))
