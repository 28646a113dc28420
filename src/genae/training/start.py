"""Start a run, or go on with one: its data, its folder, and what is refused before anything is computed."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from genae import distributed
from genae.autoencoders import AUTOENCODERS, IMPORTED
from genae.data.sampler import mix_seed
from genae.data.sources import ImageData, open_data
from genae.errors import GenaeError, reason
from genae.networks.arithmetic import exact_float32
from genae.networks.layers import placed
from genae.progress import screen
from genae.protocol import Autoencoder, Part, reseed
from genae.storage import weights_digest, write_atomically
from genae.training.checkpoint import RunFolder
from genae.training.config import Config, option_types
from genae.training.feed import Feed, levels_taken
from genae.training.precision import Precision, preferred_precision
from genae.training.trainer import Outcome, Trainer

MAY_CHANGE = {"images", "device", "checkpoint_every", "data_root"}  # between the starts of one run


def build_model(config: Config, image_shape: tuple[int, int, int]) -> Autoencoder:
    """The configuration's model with freshly initialised weights."""
    torch.manual_seed(mix_seed("weights", config.seed))
    cls = (IMPORTED if config.model in IMPORTED else AUTOENCODERS)[config.model]
    try:
        model = cls(image_shape, **{**cls.earlier, **config.options})  # type: ignore[arg-type]
    except (ValueError, RuntimeError) as error:  # RuntimeError: no room for the weights
        raise GenaeError(f"cannot build {config.model}: {reason(error)}") from None
    return model.to(memory_format=torch.channels_last)


@distributed.losses_explained()
def train(
    config: Config,
    run: Path | str,
    *,
    data: ImageData | None = None,
    progress: Callable[[Mapping[str, object]], None] = lambda event: None,
) -> Outcome:
    """Train ``config`` in the folder ``run``, or go on where it stopped: the same call again resumes, bit for bit.

    ``progress`` receives every log line. Ctrl-C and SIGTERM save the state and return. Raises `GenaeError`.
    """
    device = distributed.start(config.device)
    folder = RunFolder(run)
    distributed.expect_same(_command(config, folder))
    distributed.by_writer(folder.expect_ours)
    data = data or open_data(config.data, **config.data_options())
    distributed.expect_same(
        {f"images of {config.data} with the hash": data.digest}, "every process must read the same images and splits"
    )
    if config.value_range is None and data.store.dtype.is_floating_point:
        config = replace(config, value_range=f"{data.low!r},{data.high!r}")  # other data will be read in the same range
    stored = folder.config
    if stored:
        config = _continue(config, stored, folder)
    model = placed(build_model(config, data.image_shape), device)
    levels = levels_taken(model, data.store)
    distributed.expect_same({f"packed levels of {config.data}:": levels}, "every process must read the same file")
    if config.patience and not stored:
        _check_patience(config, model)
    precision = _precision(config, stored, model, device)
    config = replace(config, precision=precision.name)
    _check_batch(config, model, data)
    if config.capture:
        _check_capture(model, device)
    _open_perceptual(model, data, device)
    with ExitStack() as stack:
        distributed.by_writer(lambda: _claim(folder, config, model, stack))
        data = data.to(device, levels)
        if model.begins_with_data and not stored:
            _initialise(model, data, config)
        return Trainer(config, folder, data, model, progress).go(precision)


def _command(config: Config, folder: RunFolder) -> dict[str, object]:
    """What must be the same in every process; machines may keep the data elsewhere, and number their devices."""
    settings = asdict(config) | dict(config.options)
    flags = {f"--{k.replace('_', '-')}": v for k, v in settings.items() if k not in ("options", "device", "data_root")}
    return {"--run": str(folder.path)} | flags


def _precision(config: Config, stored: Config | None, model: Autoencoder, device: torch.device) -> Precision:
    """That of the run, as process 0 has it: processors of other machines may have other instructions."""
    if stored:
        return Precision(config.precision, "as this run began")
    if config.precision != "auto":
        return Precision(config.precision, "as --precision says")
    return distributed.by_writer(lambda: preferred_precision(model, device))


def _claim(folder: RunFolder, config: Config, model: Autoencoder, stack: ExitStack) -> None:
    """Create and lock the run folder; it stays locked until ``stack`` is closed."""
    parameters = sum(p.numel() for p in model.parameters())
    copies = 3 + bool(config.average)  # weights, two moments, perhaps the average
    folder.prepare(needed_bytes=parameters * 4 * (3 * copies + 1))  # two checkpoints and a new one
    stack.enter_context(folder.locked())
    write_atomically(folder.path / "config.json", config.to_json())


def _continue(config: Config, stored: Config, folder: RunFolder) -> Config:
    """The stored configuration, with what may change taken from the new one; other differences are refused."""
    old, new = asdict(stored), asdict(config)
    if stored.model in AUTOENCODERS:  # earlier versions had fewer options
        defaults = {key: default for key, (_, default) in option_types(AUTOENCODERS[stored.model]).items()}
        silence = defaults | dict(AUTOENCODERS[stored.model].earlier)
        old["options"], new["options"] = silence | old["options"], silence | new["options"]
    if (
        old["options"].get("anneal") and new["options"].get("anneal") == config.images
    ):  # it followed --images, which may change
        new["options"]["anneal"] = old["options"].get("anneal")
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


def _check_patience(config: Config, model: Autoencoder) -> None:
    if not (model.minimises_error and model.has_encoder):
        raise GenaeError(
            f"--patience waits for a lower reconstruction error, which {config.model} does not minimise: leave it out"
        )


def _check_batch(config: Config, model: Autoencoder, data: ImageData) -> None:
    train = len(data.split("train"))
    if len(data) < 3:
        raise GenaeError(f"{config.data} holds {len(data)} images; training, validation and test need at least 3")
    parts = config.accumulate * distributed.world_size()
    for batch in dict.fromkeys(model.stage(images).batch_size for images in model.changes()):
        if batch > train:
            raise GenaeError(
                f"a batch of {batch} is larger than the {train} training images of {config.data}; lower --batch-size"
            )
        if batch < parts:
            raise GenaeError(
                f"a batch of {batch} cannot be divided into {parts} parts ({distributed.world_size()} processes x "
                f"--accumulate {config.accumulate}); raise --batch-size, or start fewer processes"
            )


def _open_perceptual(model: Autoencoder, data: ImageData, device: torch.device) -> None:
    """Open the network of the model's perceptual term, if it has one; a classifier is trained where there is none."""
    term = model.perceptual
    if term is None:
        return
    # Only here: they import torchvision, without which most commands start.
    from genae.metrics.data_classifier import classifier_distance
    from genae.metrics.lpips import open_lpips

    if term.network == "classifier":
        if data.labels is None:
            raise GenaeError(
                f"perceptual is classifier, and {data.name} has no labels to train one on (sub-folders become labels); "
                "give --perceptual lpips, or leave it out"
            )
        with screen.work() as progress:
            network: nn.Module = classifier_distance(data, device, progress)
    else:
        network = open_lpips(device)
    term.open(network, weights_digest(network))


def _initialise(model: Autoencoder, data: ImageData, config: Config) -> None:
    """Give the model the weights that it begins with where these depend on images, in every process those of process 0.

    It sees the whole first batch, however many parts it is trained in.
    """

    def weights() -> dict[str, Tensor]:
        device = next(model.parameters()).device
        reseed(mix_seed("initialise", config.seed), device)
        with closing(Feed(data, model, config.seed, config.flip, end=0)) as feed, torch.no_grad(), exact_float32():
            model.initialise(feed.batch(0, Part(), 0))
        return {name: value.cpu() for name, value in model.state_dict().items()}

    begun = distributed.by_writer(weights)
    if distributed.active():
        model.load_state_dict(begun)


def _check_capture(model: Autoencoder, device: torch.device) -> None:
    if device.type != "cuda":
        raise GenaeError(f"--capture is for CUDA GPUs; this training is on {device.type}: leave it out")
    if distributed.world_size() > 1:
        raise GenaeError(f"--capture is for one process, not {distributed.world_size()}: leave it out")
    if not model.steady:
        raise GenaeError(
            f"{type(model).__name__} changes during training, so its iterations cannot be captured: leave out --capture"
        )
