"""genae: generative autoencoders that a person can train, trust and edit with.

    model = genae.train("stacked-wae", data="digits", run="runs/first")  # or genae.load("runs/first")

Train: `train`, `import_autoencoder`, `fit_prior`, `train_classifier`. Use a model: `load`, `Model`. Data: `open_data`,
`open_stream`, `pack`. Measure: `evaluate`, `evaluate_images`, `probe`, `compare`, `report`, `reproduce`,
`open_network`, `frechet_distance`.
What there is, by name: `AUTOENCODERS`, `PRIORS`, `PRESETS`, `METRICS`. Write your own: `Autoencoder`, `Prior`, `Stage`,
`Update`, `Config`. What a user can mend is a `GenaeError`.

The names are imported when they are first used, so that ``import genae`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from genae.errors import GenaeError
from genae.version import VERSION as __version__

if TYPE_CHECKING:  # what type checkers and editors see; the same names as in _HOMES
    from genae.api import compare as compare
    from genae.api import evaluate as evaluate
    from genae.api import evaluate_images as evaluate_images
    from genae.api import fit_prior as fit_prior
    from genae.api import probe as probe
    from genae.api import report as report
    from genae.api import train as train
    from genae.autoencoders import AUTOENCODERS as AUTOENCODERS
    from genae.data.sources import open_data as open_data
    from genae.data.sources import pack as pack
    from genae.data.stream import open_stream as open_stream
    from genae.importing.imported_run import import_autoencoder as import_autoencoder
    from genae.metrics import METRICS as METRICS
    from genae.metrics.backbones import open_network as open_network
    from genae.metrics.data_classifier import train_classifier as train_classifier
    from genae.metrics.frechet import frechet_distance as frechet_distance
    from genae.model import Model as Model
    from genae.model import load as load
    from genae.priors import PRIORS as PRIORS
    from genae.protocol import Autoencoder as Autoencoder
    from genae.protocol import Prior as Prior
    from genae.protocol import Stage as Stage
    from genae.protocol import Update as Update
    from genae.reproduction.table import reproduce as reproduce
    from genae.settings.presets import PRESETS as PRESETS
    from genae.training.config import Config as Config

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
    "import_autoencoder": "genae.importing.imported_run",
    "load": "genae.model",
    "open_data": "genae.data.sources",
    "open_network": "genae.metrics.backbones",
    "open_stream": "genae.data.stream",
    "pack": "genae.data.sources",
    "probe": "genae.api",
    "report": "genae.api",
    "reproduce": "genae.reproduction.table",
    "train": "genae.api",
    "train_classifier": "genae.metrics.data_classifier",
}

__all__ = ["GenaeError", "__version__", *_HOMES]


if not TYPE_CHECKING:  # else no misspelt name would be an error for them

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'genae' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
