"""Tables that are no paper's: every stage I beside every stage II on its codes, on one data set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from genae.metrics.records import CODE
from genae.reproduction.budgets import Settings
from genae.reproduction.published import TABLES, Row
from genae.settings.presets import PRESETS

OWN = "own"
"""The column of the prior that is trained together with its stage I, or fixed by it."""
FIGURES = {
    "mse": "mean squared error of reconstructions through stage II, per value in [-1, 1], lower is better",
    "fd": "Fréchet distance of samples in the features of genae's classifier, lower is better",
    "precision": "share of samples among the real images, higher is better",
    "recall": "share of real images among the samples, higher is better",
    "icp": "score of samples with genae's classifier, higher is better",
    "given_accuracy": "share of samples of which the classifier says the class that was asked for; in `code` of "
    "reconstructions their own class; higher is better",
    "copies": "share of samples that are copies of training images; honest: 0.01",
    "ssim": "structural similarity of reconstructions, 1 is identical",
    "1nn": "accuracy of the nearest neighbour's label among the codes of test and training images",
    "logistic": "accuracy of logistic regression on the codes",
    "seconds": "training of stage I and the fit of stage II together",
    "parameters": "numbers that were trained, critics too; of a prior in closed form those that it keeps",
}
"""What is measured in each cell, and what it says."""


@dataclass(frozen=True)
class Lab:
    """Every stage I (rows) with every stage II (columns), measured in all of `FIGURES`."""

    title: str
    data: str
    """A name in `DATA`."""
    rows: Mapping[str, Row | None]
    """Stage I. None: a run of the user's, such as an imported autoencoder; ``--data ROW=RUN`` names it."""
    fitted: Mapping[str, Settings]
    """Stage II -> settings of `api.fit_prior`."""
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """``code`` (no stage II: the figures of reconstructions), ``own``, and what is fitted."""
        return (CODE, OWN, *self.fitted)

    @property
    def runs_of_the_user(self) -> tuple[str, ...]:
        """Rows that ``--data ROW=RUN`` names."""
        return tuple(name for name, row in self.rows.items() if row is None)

    def key(self, column: str, figure: str) -> str:
        """What a figure of a column is called in the results: ``mnist_fd of flow``."""
        return f"{self.data}_{figure} of {column}"


def fitted_name(column: str) -> str:
    """The prior of a column in the folder of a run, which other tables and the user fit priors in too."""
    return f"lab-{column.replace('+', '-')}"


def _with_labels(name: str, settings: Settings, **labelled: object) -> dict[str, Settings]:
    """A stage II, and the same given the label."""
    return {name: settings, f"{name}+label": settings | labelled | {"given": "label"}}


_PLAIN = TABLES["swae/table1"].rows["wae"][0]
_AAAE = TABLES["aaae/table1"].rows["aaae"][0]
_ALAE: Settings = {key: value for key, value in PRESETS["alae/mnist"].items() if key not in ("data", "images")}


def _shaped(model: str, grid: int, channels: int, **options: float | bool) -> Row:
    """A stage I whose codes are maps [channels, grid, grid] (docs/second-stage.md)."""
    shape: Settings = {"networks": "residual", "norm": "group", "code_grid": grid, "code_channels": channels}
    return replace(_PLAIN, model=model, options=_PLAIN.options | shape | options)


_FLOW: Settings = {"kind": "flow", "images": 1_000_000}
_FLOW_MATCHING: Settings = {"kind": "flow-matching", "width": 256, "batch_size": 256, "learning_rate": 2e-3,
                            "images": 1_500_000}  # fmt: skip
_TRANSFORMER: Settings = {"kind": "flow-transformer", "images": 500_000}
# SWAE's and AAAE's, with what lets them learn in minutes: docs/models/baselines.md.
_WAE_GAN: Settings = {"kind": "wae-gan", "latent_dim": 8, "weight": 3.0, "initial": "kaiming", "images": 1_000_000,
                      "batch_size": 128}  # fmt: skip
_WGAN_GP: Settings = {"kind": "wgan-gp", "latent_dim": 8, "initial": "kaiming", "images": 800_000, "batch_size": 64}
_NOTES = (
    "Rows are stages I, columns stages II on their frozen codes; `code` has no stage II: its figures are those of "
    "reconstructions of the test images, the best that any stage II could do. `own` is the prior that comes with the "
    "model, and `+label` a prior that was told the labels; its samples are of all classes. A dash: there is nothing to "
    "measure (a stage II without an encoder has no reconstructions), nobody has asked, or the list below says why.",
    "The stage I of `aaae` is that of SWAE too. Codes of `shaped` rows are maps, of as many numbers as the vectors of "
    "`ae`. Seconds are those of the machine that trained: they compare rows only where one machine trained them all.",
)

LABS: dict[str, Lab] = {
    "lab/mnist": Lab(
        "Stages I and II on MNIST: reconstructions through both, and samples",
        "mnist",
        {
            "ae": replace(_PLAIN, model="ae"),
            "vae": replace(_PLAIN, model="vae"),
            "aaae": _AAAE,
            "alae": Row("alae", "mapping", _ALAE, longer=3, small=True),
            "shaped": replace(_shaped("ae", 4, 8), on_cpu=_shaped("ae", 4, 2)),
            "imported": None,
        },
        {
            **_with_labels("gaussian", {"kind": "gaussian"}),
            **_with_labels("mixture", {"kind": "mixture", "components": 50}, components=10),
            **_with_labels("flow", _FLOW),
            **_with_labels("flow-matching", _FLOW_MATCHING),
            "flow-transformer": _TRANSFORMER,
            "wae-gan": _WAE_GAN,
            "wgan-gp": _WGAN_GP,
        },
        _NOTES,
    ),
    "lab/photos64": Lab(
        "Stages I and II on photographs of 64 x 64 pixels: codes that are vectors, and codes with a shape",
        "photos64",
        {
            "ae": replace(_PLAIN, model="ae"),
            "vae": replace(_PLAIN, model="vae"),
            "aaae": _AAAE,
            "shaped-ae": _shaped("ae", 8, 4),
            "shaped-vae": _shaped("vae", 8, 4, beta=0.01),
            "shaped-adversarial": _shaped("adversarial", 8, 4, balanced_critic=True, critic_weight=0.2),
            "imported": None,
        },
        {
            "gaussian": {"kind": "gaussian"},
            "mixture": {"kind": "mixture"},
            "flow": _FLOW,
            **_with_labels("flow-matching", _FLOW_MATCHING),
            **_with_labels("flow-transformer", _TRANSFORMER),
            "wae-gan": _WAE_GAN,
            "wgan-gp": _WGAN_GP,
        },
        _NOTES,
    ),
}
"""Name -> what ``genae reproduce`` measures under it."""
