"""The resolved configuration of a run."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from genae.autoencoders import IMPORTED
from genae.data.transforms import parse_size
from genae.errors import GenaeError, nearest
from genae.settings.parser import Option, options_of, parse_settings


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run computes. Kept as ``config.json`` and inside every weights file."""

    model: str
    """A name in `AUTOENCODERS` or `IMPORTED`."""
    data: str
    """A source for `open_data`; the fields down to ``skip_bad`` are its arguments."""
    data_root: str | None = None
    size: str | None = None
    fit: str = "crop"
    channels: int | None = None
    value_range: str | None = None
    layout: str | None = None
    attributes: str | None = None
    skip_bad: bool = False
    flip: bool = False
    """Mirror every other training image at random."""
    images: int = 1_000_000
    """Length of the training, in images that stage I sees."""
    seed: int = 0
    precision: str = "auto"
    """float32, bfloat16 (autocast), or auto: by the device and the widths of the networks."""
    compile: bool = False
    capture: bool = False
    """Replay iterations as a CUDA graph: faster for small networks on a GPU."""
    accumulate: int = 1
    """Parts into which each process divides its batch, to save memory."""
    average: int = 0
    """Half-life, in images, of the moving average of the weights that is then the trained model; 0 keeps none."""
    device: str = "auto"
    validate_every: int = 50_000
    """Images between two measurements of the validation error."""
    patience: int = 0
    """Validations without a lower error after which training stops; 0 never stops early. Only for models that minimise
    the error."""
    checkpoint_every: int = 50_000
    """Images between two checkpoints."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the model's class, all of them."""

    def __post_init__(self) -> None:
        for name in ("images", "accumulate", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise GenaeError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name, meaning in (("patience", "never stop early"), ("average", "no average")):
            if getattr(self, name) < 0:
                raise GenaeError(f"{name} is {getattr(self, name)}; expected 0 ({meaning}) or more")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise GenaeError(f"precision is {self.precision!r}; expected auto, float32 or bfloat16")
        if self.capture and (self.compile or self.accumulate > 1):
            other = "compile" if self.compile else "accumulate"
            raise GenaeError(f"capture and {other} cannot be combined; leave one of them out")
        if self.size is not None:
            parse_size(self.size)

    def data_options(self) -> dict[str, Any]:
        """The keyword arguments of `open_data`."""
        names = ("data_root", "size", "fit", "channels", "layout", "attributes", "skip_bad")
        options = {name: getattr(self, name) for name in names}
        return options | {"value_range": parse_range(self.value_range) if self.value_range else None}

    def to_json(self) -> str:
        """The configuration as indented JSON."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str, where: str) -> "Config":
        """Read `to_json`'s text; ``where`` names the file in errors. Unknown or missing fields raise `GenaeError`."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise GenaeError(f"{where} is not a genae configuration: {error}") from None
        if not isinstance(values, dict) or not isinstance(values.get("options"), dict):
            raise GenaeError(f"{where} is not a genae configuration: it has no options")
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise GenaeError(
                f"{where} has an unknown field {sorted(unknown)[0]!r}: it is from another version of genae"
            )
        options = values.pop("options")
        try:
            return cls(**parse_settings(where, values, options_of(cls)), options=options)
        except TypeError as error:
            raise GenaeError(f"{where} is not a complete genae configuration: {error}") from None


def parse_range(text: str) -> tuple[float, float]:
    """``0,4095`` -> (0.0, 4095.0)."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise GenaeError(f"value range is {text!r}; expected LOW,HIGH such as 0,4095") from None
    return low, high


def resolve(
    model: str, settings: Mapping[str, object], presets: Mapping[str, Mapping[str, object]], classes: Mapping[str, type]
) -> Config:
    """Configuration of ``model`` (a class's name, or a preset ``name/data``) with ``settings`` on top.

    A bare name takes the preset of the data set when there is one. Setting names are the fields of `Config` and the
    options of the model's class; values may be text, and of a table {number of processes: value} that of as many as
    torchrun started is taken. Where a preset anneals to the end of its training, ``anneal`` follows ``images``. An
    unknown name or a value of the wrong kind raises `GenaeError`.
    """
    if not isinstance(model, str):
        raise GenaeError(f"model is {model!r}; expected the name of an autoencoder or a preset")
    name, _, experiment = model.partition("/")
    if name in IMPORTED:
        raise GenaeError(
            f"{name} is imported, not trained: genae import-autoencoder {name}:SOURCE --run RUN --data DATA"
        )
    if name not in classes:
        raise GenaeError(f"there is no autoencoder {name!r}; {nearest(name, classes)}")
    preset = model if experiment else f"{name}/{settings.get('data', '')}"
    if experiment and preset not in presets:
        of_class = [p for p in presets if p.startswith(f"{name}/")]
        hint = nearest(model, of_class) if of_class else f"{name} has no presets: train {name} with --data"
        raise GenaeError(f"there is no preset {model!r}; {hint}")
    merged = {key: _for_processes(value) for key, value in {**presets.get(preset, {}), **settings}.items()}
    if "data" not in merged:
        raise GenaeError(f"{model} has no default data; name a source with --data, for example --data digits")

    if "images" in settings and "anneal" not in settings and anneals_to_the_end(presets.get(preset, {})):
        merged["anneal"] = merged["images"]
    options, run_options = option_types(classes[name]), run_settings()
    parsed = parse_settings(name, merged, run_options | options)
    of_model = {key: default for key, (_, default) in options.items()}
    of_model |= {key: value for key, value in parsed.items() if key in options}
    of_run = {key: value for key, value in parsed.items() if key not in options}
    if of_run.get("seed", 0) < 0:
        raise GenaeError(f"seed is {of_run['seed']}; expected a whole number from 0 up")
    return Config(model=name, options=of_model, **of_run)


def anneals_to_the_end(preset: Mapping[str, object]) -> bool:
    """Whether a preset's learning rate falls over the whole training: then ``anneal`` follows ``images``."""
    return bool(preset.get("anneal")) and preset["anneal"] == preset.get("images")


def _for_processes(value: object) -> object:
    """Of a table {number of processes: value}, what holds for as many as torchrun started."""
    if not isinstance(value, Mapping):
        return value
    return value[max(n for n in value if n <= int(os.environ.get("WORLD_SIZE", 1)))]


def option_types(model: type) -> dict[str, Option]:
    """The options of a model's class: what `Config.options` holds."""
    return options_of(model, without=("image_shape",))


def run_settings() -> dict[str, Option]:
    """The settings of a run: the fields of `Config` but the model and its options."""
    return options_of(Config, without=("model", "options"))
