"""Other people's autoencoders as run folders, which `genae.load` opens like those of a training."""

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from genae.autoencoders import IMPORTED
from genae.data.sources import ImageData, Wanted, open_data
from genae.data.stream import look_at
from genae.errors import GenaeError, nearest
from genae.importing.diffusers_weights import read_diffusers
from genae.importing.taesd_weights import read_taesd
from genae.importing.weights_of_others import Weights
from genae.model import Model, load
from genae.protocol import Autoencoder, evaluating
from genae.settings.parser import parse_settings
from genae.storage import flush_folder, load_weights, write_atomically
from genae.training.checkpoint import RunFolder
from genae.training.config import Config, run_settings
from genae.training.start import build_model

PIXELS = 2**18
"""Of a batch: 64 images of 64 x 64, 4 of 256 x 256."""
MOST = 64
"""Images of a batch."""


def import_autoencoder(
    source: str, run: Path | str, data: Path | str, *, revision: str | None = None, **settings: object
) -> Model:
    """Somebody else's autoencoder as the run folder ``run``, whose data are one's own images.

    source: ``diffusers:FOLDER-OR-ID`` or ``taesd:FOLDER``: a name in `IMPORTED`, and where the weights are.
    data: a source for `open_data`. ``settings`` are its arguments (``size``, ``fit``, ...); channels are by default
        those of the autoencoder.
    revision: of an id, a branch, a tag or a commit. The run keeps the commit.

    Nothing is trained. Priors are then fitted with `fit_prior`. Raises `GenaeError`.
    """
    kind, colon, where = source.partition(":")
    if kind not in IMPORTED or not colon or not where:
        hint = (
            nearest(kind, IMPORTED) if colon and where else f"expected {' or '.join(f'{k}:FOLDER' for k in IMPORTED)}"
        )
        raise GenaeError(f"the autoencoder is {source!r}; {hint}")
    folder = Path(run).expanduser()
    _expect_new(folder)
    allowed = {key: option for key, option in run_settings().items() if key in Config("", "").data_options()}
    options = parse_settings("genae import-autoencoder", settings, allowed)
    weights = _read(kind, where, revision)
    config = Config(
        model=kind, data=str(data), images=1, precision="float32", **{"channels": weights.colours} | options
    )
    return _write(folder, config, weights)


def _read(kind: str, where: str, revision: str | None) -> Weights:
    if kind == "diffusers":
        return read_diffusers(where, revision)
    if revision is not None:
        raise GenaeError(f"--revision {revision} is of an id of diffusers; {kind} reads files: leave it out")
    return read_taesd(where)


def _write(folder: Path, config: Config, weights: Weights) -> Model:
    """The run folder, under a temporary name until it is whole."""
    options = config.data_options()
    headers = {key: value for key, value in options.items() if key != "attributes"}
    shape = look_at(config.data, Wanted(**headers)).image_shape  # a wrong size is refused before pictures are decoded
    batch = max(1, min(MOST, PIXELS // (shape[1] * shape[2])))
    config = replace(config, options=dict(weights.options) | {"batch_size": batch})
    model = build_model(config, shape)
    load_weights(model, weights.tensors, Path(weights.options["source"]))
    data = open_data(config.data, **options)
    _check(model, data)
    if config.value_range is None and data.store.dtype.is_floating_point:
        config = replace(config, value_range=f"{data.low!r},{data.high!r}")  # other data will be read in the same range
    begun = folder.with_name(f".{folder.name}.importing")
    try:
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        RunFolder(begun).save_best(model, 0, config, data.digest)
        write_atomically(begun / "config.json", config.to_json())
        flush_folder(begun)
        if folder.exists():
            folder.rmdir()  # it is empty
        begun.rename(folder)
        flush_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(begun, ignore_errors=True)
        raise GenaeError(f"cannot write the run folder {folder}: {error.strerror or error}") from None
    return load(folder)


def _check(model: Autoencoder, data: ImageData) -> None:
    """Raise `GenaeError` where an image does not come back as an image of its size and of finite numbers."""
    x = data.images(data.split("train")[:1])
    with torch.no_grad(), evaluating(model):
        x_hat = model.decode(model.encode(x))
    if x_hat.shape != x.shape:
        given, expected = list(x_hat.shape[1:]), list(x.shape[1:])
        raise GenaeError(f"this autoencoder gives images of {given} for images of {expected}; expected the same")
    if not x_hat.isfinite().all():
        raise GenaeError("this autoencoder gives NaN or infinity for an image of the data: its weights are damaged")


def _expect_new(folder: Path) -> None:
    """Raise `GenaeError` for a folder in which something lies, before anything is read."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise GenaeError(f"{folder} is there already; choose a --run that is new or empty")
