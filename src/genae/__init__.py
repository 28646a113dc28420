"""genae: generative autoencoders that a person can train, trust and edit with.

The public names below are imported when first used, so that ``import genae`` costs nothing.
"""

from importlib import import_module
from typing import Any

from genae.errors import GenaeError
from genae.version import VERSION as __version__

_HOMES = {
    "AUTOENCODERS": "genae.autoencoders",
    "METRICS": "genae.metrics",
    "PRIORS": "genae.priors",
    "PRESETS": "genae.settings.presets",
    "Autoencoder": "genae.protocol",
    "Prior": "genae.protocol",
    "Stage": "genae.protocol",
    "Update": "genae.protocol",
    "Config": "genae.training.config",
    "Model": "genae.model",
    "compare": "genae.api",
    "evaluate": "genae.api",
    "evaluate_images": "genae.api",
    "fit_prior": "genae.api",
    "frechet_distance": "genae.metrics.frechet",
    "load": "genae.model",
    "open_data": "genae.data.sources",
    "open_network": "genae.metrics.backbones",
    "open_stream": "genae.data.stream",
    "probe": "genae.api",
    "report": "genae.api",
    "reproduce": "genae.reproduction.tables",
    "train": "genae.api",
    "train_classifier": "genae.metrics.classifier",
}

__all__ = ["GenaeError", "__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genae' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
