"""The papers' tables: what each row is in genae, on which data, and the figures that were published."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from genae.metrics.recognition import FROZEN
from genae.settings.presets import CRITIC, EDGES, FITTED, PARTS_DATA, PRESETS

BUDGETS: dict[str, dict[str, Any]] = {
    # Minutes on two cores, to see that everything works: the figures mean nothing. Digits stand in for every data set.
    "smoke": {"images": 1_500, "width": 4, "prior_width": 32, "critic_width": 32, "batch_size": 50, "code_dim": 16},
    # Half an hour for each row and seed on one core: narrow networks, codes in R^32, priors' z in R^8, a falling
    # learning rate; rows with small networks see fewer images and no more. In float32: which precision a machine
    # multiplies faster must not decide a figure.
    "cpu": {
        "width": 16, "code_dim": 32, "learning_rate": 7e-4, "batch_size": 64, "patience": 0, "prior_dim": 8,
        "prior_initial": "kaiming", "validate_every": 20_000, "checkpoint_every": 20_000, "precision": "float32",
    },
    # The papers' own settings.
    "gpu": {},
}  # fmt: skip
SAMPLES = {"smoke": 1_000, "cpu": 10_000, "gpu": 10_000}
EPOCHS = {"smoke": 1, "cpu": 12}
"""Of recognition; with the budget ``gpu`` each data set has the paper's."""
DROP_EVERY = 30
"""Epochs after which the paper divides recognition's learning rate by 10."""

PLUS = {key: value for key, value in FITTED["aaae/mnist-plus"].items() if key != "name"}
"""The prior of ``aaae-plus``."""
SMOKE_FIT = {"images": 5_000, "batch_size": 100, "width": 32, "components": 4}


@dataclass(frozen=True)
class DataSet:
    """A data set of the tables: how it is opened, and how long the papers trained on it."""

    source: str | None
    """Its name; None where the user has to give a folder."""
    options: Mapping[str, Any]
    """How it is opened, and what the networks of all rows have of their own on it."""
    images: int
    cpu_images: int
    """Images to train on with the budget ``cpu``."""
    cpu_options: Mapping[str, Any] = field(default_factory=dict)
    """What the budget ``cpu`` takes instead."""
    epochs: int = 90
    """Of recognition on it."""


def _parts_data(
    name: str, on_cpu: Mapping[str, Any] | None = None, sizes: Mapping[str, Any] | None = None, epochs: int = 90
) -> DataSet:
    """A data set as PatchVAE's presets train on it; ``sizes`` are those of its codes."""
    options = {**PARTS_DATA[name], **(sizes or {})}
    images = options.pop("images")
    return DataSet(options.pop("data", None), options, images, 100_000, on_cpu or {}, epochs)


DATA = {
    "mnist": DataSet("mnist", {"size": "32", "fit": "pad"}, 200 * 55_000, 400_000),
    "cifar10": DataSet("cifar10", {}, 200 * 45_000, 100_000),
    "celeba": DataSet(None, {"size": "64", "fit": "crop"}, 25 * 162_770, 100_000),
    "sw": DataSet("mnist-sw", {}, 400 * 50_000, 20 * 50_000),
    "dw": DataSet("mnist-dw", {}, 400 * 60_000, 20 * 60_000),
    "ffhq": DataSet(None, {"size": "1024"}, 147 * 60_000, 300_000, {"size": "32"}),
    "lsun_bedroom": DataSet(
        None,
        {"size": "256", "width": 32, "growth": 758_260},
        112 * 758_260,
        300_000,
        {"size": "32", "width": 16, "growth": 10_000},
    ),
    "cifar100": _parts_data("cifar100"),
    "indoor67": _parts_data("indoor67"),
    "places205": _parts_data("places205", epochs=5),
    "imagenet": _parts_data(
        "imagenet",
        {"size": "64", "scale": 8, "parts": 16, "part_dim": 6, "code_dim": 96, "batch_size": 128},
        {"parts": 64, "part_dim": 16, "code_dim": 1024},
        epochs=30,
    ),
    "oxford102": DataSet(None, {"size": "64", "fit": "stretch"}, 200 * 1_020, 100_000),
}


@dataclass(frozen=True)
class Row:
    """What a row of a table is, in genae: a model, its options, and where its samples come from."""

    model: str = ""
    """A name in `AUTOENCODERS`; empty for real data."""
    prior: str = "normal"
    options: Mapping[str, Any] = field(default_factory=dict)
    through_prior: bool = False
    """Whether the table's reconstructions pass through the prior (SWAE's do)."""
    fitted: Mapping[str, Any] | None = None
    """Settings of `api.fit_prior`, where the prior is fitted to the frozen codes of the trained run."""
    on_cpu: "Row | None" = None
    """What the budget ``cpu`` trains and fits instead."""
    small: bool = False
    """Whether the networks are small enough for the budget ``cpu`` to keep them and their settings."""
    space: str = "w"
    """Where path lengths are measured: a prior's ``z``, or codes ``w``."""
    reconstructions: bool = False
    """Whether the row's figures are those of reconstructions of test images, not of samples."""
    random_trunk: bool = False
    """Whether recognition is measured with fresh weights: only the networks of the model are used."""
    supervised: bool = False
    """Whether nothing is frozen: with a random trunk, training on labels alone."""
    quoted: str = ""
    """Why genae cannot measure a row that the paper quotes."""


_PAPER: dict[str, Any] = {"learning_rate": 1e-4, "code_dim": 128, "width": 64, "patience": 10}
_SWAE: dict[str, Any] = _PAPER | {"batch_size": 64, "priors": "normal,uniform", "prior_dim": 64}
_AAAE: dict[str, Any] = _PAPER | {"batch_size": 100, "prior_dim": 64}


def _swae_on_cpu(distribution: str, model: str, options: Mapping[str, Any]) -> Row:
    """Stage I is AAAE's, trained once for both papers; stage II learns from its frozen codes, with z in R^8."""
    stage_two = {"kind": "wae-gan", "distribution": distribution, "latent_dim": 8, "weight": 3.0, "initial": "kaiming",
                 "images": 2_000_000, "batch_size": 128}  # fmt: skip
    return Row(model, f"wae-gan-{distribution}", options, True, stage_two)


# ALAE Section 6 and 7.1: two hidden layers of 1,024, codes in R^50, learning rate 0.002, batch 128.
_DENSE: dict[str, Any] = {"learning_rate": 0.002, "code_dim": 50, "width": 1024, "batch_size": 128}


def _dense(model: str, **options: Any) -> Row:
    return Row(model, options=_DENSE | {"networks": "dense", "norm": "none"} | options, small=True)


# PatchVAE Section 4.1, and its code where it is silent: Adam 1e-4, batch 128; N = 16, d = 6; betas 1 and 10.
_TRUNK: dict[str, Any] = {"learning_rate": 1e-4, "batch_size": 128}


def _trunk(model: str, reconstructions: bool = False, **options: Any) -> Row:
    return Row(model, "parts" if model == "patch-vae" else "normal", _TRUNK | options, small=True,
               reconstructions=reconstructions)  # fmt: skip


def _ablation(option: str, published: Mapping[Any, tuple[float, float]], label: str) -> Any:
    rows = {
        f"{label}={value}": (_trunk("patch-vae", **{option: value}), figures) for value, figures in published.items()
    }
    return ("cifar100", "indoor67"), rows


# The networks of the presets style-alae/ffhq1024 and stylegan/ffhq1024; on the CPU those of style-alae/tiny.
_FFHQ: dict[str, Any] = PRESETS["style-alae/ffhq1024"] | {"batch_size": "512,256,128,64,32,16"}
_TINY: dict[str, Any] = PRESETS["style-alae/tiny"]


def _styled(model: str, space: str = "w", reconstructions: bool = False, **options: Any) -> Row:
    if model == "stylegan":
        options |= {"mapping_rate": 0.01}
    on_cpu = Row(model, "mapping", _TINY | options, small=True, space=space, reconstructions=reconstructions)
    return Row(model, "mapping", _FFHQ | options, space=space, reconstructions=reconstructions, on_cpu=on_cpu)


_ALI, _ALICE = Row("ali", options=_PAPER), Row("alice", options=_PAPER)
_WAE, _WGAN = (
    Row("wae-mmd", options=_PAPER),
    Row("wgan-gp", options={k: v for k, v in _PAPER.items() if k != "patience"}),
)

# Rows: what each is in genae, and the published figures, by column (None: the paper gives none).
TABLES: dict[str, tuple[tuple[str, ...], dict[str, tuple[Row, tuple[float | None, ...]]]]] = {
    # Xu, Keshmiri, Wang: Stacked Wasserstein Autoencoder (2019), Table 1. It quotes ALI and ALICE on MNIST and CIFAR-10
    # from the ALICE paper.
    "swae/table1": (
        ("mnist_icp", "mnist_mse", "cifar10_icp", "cifar10_mse", "celeba_fid", "celeba_mse"),
        {
            "true data": (Row(), (None, None, None, None, 1.94, None)),
            "ali": (_ALI, (8.84, 0.38, 5.97, 0.56, 6.95, 0.281)),
            "alice": (_ALICE, (9.35, 0.07, 6.04, 0.214, None, None)),
            "wae": (_WAE, (None, None, None, None, 98.78, 0.02)),
            "swae (w/o D1)": (
                Row("stacked-wae", "normal", _SWAE | {"critic_weight": 0.0}, True,
                    on_cpu=_swae_on_cpu("normal", "adversarial", _PAPER | {"critic_weight": 0.0})),
                (None, None, None, None, 68.15, 0.046),
            ),
            "swae (normal)": (
                Row("stacked-wae", "normal", _SWAE, True, on_cpu=_swae_on_cpu("normal", "aaae", _AAAE)),
                (8.87, 0.01, 5.73, 0.081, 18.38, 0.072),
            ),
            "swae (uniform)": (
                Row("stacked-wae", "uniform", _SWAE, True, on_cpu=_swae_on_cpu("uniform", "aaae", _AAAE)),
                (8.91, 0.01, 5.81, 0.078, 17.14, 0.066),
            ),
        },
    ),
    # Xu, Keshmiri, Wang: Adversarially Approximated Autoencoder (2019), Table I.
    "aaae/table1": (
        ("mnist_icp", "mnist_mse", "cifar10_icp", "cifar10_mse", "celeba_fid", "celeba_mse", "oxford102_fid"),
        {
            "wgan-gp": (_WGAN, (None, None, 6.61, None, None, None, None)),
            "ali": (_ALI, (8.839, 0.38, 5.974, 0.559, 6.946, 0.283, 80.817)),
            "alice": (_ALICE, (9.349, 0.073, 6.043, 0.216, None, None, None)),
            "wae": (_WAE, (None, None, None, None, 98.78, 0.019, 196.56)),
            "aaae": (Row("aaae", "wgan-gp", _AAAE), (9.873, 0.011, 6.431, 0.053, 4.868, 0.023, 103.46)),
            # Not in the paper: other priors on the codes of the row above.
            "aaae + mixture": (Row("aaae", "mixture", _AAAE, fitted={"kind": "mixture"}), (None,) * 7),
            "aaae-plus": (Row("aaae", "plus", _AAAE, fitted=PLUS), (None,) * 7),
        },
    ),
    # Pidhorskyi, Adjeroh, Doretto: Adversarial Latent Autoencoders (2020), Table 2: accuracies in per cent.
    "alae/table2": (
        ("1nn_sw_short", "1nn_sw_long", "svm_sw_short", "svm_sw_long",
         "1nn_dw_short", "1nn_dw_long", "svm_dw_short", "svm_dw_long"),
        {
            "ae (l1)": (_dense("ae", error="l1"), (97.15, 97.43, 88.71, 97.27, 96.84, 96.80, 89.78, 97.72)),
            "ae (l2)": (_dense("ae", error="l2"), (97.52, 97.37, 88.78, 97.23, 97.05, 96.77, 89.78, 97.72)),
            "lr": (_dense("latent-regressor"), (92.79, 97.28, 89.74, 97.56, 91.90, 96.69, 90.03, 97.80)),
            "jlr": (_dense("latent-regressor", joint=True), (92.54, 97.02, 89.23, 97.19, 91.97, 96.45, 90.82, 97.62)),
            "bigan": (_dense("bigan"), (95.83, 97.14, 90.52, 97.59, 95.38, 96.81, 91.34, 97.74)),
            "alae": (Row("alae", options=_DENSE, small=True), (93.79, 97.61, 93.47, 98.20, 94.59, 97.47, 94.23, 98.64)),
        },
    ),
    # ALAE, Table 3: FID. The paper's other rows quote PGGAN, IntroVAE and PIONEER.
    "alae/table3": (
        ("ffhq_fid", "lsun_bedroom_fid"),
        {
            "stylegan": (_styled("stylegan"), (4.40, 2.65)),
            "stylealae generation": (_styled("style-alae"), (13.09, 17.13)),
            "stylealae reconstruction": (_styled("style-alae", reconstructions=True), (16.52, 15.92)),
        },
    ),
    # ALAE, Table 4: perceptual path length on FFHQ.
    "alae/table4": (
        ("ppl_full", "ppl_end"),
        {
            "stylegan Z": (_styled("stylegan", "z"), (412.0, 415.3)),
            "stylegan no mixing W": (_styled("stylegan", mixing=0.0), (200.5, 160.6)),
            "stylegan W": (_styled("stylegan"), (231.5, 182.1)),
            "stylealae Z": (_styled("style-alae", "z"), (300.5, 292.0)),
            "stylealae W": (_styled("style-alae"), (134.5, 103.4)),
        },
    ),
    # Gupta, Singh, Shrivastava: PatchVAE (2020), Table 1: accuracies in per cent, by the layers that are frozen.
    # CIFAR-10 and the last two rows are not the paper's.
    "patchvae/table1": (
        (*(f"{data}_{frozen}" for data in ("cifar100", "indoor67", "places205", "cifar10")
           for frozen in ("conv1", "conv1-3", "conv1-5")),),
        {
            name: (row, (*published, None, None, None))
            for name, row, published in (
                ("beta-vae", _trunk("trunk-vae"),
                 (44.12, 39.65, 28.57, 20.08, 17.76, 13.06, 28.29, 24.34, 8.89)),
                ("beta-vae + Lw", _trunk("trunk-vae", **EDGES),
                 (44.96, 40.30, 28.33, 21.34, 19.48, 13.96, 29.43, 24.93, 9.41)),
                ("beta-vae-gan", _trunk("trunk-vae", **CRITIC),
                 (44.69, 40.13, 29.89, 19.10, 17.84, 13.06, 28.48, 24.51, 9.72)),
                ("beta-vae-gan + Lw", _trunk("trunk-vae", **EDGES, **CRITIC),
                 (45.61, 41.35, 31.53, 20.45, 18.36, 14.33, 29.63, 25.26, 10.66)),
                ("patchvae", _trunk("patch-vae"),
                 (43.07, 38.58, 28.72, 20.97, 19.18, 13.43, 28.63, 24.95, 11.09)),
                ("patchvae + Lw", _trunk("patch-vae", **EDGES),
                 (43.75, 40.37, 30.55, 23.21, 21.87, 15.45, 29.39, 26.29, 12.07)),
                ("patchvae-gan", _trunk("patch-vae", **CRITIC),
                 (44.45, 40.57, 31.74, 21.12, 19.63, 14.55, 28.87, 25.25, 12.21)),
                ("patchvae-gan + Lw", _trunk("patch-vae", **EDGES, **CRITIC),
                 (45.39, 41.74, 32.65, 22.46, 21.87, 16.42, 29.36, 26.30, 13.39)),
                ("bigan", _trunk("bigan", networks="residual", code_dim=96),
                 (47.72, 41.89, 31.58, 21.64, 17.09, 9.70, 30.06, 25.11, 10.82)),
                ("imagenet pretrained", Row(quoted="weights that were trained on ImageNet's labels; quoted"),
                 (55.99, 54.99, 54.36, 45.90, 45.82, 40.90, 37.08, 36.46, 31.26)),
                ("random trunk", replace(_trunk("patch-vae"), random_trunk=True), (None,) * 9),
                ("supervised", replace(_trunk("patch-vae"), random_trunk=True, supervised=True), (None,) * 9),
            )
        },
    ),
    "patchvae/table2": (
        ("imagenet_top1", "imagenet_top5"),
        {
            "beta-vae": (_trunk("trunk-vae"), (44.45, 69.67)),
            "patchvae": (_trunk("patch-vae"), (47.01, 71.71)),
            "beta-vae + Lw": (_trunk("trunk-vae", **EDGES), (47.28, 71.78)),
            "patchvae + Lw": (_trunk("patch-vae", **EDGES), (47.87, 72.49)),
            "imagenet supervised": (replace(_trunk("patch-vae"), random_trunk=True, supervised=True), (61.37, 83.79)),
        },
    ),
    # Ablations, with the whole trunk frozen. Table 6's weights are 1, 5, 10 on a sum over parts.
    "patchvae/table3": _ablation("parts", {4: (27.59, 14.40), 8: (28.74, 12.69), 16: (28.94, 14.33),
                                           32: (27.78, 13.28), 64: (29.00, 12.76)}, "N"),
    "patchvae/table4": _ablation("part_dim", {3: (28.63, 14.25), 6: (28.97, 14.55), 9: (28.21, 14.55)}, "d_p"),
    "patchvae/table5": _ablation("occurrence_rate", {0.01: (28.86, 14.33), 0.05: (28.67, 14.25),
                                                     0.1: (28.31, 14.03)}, "z_occ_prior"),
    "patchvae/table6": (
        ("cifar100", "indoor67"),
        {
            f"beta_occ={label}": (_trunk("patch-vae", beta_occurrence=weight), published)
            for label, weight, published in (
                (0.06, 1.0, (30.11, 14.10)), (0.3, 5.0, (30.37, 15.67)), (0.6, 10.0, (28.90, 13.51)),
            )
        },
    ),
    # Its PSNR cannot be that of images in [0, 1], which psnr01 is: docs/models/patch-vae.md.
    "patchvae/table7": (
        ("imagenet_psnr", "imagenet_fid", "imagenet_ssim", "imagenet_psnr01"),
        {
            "beta-vae": (_trunk("trunk-vae", reconstructions=True), (4.857, 108.741, 0.289, None)),
            "patchvae": (_trunk("patch-vae", reconstructions=True), (4.342, 113.692, 0.235, None)),
        },
    ),
    # Xu, Keshmiri, Wang: Adversarially Approximated Autoencoder (2019), Table II: the weight lambda_1.
    "aaae/table2": (
        ("celeba_fid", "celeba_mse"),
        {
            f"lambda1={weight}": (Row("aaae", "wgan-gp", _AAAE | {"critic_weight": weight}), published)
            for weight, published in (
                (0.0001, (88.564, 0.018)), (0.001, (4.868, 0.023)), (0.01, (18.541, 0.033)), (0.1, (22.245, 0.039)),
            )
        },
    ),
}  # fmt: skip


class Measure(NamedTuple):
    """What a column holds."""

    data: str
    """A name in `DATA`."""
    metric: str
    """The metric to ask for; its record's name begins with this word."""
    features: str | None = None
    """Of probes: the layer that they read; of recognition: what is frozen."""
    scale: float = 1.0
    """What the record's value is multiplied with."""


def measure_of(column: str) -> Measure:
    """``mnist_icp``, ``svm_dw_long``, ``ppl_full``, ``cifar100_conv1-3``, or ``cifar100`` (with the trunk frozen).

    CIFAR-10's score is with Inception-v3, as the papers'. ``psnr`` follows PatchVAE's convention, ``psnr01`` is that of
    images in [0, 1].
    """
    if column in DATA:
        return Measure(column, "top1", "conv1-5", 100.0)
    if column.startswith(("1nn_", "svm_")):
        metric, data, features = column.split("_")
        return Measure(data, metric, features, 100.0)  # in per cent
    if column.startswith("ppl_"):
        return Measure("ffhq", column)
    data, metric = column.rsplit("_", 1)
    if metric in FROZEN or metric in ("top1", "top5"):
        return Measure(data, "top5" if metric == "top5" else "top1", metric if metric in FROZEN else "conv1-5", 100.0)
    convention = {"psnr": "normalised_psnr", "psnr01": "psnr"}.get(metric, metric)
    return Measure(data, "is" if column == "cifar10_icp" else convention)
