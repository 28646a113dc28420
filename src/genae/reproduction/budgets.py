"""The data sets of the papers' tables, and the budgets: how long, how large and how precisely models are trained."""

from dataclasses import dataclass, field
from typing import Any

from genae.settings.presets import PARTS_DATA, PRESETS

Settings = dict[str, Any]
"""Flags of a command, by name."""

BUDGETS: dict[str, Settings] = {
    # Minutes on two cores, to see that everything works: the figures mean nothing. Digits stand in for every data set.
    "smoke": {
        "images": 1_500, "width": 4, "prior_width": 32, "critic_width": 32, "batch_size": 50, "code_dim": 16,
        "growth": 0, "learning_rate": 5e-3, "prior_initial": "kaiming", "validate_every": 500, "code_grid": 2,
        "levels": 2, "depth": 2,
    },
    # Half an hour for each row and seed on one core: narrow networks, codes in R^32, priors' z in R^8, a falling
    # learning rate; rows with small networks see fewer images and no more.
    "cpu": {
        "width": 16, "code_dim": 32, "learning_rate": 7e-4, "batch_size": 64, "patience": 0, "prior_dim": 8,
        "prior_initial": "kaiming", "validate_every": 20_000, "checkpoint_every": 20_000,
    },
    # The papers' own settings.
    "gpu": {},
}  # fmt: skip
PRECISIONS = ("float32", "bfloat16")
"""What a table is trained in, the first by default: which precision a machine multiplies faster must not decide a
figure. The other is another protocol, with its own runs and its own table."""
SAMPLES = {"smoke": 1_000, "cpu": 10_000}
"""Of each prior, in an evaluation; with the budget ``gpu`` each data set has the paper's."""
EPOCHS = {"smoke": 1, "cpu": 12}
"""Of recognition; with the budget ``gpu`` each data set has the paper's."""
MILESTONES = {"smoke": 3, "cpu": 5}
"""At how many points of a training samples are measured, where a row says so; with the budget ``gpu`` at as many as in
the paper."""
DROP_EVERY = 30
"""Epochs after which the paper divides recognition's learning rate by 10."""
SMOKE_FIT = {"images": 5_000, "batch_size": 100, "width": 32, "components": 4}


@dataclass(frozen=True)
class DataSet:
    """A data set of the tables: how it is opened, and how long the papers trained on it."""

    source: str | None
    """Its name; None where the user has to give a folder."""
    options: Settings
    """How it is opened, and what the networks of all rows have of their own on it."""
    images: int
    cpu_images: int
    """Images to train on with the budget ``cpu``."""
    cpu_options: Settings = field(default_factory=dict)
    """What the budget ``cpu`` takes instead."""
    epochs: int = 90
    """Of recognition on it, in the paper."""
    samples: int = 10_000
    """Of each prior, in the paper's evaluation; with the budget ``gpu``."""
    cpu_samples: int = 0
    """The same with the budget ``cpu``; 0: those of `SAMPLES`."""
    split: str = "test"
    """The images that the paper's evaluation compares with; with the budget ``gpu``."""

    def options_within(self, budget: str) -> Settings:
        """How a budget opens it."""
        return self.options | (self.cpu_options if budget == "cpu" else {})

    def evaluation_within(self, budget: str) -> tuple[int, str]:
        """How a budget evaluates on it: samples of each prior, and the split that they are compared with."""
        if budget == "gpu":
            return self.samples, self.split
        return (budget == "cpu" and self.cpu_samples) or SAMPLES[budget], "test"


def _parts_data(name: str, on_cpu: Settings | None = None, sizes: Settings | None = None, epochs: int = 90) -> DataSet:
    """A data set as PatchVAE's presets train on it; ``sizes`` are those of its codes."""
    options = {**PARTS_DATA[name], **(sizes or {})}
    images = options.pop("images")
    return DataSet(options.pop("data", None), options, images, 100_000, on_cpu or {}, epochs)


def _styled_data(preset: str) -> DataSet:
    """A data set as a preset of StyleALAE trains on it, and as its authors evaluate: 50,000 samples are compared with
    training images, and so are reconstructions of these."""
    options = {key: value for key, value in PRESETS[preset].items() if key != "images"}
    tiny = {key: value for key, value in PRESETS["style-alae/tiny"].items() if key not in ("images", "data")}
    on_cpu = {"size": "32", "learning_rate": "0.0015"} | tiny
    return DataSet(None, options, PRESETS[preset]["images"], 300_000, on_cpu, samples=50_000, split="train")


DATA = {
    "mnist": DataSet("mnist", {"size": "32", "fit": "pad"}, 200 * 55_000, 400_000),
    "cifar10": DataSet("cifar10", {}, 200 * 45_000, 100_000),
    "celeba": DataSet(None, {"size": "64", "fit": "crop"}, PRESETS["stacked-wae/celeba64"]["images"], 100_000),
    "sw": DataSet("mnist-sw", {}, 400 * 50_000, 20 * 50_000),
    "dw": DataSet("mnist-dw", {}, 400 * 60_000, 20 * 60_000),
    # No paper's. Codes of 256 numbers, as many as those with a shape have: 4 x 8 x 8.
    "photos64": DataSet(
        None, {"size": "64", "channels": 3, "code_dim": 256}, 5_000_000, 100_000, {"width": 32}, cpu_samples=2_000
    ),
    "ffhq": _styled_data("style-alae/ffhq1024"),
    "lsun_bedroom": _styled_data("style-alae/bedroom256"),
    "celebahq256": _styled_data("style-alae/celeba-hq256"),
    "cifar100": _parts_data("cifar100"),
    "indoor67": _parts_data("indoor67"),
    "places205": _parts_data("places205", epochs=5),
    "imagenet": _parts_data(
        "imagenet",
        {"size": "64", "scale": 8, "parts": 16, "part_dim": 6, "code_dim": 96, "batch_size": 128},
        {"parts": 64, "part_dim": 16, "code_dim": 1024},
        epochs=30,
    ),
    "oxford102": DataSet(None, {"size": "64", "fit": "stretch"}, PRESETS["aaae/flowers102"]["images"], 100_000),
}
