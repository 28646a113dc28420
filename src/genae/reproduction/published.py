"""The papers' tables: what each row is in genae, and the numbers that were published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from genae.reproduction.budgets import Settings
from genae.settings.presets import CRITIC, EDGES, FITTED, PRESETS


@dataclass(frozen=True)
class Row:
    """What a row of a table is, in genae: a model, its options, and where its samples come from."""

    model: str = ""
    """A name in `AUTOENCODERS`; empty for real data."""
    prior: str = "normal"
    options: Settings = field(default_factory=dict)
    through_prior: bool = False
    """Whether the table's reconstructions pass through the prior (SWAE's do)."""
    fitted: Settings | None = None
    """Settings of `api.fit_prior`, where the prior is fitted to the frozen codes of the trained run."""
    on_cpu: "Row | None" = None
    """What the budget ``cpu`` trains and fits instead."""
    images: Mapping[str, int] = field(default_factory=dict)
    """Data set -> length of the training with the budget ``gpu``, where it is not that of `DATA`."""
    longer: int = 1
    """How many times as long it is trained, with every budget."""
    milestones: int = 0
    """At how many points of the training samples are measured (`genae.reproduction.milestones`)."""
    own_settings: bool = False
    """Whether its settings hold on every data set, of whose own it takes only how images are prepared."""
    last: bool = False
    """Whether the last weights are measured, not those with the lowest validation error."""
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
    note: str = ""
    """In what the measured row is unlike the published one."""

    def within(self, budget: str) -> "Row":
        """What a budget trains and fits of this row."""
        return self.on_cpu if budget == "cpu" and self.on_cpu else self

    @property
    def network(self) -> str:
        """The model that is evaluated: of real data any model will do, for none of its weights is used."""
        return self.model or "ae"


RECONSTRUCTIONS, SAMPLES, INTERPOLATIONS, PATHS, CURVES = (
    "reconstructions", "samples", "interpolations", "paths", "curves"
)  # fmt: skip
"""Kinds of pictures beside a table."""


class Table(NamedTuple):
    """A paper's table, or a figure of a paper that compares models."""

    title: str
    """Where it is in the paper, and what it shows."""
    columns: tuple[str, ...]
    """Names that `measure_of` reads."""
    rows: Mapping[str, tuple[Row, tuple[float | None, ...]]]
    """What each row is in genae, and its published numbers, one for each column (None: the paper gives none)."""
    notes: tuple[str, ...] = ()
    """What should be known of the published numbers, or of all rows."""
    pictures: tuple[str, ...] = (RECONSTRUCTIONS, SAMPLES, INTERPOLATIONS, PATHS)
    """What is drawn of its rows, side by side."""


PLUS = {key: value for key, value in FITTED["aaae/mnist-plus"].items() if key != "name"}
"""The prior of ``aaae-plus``."""
_LOSSLESS: Settings = {key: value for key, value in FITTED["stacked-wae/mnist-plus"].items() if key != "name"}

_PAPER: Settings = {"learning_rate": 1e-4, "code_dim": 128, "width": 64, "patience": 10}
_SWAE: Settings = _PAPER | {"batch_size": 64, "priors": "normal,uniform", "prior_dim": 64}
_AAAE: Settings = _PAPER | {"batch_size": 100, "prior_dim": 64}


def _swae_on_cpu(distribution: str, model: str, options: Settings) -> Row:
    """Stage I is AAAE's, trained once for both papers; stage II learns from its frozen codes, with z in R^8."""
    stage_two = {"kind": "wae-gan", "distribution": distribution, "latent_dim": 8, "weight": 3.0, "initial": "kaiming",
                 "images": 2_000_000, "batch_size": 128}  # fmt: skip
    return Row(model, f"wae-gan-{distribution}", options, True, stage_two)


# ALAE Section 6 and 7.1: two hidden layers of 1,024, codes in R^50, learning rate 0.002, batch 128.
_DENSE: Settings = {"learning_rate": 0.002, "code_dim": 50, "width": 1024, "batch_size": 128}


def _dense(model: str, **options: str | float) -> Row:
    return Row(model, options=_DENSE | {"networks": "dense", "norm": "none"} | options, small=True)


# PatchVAE Section 4, and its code where it is silent: Adam 1e-4, batch 128; N = 16, d = 6; betas 1 and 10.
_TRUNK: Settings = {"learning_rate": 1e-4, "batch_size": 128}


def _trunk(model: str, reconstructions: bool = False, **options: str | float) -> Row:
    return Row(model, "parts" if model == "patch-vae" else "normal", _TRUNK | options, small=True,
               reconstructions=reconstructions)  # fmt: skip


def _part(of: str, title: str, columns: Sequence[str], rows: Sequence[str], *pictures: str) -> Table:
    """A figure of a paper: some cells of a table, with the pictures that it shows."""
    table = _TABLES[of]
    places = [table.columns.index(column) for column in columns]
    cells = {name: (table.rows[name][0], tuple(table.rows[name][1][place] for place in places)) for name in rows}
    return Table(title, tuple(columns), cells, table.notes, pictures)


def _ablation(title: str, option: str, published: Mapping[float, tuple[float, float]], label: str) -> Table:
    trunk = _trunk("patch-vae")
    rows = {
        f"{label}={value}": (replace(trunk, options=trunk.options | {option: value}), figures)
        for value, figures in published.items()
    }
    return Table(title, ("cifar100", "indoor67"), rows)


# The networks of the presets style-alae/ffhq1024 and stylegan/ffhq1024, or what another data set of `DATA` has instead;
# on the CPU those of style-alae/tiny. Batch sizes depend on the number of processes, as the authors' do.
_FFHQ: Settings = {key: value for key, value in PRESETS["style-alae/ffhq1024"].items() if key != "images"}
_TINY: Settings = PRESETS["style-alae/tiny"]
_SHORT = (
    "the published numbers are of a StyleGAN that was trained for 25 million images; this one is trained as long as "
    "StyleALAE (FFHQ: 8.8 million)"
)
_AUTHORS = (
    "With the budget gpu, 50,000 samples are compared with 50,000 training images, and reconstructions of these with "
    "themselves, as in the authors' code (the paper speaks of test images there). Theirs also mirrors these images at "
    "random, mixes styles in the samples, and cuts out the middle of faces for path lengths. The batch of each level "
    "depends on the number of processes, as theirs on that of GPUs."
)


def _styled(model: str, space: str = "w", reconstructions: bool = False, note: str = "", **options: str | float) -> Row:
    if model == "stylegan":
        options |= {"mapping_rate": 0.01}
        note = f"{note}; {_SHORT}" if note else _SHORT
    on_cpu = Row(model, "mapping", _TINY | options, small=True, space=space, reconstructions=reconstructions)
    return Row(model, "mapping", _FFHQ | options, space=space, reconstructions=reconstructions, on_cpu=on_cpu,
               note=note)  # fmt: skip


_GLOW: Settings = {key: value for key, value in PRESETS["glow/celeba-hq256"].items() if key != "images"}
_FLOW = Row("glow", options=_GLOW, images={"celebahq256": PRESETS["glow/celeba-hq256"]["images"]}, space="z",
            own_settings=True, note="samples are drawn at temperature 1")  # fmt: skip


def _grown(model: str, prior: str) -> Row:
    """Its schedule and widths are those of `DATA`, as StyleALAE's; paths are between directions of z."""
    row = Row(model, prior, space="z", note="trained as long, with as many channels, and at the rates of StyleALAE on "
              "the same data, not as the published one")  # fmt: skip
    return replace(row, on_cpu=replace(row, small=True))


def _quoted(system: str) -> Row:
    return Row(quoted=f"genae has no {system}: the published number alone")


_UNTIL_THE_END: Settings = {key: value for key, value in _PAPER.items() if key != "patience"}
"""For models that do not minimise the error, which nothing stops early."""


def _aaae(prior: str = "wgan-gp", fitted: Settings | None = None, **options: float) -> Row:
    """AAAE trains on CelebA as on other data, 200 epochs at most; SWAE, whose table has the other models, 25."""
    return Row("aaae", prior, _AAAE | options, fitted=fitted, images={"celeba": PRESETS["aaae/celeba64"]["images"]})


_ALI, _ALICE = Row("ali", options=_UNTIL_THE_END), Row("alice", options=_PAPER)
_WAE, _WGAN = Row("wae-mmd", options=_PAPER), Row("wgan-gp", options=_UNTIL_THE_END)

_TABLES: dict[str, Table] = {
    # Xu, Keshmiri, Wang: Stacked Wasserstein Autoencoder (2019), Table 1. It quotes ALI and ALICE on MNIST and CIFAR-10
    # from the ALICE paper.
    "swae/table1": Table(
        "SWAE Table 1: scores of samples and errors of reconstructions",
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
            # Not in the paper: another stage II on the codes of the two rows above.
            "swae-plus": (
                Row("stacked-wae", "plus-flow", _SWAE, True, _LOSSLESS, note="not in the paper: SWAE's stage I, and a "
                    "flow that encodes and decodes its codes as stage II",
                    on_cpu=Row("aaae", "plus-flow", _AAAE, True, _LOSSLESS)),
                (None,) * 6,
            ),
        },
    ),
    # Xu, Keshmiri, Wang: Adversarially Approximated Autoencoder (2019), Table I.
    "aaae/table1": Table(
        "AAAE Table I: scores of samples and errors of reconstructions",
        ("mnist_icp", "mnist_mse", "cifar10_icp", "cifar10_mse", "celeba_fid", "celeba_mse", "oxford102_fid"),
        {
            "wgan-gp": (_WGAN, (None, None, 6.61, None, None, None, None)),
            "ali": (_ALI, (8.839, 0.38, 5.974, 0.559, 6.946, 0.283, 80.817)),
            "alice": (_ALICE, (9.349, 0.073, 6.043, 0.216, None, None, None)),
            "wae": (_WAE, (None, None, None, None, 98.78, 0.019, 196.56)),
            "aaae": (_aaae(), (9.873, 0.011, 6.431, 0.053, 4.868, 0.023, 103.46)),
            # Not in the paper: other priors on the codes of the row above.
            "aaae + mixture": (_aaae("mixture", {"kind": "mixture"}), (None,) * 7),
            "aaae-plus": (_aaae("plus", PLUS), (None,) * 7),
        },
    ),
    # Pidhorskyi, Adjeroh, Doretto: Adversarial Latent Autoencoders (2020), Table 2: accuracies in per cent.
    "alae/table2": Table(
        "ALAE Table 2: accuracies on an encoder's features, in per cent",
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
    # ALAE, Table 3: FID.
    "alae/table3": Table(
        "ALAE Table 3: Fréchet inception distances",
        ("ffhq_fid", "lsun_bedroom_fid"),
        {
            "stylegan": (_styled("stylegan"), (4.40, 2.65)),
            "pggan": (_grown("pggan", "normal"), (None, 8.34)),
            "introvae": (_quoted("IntroVAE"), (None, 8.84)),
            "pioneer": (_grown("pioneer", "sphere"), (None, 18.39)),
            "balanced pioneer": (_grown("balanced-pioneer", "sphere"), (None, 17.89)),
            "stylealae generation": (_styled("style-alae"), (13.09, 17.13)),
            "stylealae reconstruction": (_styled("style-alae", reconstructions=True), (16.52, 15.92)),
        },
        (_AUTHORS,),
    ),
    # ALAE, Table 4: perceptual path length on FFHQ.
    "alae/table4": Table(
        "ALAE Table 4: perceptual path lengths on FFHQ",
        ("ppl_full", "ppl_end"),
        {
            "stylegan Z": (
                _styled("stylegan", "z", note="the paper's row is a traditional generator; this one is the z of the "
                        "style-based generator, before its mapping"),
                (412.0, 415.3),
            ),
            "stylegan no mixing W": (_styled("stylegan", mixing=0.0), (200.5, 160.6)),
            "stylegan W": (_styled("stylegan"), (231.5, 182.1)),
            "stylealae Z": (_styled("style-alae", "z"), (300.5, 292.0)),
            "stylealae W": (_styled("style-alae"), (134.5, 103.4)),
        },
        (_AUTHORS,),
    ),
    # ALAE, Table 5: CelebA-HQ at 256 x 256.
    "alae/table5": Table(
        "ALAE Table 5: CelebA-HQ at 256 x 256",
        ("celebahq256_fid", "celebahq256_ppl_full"),
        {
            "pggan": (_grown("pggan", "normal"), (8.03, 229.2)),
            "glow": (replace(_FLOW, on_cpu=replace(_FLOW, options=_GLOW | {"levels": 3, "depth": 8})), (68.93, 219.6)),
            "pioneer": (_grown("pioneer", "sphere"), (39.17, 155.2)),
            "balanced pioneer": (_grown("balanced-pioneer", "sphere"), (25.25, 146.2)),
            "stylealae": (_styled("style-alae"), (19.21, 33.29)),
        },
        ("The published numbers of this table are unverified: they are quoted from memory.", _AUTHORS),
    ),
    # Gupta, Singh, Shrivastava: PatchVAE (2020), Table 1: accuracies in per cent, by the layers that are frozen.
    # CIFAR-10 and the last two rows are not the paper's.
    "patchvae/table1": Table(
        "PatchVAE Table 1: recognition, in per cent, by the layers that are frozen",
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
    "patchvae/table2": Table(
        "PatchVAE Table 2: recognition on ImageNet, in per cent",
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
    "patchvae/table3": _ablation(
        "PatchVAE Table 3: the number of parts", "parts",
        {4: (27.59, 14.40), 8: (28.74, 12.69), 16: (28.94, 14.33),
                                           32: (27.78, 13.28), 64: (29.00, 12.76)}, "N",
    ),
    "patchvae/table4": _ablation(
        "PatchVAE Table 4: the numbers of a part's appearance", "part_dim",
        {3: (28.63, 14.25), 6: (28.97, 14.55), 9: (28.21, 14.55)}, "d_p",
    ),
    "patchvae/table5": _ablation(
        "PatchVAE Table 5: the prior of occurrence", "occurrence_rate",
        {0.01: (28.86, 14.33), 0.05: (28.67, 14.25),
                                                     0.1: (28.31, 14.03)}, "z_occ_prior",
    ),
    "patchvae/table6": Table(
        "PatchVAE Table 6: the weight of the occurrence's divergence",
        ("cifar100", "indoor67"),
        {
            f"beta_occ={label}": (_trunk("patch-vae", beta_occurrence=weight), published)
            for label, weight, published in (
                (0.06, 1.0, (30.11, 14.10)), (0.3, 5.0, (30.37, 15.67)), (0.6, 10.0, (28.90, 13.51)),
            )
        },
    ),
    # Its PSNR cannot be that of images in [0, 1], which psnr01 is: docs/models/patch-vae.md.
    "patchvae/table7": Table(
        "PatchVAE Table 7: reconstructions of ImageNet",
        ("imagenet_psnr", "imagenet_fid", "imagenet_ssim", "imagenet_psnr01"),
        {
            "beta-vae": (_trunk("trunk-vae", reconstructions=True), (4.857, 108.741, 0.289, None)),
            "patchvae": (_trunk("patch-vae", reconstructions=True), (4.342, 113.692, 0.235, None)),
        },
    ),
    # Xu, Keshmiri, Wang: Adversarially Approximated Autoencoder (2019), Table II: the weight lambda_1.
    "aaae/table2": Table(
        "AAAE Table II: the weight of the critic, lambda_1",
        ("celeba_fid", "celeba_mse"),
        {
            f"lambda1={weight}": (_aaae(critic_weight=weight), published)
            for weight, published in (
                (0.0001, (88.564, 0.018)), (0.001, (4.868, 0.023)), (0.01, (18.541, 0.033)), (0.1, (22.245, 0.039)),
            )
        },
    ),
}  # fmt: skip

_JOINT = Row("stacked-wae", "uniform", _SWAE, True)  # with the budget cpu too: the course of a joint training is shown
_LONGER = replace(_JOINT, options=_SWAE | {"patience": 0}, longer=2, last=True)

_FIGURES: dict[str, Table] = {
    "swae/figure4": Table(
        "SWAE Fig. 4 and Section 4.1: the course of training with k = 1, 2 and 4 steps of stage II for each of stage I",
        ("celeba_fid", "celeba_mse"),
        {
            f"k={k}": (replace(_JOINT, options=_SWAE | {"inner_steps": k}, milestones=25), published)
            for k, published in ((1, (None, None)), (2, (17.14, 0.066)), (4, (None, None)))
        },
        pictures=(CURVES, SAMPLES),
    ),
    "swae/figure5": _part(
        "swae/table1", "SWAE Fig. 5: reconstructions and samples on CelebA", ("celeba_fid", "celeba_mse"),
        ("ali", "wae", "swae (w/o D1)", "swae (normal)", "swae (uniform)"), RECONSTRUCTIONS, SAMPLES,
    ),
    "swae/figure10": Table(
        "SWAE Fig. 10 and Section 4.4: trained for 50 epochs in contrast to the best model after 25",
        ("celeba_fid", "celeba_mse"),
        {
            "25 epochs, best (normal)": (replace(_JOINT, prior="normal"), (18.38, 0.072)),
            "25 epochs, best (uniform)": (_JOINT, (17.14, 0.066)),
            "50 epochs, last (normal)": (replace(_LONGER, prior="normal"), (None, None)),
            "50 epochs, last (uniform)": (_LONGER, (14.6, 0.15)),
        },
        ("The paper does not say of which prior its numbers after 50 epochs are. With every budget the last two rows "
         "see twice as many images as the first two.",),
        (RECONSTRUCTIONS, SAMPLES, INTERPOLATIONS),
    ),
    "aaae/figure2": _part(
        "aaae/table1", "AAAE Fig. 2: samples on CelebA", ("celeba_fid",), ("aaae", "wae", "ali"), SAMPLES
    ),
    "aaae/figure10": _part(
        "aaae/table1", "AAAE Fig. 10: samples on Oxford-102", ("oxford102_fid",), ("aaae", "wae", "ali"), SAMPLES
    ),
}  # fmt: skip

TABLES = _TABLES | _FIGURES
"""Every table, and every figure that compares models."""
