"""The resolved configuration of a run."""

import inspect
import json
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from genae.data.transforms import parse_size
from genae.errors import GenaeError, nearest


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run computes. Kept as ``config.json`` and inside every weights file."""

    model: str
    """A name in `AUTOENCODERS`."""
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
    """float32, bfloat16 (autocast), or auto: whichever multiplies faster on the device."""
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
    """Validations without improvement after which training stops; 0 never stops early."""
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
            raise GenaeError(f"capture and {other} do not go together; leave one of them out")
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
        types_of = typing.get_type_hints(cls)
        typed = {key: v if key == "options" else parse_value(key, v, types_of[key]) for key, v in values.items()}
        try:
            return cls(**typed)
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
    model: str, settings: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]], classes: Mapping[str, type]
) -> Config:
    """Configuration of ``model`` (a class's name, or a preset ``name/data``) with ``settings`` on top.

    A bare name takes the preset of the data set when there is one. Setting names are the fields of `Config` and the
    options of the model's class; values may be text. An unknown name or a value of the wrong kind raises `GenaeError`.
    """
    name, _, experiment = model.partition("/")
    if name not in classes:
        raise GenaeError(f"there is no autoencoder {name!r}; {nearest(name, classes)}")
    preset = model if experiment else f"{name}/{settings.get('data', '')}"
    if experiment and preset not in presets:
        known = [p for p in presets if p.startswith(f"{name}/")]
        raise GenaeError(f"there is no preset {model!r}; {nearest(model, known)}")
    merged = {key: _for_processes(value) for key, value in presets.get(preset, {}).items()} | dict(settings)
    if "data" not in merged:
        raise GenaeError(f"{model} says nothing of data; name a source with --data, for example --data digits")

    options = option_types(classes[name])
    run_fields = {f.name: f.type for f in fields(Config) if f.name not in ("model", "options")}
    run_types = typing.get_type_hints(Config)
    chosen: dict[str, Any] = {}
    chosen_options = {key: default for key, (_, default) in options.items()}
    for key, value in merged.items():
        if key in options:
            chosen_options[key] = parse_value(key, value, options[key][0])
        elif key in run_fields:
            chosen[key] = parse_value(key, value, run_types[key])
        else:
            hint = nearest(key.replace("_", "-"), [k.replace("_", "-") for k in (*options, *run_fields)])
            raise GenaeError(f"{name} has no setting {key.replace('_', '-')!r}; {hint}")
    return Config(model=name, options=chosen_options, **chosen)


def _for_processes(value: Any) -> Any:
    """Of a preset's table {number of processes: value}, what holds for as many as torchrun started."""
    if not isinstance(value, Mapping):
        return value
    return value[max(n for n in value if n <= int(os.environ.get("WORLD_SIZE", 1)))]


def option_types(model: type) -> dict[str, tuple[Any, Any]]:
    """The keyword options of a model's class: name -> (type, default); ``**options`` means those of its base class."""
    constructor = model.__init__  # type: ignore[misc]
    hints = typing.get_type_hints(constructor)
    parameters = inspect.signature(constructor).parameters.values()
    inherited = any(p.kind is p.VAR_KEYWORD for p in parameters) and model.__base__
    own = {p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
    return own | (option_types(inherited) if inherited else {})


def parse_value(name: str, value: Any, wanted: Any) -> Any:
    """``value``, or text of it, as the type ``wanted``: bool, int, float, str, or one of these or None."""
    if isinstance(wanted, types.UnionType):
        if value is None or value == "none":
            return None
        wanted = next(t for t in typing.get_args(wanted) if t is not type(None))
    if isinstance(value, str) and wanted is bool:
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
    elif isinstance(value, str) and wanted in (int, float):
        try:
            return wanted(value.replace("_", "") if wanted is int else value)
        except ValueError:
            pass
    elif isinstance(value, wanted) and not (wanted is int and isinstance(value, bool)):
        return value
    elif (wanted is float and isinstance(value, int)) or wanted is str:
        return wanted(value)
    expected = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[wanted]
    raise GenaeError(f"{name.replace('_', '-')} is {value!r}; expected {expected}")
