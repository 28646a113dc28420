"""One block per published experiment. A preset fixes everything that its paper fixes; flags override fields."""

from typing import Any

Preset = dict[str, Any]
"""Values of settings by name."""


def by_processes(one: str, two: str, eight: str) -> dict[int, str]:
    """A setting that depends on the number of processes; four take that of eight."""
    return {1: one, 2: two, 4: eight, 8: eight}


_SWAE: Preset = {
    # SWAE Section 4, "Experiment setup": Adam 1e-4, lambda 0.001, k = 2, batch 64, early stopping on the validation
    # reconstruction error. Betas and layers: AAAE appendix B, Table III (h0 in R^128, z in R^64).
    "batch_size": 64,
    "learning_rate": 1e-4,
    "critic_weight": 0.001,
    "inner_steps": 2,
    "code_dim": 128,
    "prior_dim": 64,
    "prior_width": 512,
    "width": 64,
    "priors": "normal,uniform",
    "patience": 10,
}

_CELEBA: Preset = _SWAE | {"size": "64", "fit": "crop", "images": 25 * 162_770}

# Priors that learn in minutes: few latent dimensions, which a Gaussian can fill, initial weights that let signals
# through, and a stronger pull towards p_Z.
_SMALL: Preset = {"prior_dim": 8, "prior_weight": 3.0, "prior_initial": "kaiming", "patience": 0}

# A training of MNIST in half an hour on one processor core.
_ONE_CORE: Preset = {
    "images": 400_000,
    "anneal": 400_000,
    "width": 16,
    "learning_rate": 7e-4,
    "validate_every": 20_000,
    "checkpoint_every": 20_000,
}

# AAAE Section IV and appendix B, Table III: Adam 1e-4, lambda_1 = 0.001, lambda_2 = 10, k = 2, batch 100, 200 epochs at
# most with early stopping; c in R^128, z in R^64.
_AAAE: Preset = {
    "batch_size": 100,
    "learning_rate": 1e-4,
    "critic_weight": 0.001,
    "penalty": 10.0,
    "inner_steps": 2,
    "code_dim": 128,
    "prior_dim": 64,
    "prior_width": 512,
    "width": 64,
    "patience": 10,
}

_AAAE64: Preset = _AAAE | {"size": "64", "fit": "crop", "images": 200 * 162_770}

# Not in a paper: codes of 4 x 8 x 8 numbers for photographs, in half an hour to an hour on one processor core.
_SHAPED64: Preset = {
    "size": "64",
    "fit": "crop",
    "channels": 3,
    "flip": True,
    "images": 200_000,
    "anneal": 200_000,
    "networks": "residual",
    "norm": "none",  # a lower error in the same time than group: docs/second-stage.md
    "code_grid": 8,
    "code_channels": 4,
    "width": 32,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "validate_every": 20_000,
    "checkpoint_every": 20_000,
}

_ALAE: Preset = {
    "batch_size": 128,
    "learning_rate": 0.002,
    "slope_weight": 3.0,
    "code_dim": 50,
    "width": 1024,
    "mapping_layers": 6,
    "patience": 0,
}

# StyleALAE: the authors' configurations (docs/models/style-alae.md): R1 with gamma = 10, mixing 0.9, averages with a
# half-life of 10,000 images. Batch sizes of the levels from 4 x 4 up depend on the number of processes.
_STYLEGAN: Preset = {"mapping_rate": 0.01}
_STYLE: Preset = {"flip": True, "fit": "crop", "average": 10_000, "mapping_layers": 8, "patience": 0}
_CELEBA128: Preset = _STYLE | {
    "size": "128", "fit": "celeba", "images": 80 * 182_637, "growth": 3 * 182_637, "code_dim": 256, "width": 64,
    "most_channels": 256, "learning_rate": "0.0015",
    "batch_size": by_processes("128,128,128,64,32,16", "128,128,128,64,32,32", "512,256,128,64,32,32"),
}  # fmt: skip
_CELEBA256: Preset = _STYLE | {
    "size": "256", "images": 280 * 29_000, "growth": 15 * 29_000, "code_dim": 512, "width": 64, "most_channels": 512,
    "learning_rate": "0.0015",
    "batch_size": by_processes("128,128,128,64,32,16,16", "128,128,128,64,32,32,16", "512,256,128,64,32,32,32"),
}  # fmt: skip
_BEDROOM: Preset = _STYLE | {
    "size": "256", "images": 112 * 758_260, "growth": 758_260, "code_dim": 512, "width": 32, "most_channels": 512,
    "learning_rate": "0.0015,0.0015,0.0015,0.0015,0.0015,0.0015,0.002",
    "batch_size": by_processes("512,256,128,64,32,16,16", "512,256,128,64,32,32,16", "512,256,128,64,32,32,32"),
}  # fmt: skip
_FFHQ: Preset = _STYLE | {
    "size": "1024", "images": 147 * 60_000, "growth": 8 * 60_000, "code_dim": 512, "width": 16, "most_channels": 512,
    "learning_rate": "0.0015,0.0015,0.0015,0.0015,0.0015,0.0015,0.002,0.003,0.003",
    "batch_size": by_processes(
        "512,256,128,64,32,16,16,16,16", "512,256,128,64,32,32,16,16,16", "512,256,128,64,32,32,32,32,32"
    ) | {4: "512,256,128,64,32,32,32,32,16"},
}  # fmt: skip
# Not in the paper: 32 x 32 pixels and narrow, for one processor core and an hour. gamma = 10 is for images of a
# thousand times as many pixels: here it keeps D from seeing more than colours (docs/models/style-alae.md).
_TINY: Preset = _STYLE | {
    "data": "cifar10", "images": 300_000, "growth": 10_000, "code_dim": 128, "width": 16, "most_channels": 128,
    "batch_size": 16, "slope_weight": 0.1, "validate_every": 20_000, "checkpoint_every": 20_000,
}  # fmt: skip

# Glow, appendix: Adam 1e-3; L, K, batches and couplings of each data set. The learning rate rises over 10 epochs of the
# authors' 50,000 images at 32 x 32, and of fewer that are larger. Neither says when a training ends.
_GLOW: Preset = {"learning_rate": 1e-3, "width": 512, "patience": 0}
_GLOW32: Preset = _GLOW | {"levels": 3, "batch_size": 512, "warm_up": 500_000}
_GLOW64: Preset = _GLOW | {"size": "64", "fit": "crop", "depth": 48, "batch_size": 128, "warm_up": 125_000}
# PGGAN, PIONEER and Balanced PIONEER: the authors' schedules and widths (docs/models/progressive.md).
_GROWN: Preset = {
    "flip": True, "fit": "crop", "average": 10_000, "code_dim": 512, "width": 64, "most_channels": 512, "patience": 0,
}  # fmt: skip
_PGGAN: Preset = _GROWN | {"growth": 800_000}
_PIONEER: Preset = _GROWN | {"growth": 1_200_000}
_BALANCED: Preset = _PIONEER | {
    "size": "256", "images": 30_000_000,
    "batch_size": by_processes("128,128,128,64,32,32,32", "256,256,256,128,64,32,32", "512,512,512,256,256,128,64"),
}  # fmt: skip
# Not in the papers: a laptop's first run, in about a minute.
_GROWN_DIGITS: Preset = {
    "data": "digits", "images": 40_000, "growth": 3_000, "code_dim": 16, "width": 24, "most_channels": 64,
    "batch_size": "32", "learning_rate": "0.002", "average": 2_000, "patience": 0, "validate_every": 10_000,
    "checkpoint_every": 10_000,
}  # fmt: skip

# PatchVAE Section 4, and the authors' code where it is silent: Adam 1e-4, batch 128; N = 16 parts of d_p = 6 numbers;
# betas 1 and 10. Epochs are of 50,000 images.
_PARTS: Preset = {"batch_size": 128, "learning_rate": 1e-4, "patience": 0}
PARTS_DATA: dict[str, Preset] = {
    "cifar10": {"data": "cifar10", "images": 90 * 50_000},
    "cifar100": {"data": "cifar100", "images": 90 * 50_000},
    # Give folders with --data: docs/models/patch-vae.md.
    "indoor67": {"size": "64", "fit": "crop", "flip": True, "images": 90 * 50_000},
    "places205": {"size": "64", "fit": "crop", "flip": True, "images": 2 * 2_448_873},
    "imagenet": {
        "size": "224", "fit": "crop", "flip": True, "images": 30 * 1_281_167, "scale": 32, "batch_size": 256,
        "learning_rate": 2e-4,
    },
}  # fmt: skip
"""Each data set of PatchVAE's tables, and how it is trained on."""
_BOTTLENECK: dict[str, Preset] = {
    "patch-vae": {"imagenet": {"parts": 64, "part_dim": 16}},
    "trunk-vae": {"imagenet": {"code_dim": 1024}},
}
EDGES: Preset = {"edges": True}
"""+ L_w of PatchVAE's tables."""
CRITIC: Preset = {"critic_weight": 300.0}
"""-GAN. The authors' 1 changes nothing beside a sum of squares: docs/models/patch-vae.md."""
VARIANTS: dict[str, Preset] = {"": {}, "-lw": EDGES, "-gan": CRITIC, "-gan-lw": EDGES | CRITIC}
ABLATIONS: dict[str, tuple[float, ...]] = {
    "parts": (4, 8, 16, 32, 64), "part_dim": (3, 6, 9), "occurrence_rate": (0.01, 0.05, 0.1),
    "beta_occurrence": (1.0, 5.0, 10.0),
}  # fmt: skip
"""PatchVAE Tables 3 to 6: option -> its values."""


def _parts_presets() -> dict[str, Preset]:
    """``patch-vae/indoor67-gan-lw``, ``trunk-vae/cifar10``, ``patch-vae/cifar100-parts-32``, ..."""
    made = {
        f"{model}/{data}{suffix}": _PARTS | settings | sizes.get(data, {}) | variant
        for model, sizes in _BOTTLENECK.items()
        for data, settings in PARTS_DATA.items()
        for suffix, variant in VARIANTS.items()
    }
    for option, values in ABLATIONS.items():
        for data in ("cifar10", "cifar100", "indoor67"):
            for value in values:
                made[f"patch-vae/{data}-{option.replace('_', '-')}-{value:g}"] = (
                    _PARTS | PARTS_DATA[data] | {option: value}
                )
    return made


# Baselines on pictures of 8 x 8 pixels, in about a minute on one core.
_DIGITS: Preset = {
    "data": "digits",
    "images": 200_000,
    "anneal": 200_000,
    "networks": "dense",
    "norm": "none",
    "width": 256,
    "code_dim": 16,
    "learning_rate": 1e-3,
    "validate_every": 20_000,
    "checkpoint_every": 20_000,
}

# AGE Section 4 and the authors' commands, on genae's scales (docs/models/baselines.md): mu = 10, lambda = 1000.
_AGE: Preset = {"batch_size": 64, "learning_rate": 2e-4, "image_weight": 5.0, "patience": 0}
# IntroVAE Section 5.1, and the authors' settings for 256 pixels: m = 120, alpha = 0.25, 0.05 of the squared error.
_INTRO256: Preset = {
    "size": "256", "flip": True, "images": 500 * 29_000, "batch_size": 16, "learning_rate": 2e-4, "code_dim": 512,
    "width": 32, "beta": 80.0, "margin": 120.0, "adversarial_weight": 0.25, "patience": 0,
}  # fmt: skip
# Soft-IntroVAE Section 5, and the authors' recommended settings.
_SOFT: Preset = {"learning_rate": 2e-4, "beta": 1.0, "beta_rec": 1.0, "beta_neg": 256.0, "patience": 0}
# Not in the papers: those whose encoder judges, in about a minute.
_JUDGED_DIGITS: Preset = {
    "data": "digits", "width": 16, "code_dim": 16, "learning_rate": 1e-3, "patience": 0, "validate_every": 5_000,
    "checkpoint_every": 5_000,
}  # fmt: skip

PRESETS: dict[str, Preset] = {
    "age/digits": _JUDGED_DIGITS
    | {"images": 20_000, "anneal": 20_000, "image_weight": 2.0, "code_weight": 1.0, "generator_steps": 4},
    "age/cifar10": _AGE | {"data": "cifar10", "images": 150 * 50_000, "code_dim": 128, "code_weight": 3.9},
    # Give the folder of aligned pictures with --data.
    "age/celeba64": _AGE
    | {"size": "64", "fit": "crop", "images": 5 * 162_770, "code_dim": 64, "code_weight": 7.8, "generator_steps": 3},
    "intro-vae/digits": _JUDGED_DIGITS | {"images": 60_000, "anneal": 60_000, "beta": 0.3, "margin": 25.0},
    # Give the folder of CelebA-HQ with --data.
    "intro-vae/celeba-hq256": _INTRO256,
    "soft-intro-vae/digits": _JUDGED_DIGITS | {"images": 40_000, "anneal": 40_000, "beta": 0.03, "beta_neg": 16.0},
    "soft-intro-vae/mnist": _SOFT | {"data": "mnist", "images": 200 * 60_000, "batch_size": 128, "code_dim": 32},
    "soft-intro-vae/cifar10": _SOFT | {"data": "cifar10", "images": 250 * 50_000, "batch_size": 32, "code_dim": 128},
    # Not in the paper: a laptop's first run, in about a minute.
    "stacked-wae/digits": _SWAE
    | _SMALL
    | {
        "data": "digits",
        "images": 80_000,
        "anneal": 80_000,
        "width": 32,
        "code_dim": 32,
        "prior_width": 256,
        "learning_rate": 1e-3,
        "inner_steps": 2,
        "validate_every": 5_000,
        "checkpoint_every": 5_000,
    },
    # SWAE Table 1, MNIST: ICP 8.87 (normal), 8.91 (uniform), MSE 0.01. 200 epochs at most (AAAE, Table III).
    "stacked-wae/mnist": _SWAE | {"data": "mnist", "size": "32", "fit": "pad", "images": 200 * 55_000},
    # Not in the paper: the same algorithm for two processor cores. What each change gives: docs/models/stacked-wae.md.
    "stacked-wae/mnist-small": _SWAE
    | _SMALL
    | _ONE_CORE
    | {"data": "mnist", "size": "32", "fit": "pad", "inner_steps": 4},
    # Not in the paper: its stage I for two processor cores, and in `FITTED` a stage II that loses nothing.
    "stacked-wae/mnist-plus": _SWAE
    | _SMALL
    | _ONE_CORE
    | {"data": "mnist", "size": "32", "fit": "pad", "code_dim": 32, "priors": "normal", "inner_steps": 1},
    # SWAE Table 1, CIFAR-10: ICP 5.73 and 5.81, MSE 0.081 and 0.078.
    "stacked-wae/cifar10": _SWAE | {"data": "cifar10", "images": 200 * 45_000},
    # SWAE Table 1, CelebA: FID 18.38 and 17.14, MSE 0.072 and 0.066 after 25 epochs; Section 4.4: 50 epochs. Give the
    # folder of aligned pictures (178 x 218) with --data: they are cropped to 178 x 178 and resized.
    "stacked-wae/celeba64": _CELEBA,
    # SWAE Table 1, "w/o D1": FID 68.15, MSE 0.046.
    "stacked-wae/celeba64-without-critic": _CELEBA | {"critic_weight": 0.0},
    # ALAE Section 6 and 7.1: Adam 0.002, betas (0, 0.99), batch 128; 784 inputs, 1,024 hidden units, codes in R^50. The
    # paper gives no number of epochs; the authors' code has 400. gamma: measured (results/alae-readings.md).
    "alae/mnist": _ALAE | {"data": "mnist", "images": 400 * 60_000},
    # Not in the paper: a laptop's first run, in about a minute. 64 pixels bear a smaller gamma than 784.
    "alae/digits": _ALAE
    | {
        "data": "digits",
        "images": 300_000,
        "slope_weight": 1.0,
        "width": 512,
        "code_dim": 32,
        "validate_every": 20_000,
        "checkpoint_every": 20_000,
    },
    # ALAE Tables 3 to 5 (FFHQ: FID 13.09, of reconstructions 16.52; bedrooms 17.13 and 15.92) and Figures 5 to 9.
    # Give folders with --data.
    "style-alae/tiny": _TINY,
    "style-alae/celeba128": _CELEBA128,
    "style-alae/celeba-hq256": _CELEBA256,
    "style-alae/bedroom256": _BEDROOM,
    "style-alae/ffhq1024": _FFHQ,
    # ALAE Table 4's other rows: the same generator and schedule against StyleGAN's critic, whose mapping is slower.
    "stylegan/tiny": _TINY | _STYLEGAN,
    "stylegan/celeba128": _CELEBA128 | _STYLEGAN,
    "stylegan/celeba-hq256": _CELEBA256 | _STYLEGAN,
    "stylegan/bedroom256": _BEDROOM | _STYLEGAN,
    "stylegan/ffhq1024": _FFHQ | _STYLEGAN,
    # PGGAN Section 6: CelebA-HQ at 1,024 pixels, LSUN bedrooms. Give folders with --data.
    "pggan/digits": _GROWN_DIGITS,
    "pggan/celeba-hq1024": _PGGAN
    | {
        "size": "1024",
        "images": 15_400_000,
        "width": 16,
        "learning_rate": "0.001,0.001,0.001,0.001,0.001,0.001,0.001,0.001,0.0015",
        "batch_size": by_processes(
            "128,128,128,64,32,16,8,4,4", "256,256,128,64,32,16,8,8,8", "512,256,128,64,32,32,32,32,32"
        ),
    },
    "pggan/bedroom256": _PGGAN
    | {
        "size": "256",
        "images": 12_000_000,
        "batch_size": by_processes("128,128,128,64,32,16,8", "256,256,128,64,32,16,16", "512,256,128,64,32,32,32"),
    },
    # PIONEER Section 4: CelebA at 128 pixels, CelebA-HQ at 256.
    "pioneer/digits": _GROWN_DIGITS,
    "pioneer/celeba128": _PIONEER
    | {
        "size": "128",
        "images": 35_000_000,
        "width": 128,
        "batch_size": by_processes("128,128,128,64,32,16", "256,256,256,128,64,32", "512,512,512,256,256,128"),
    },
    "pioneer/celeba-hq256": _PIONEER
    | {
        "size": "256",
        "images": 43_200_000,
        "batch_size": by_processes("128,128,128,64,32,16,8", "256,256,256,128,64,32,16", "512,512,512,256,256,128,64"),
    },
    # Balanced PIONEER Section 4. Margins are ten times those of the authors' code, whose weights are a tenth.
    "balanced-pioneer/digits": _GROWN_DIGITS,
    "balanced-pioneer/celeba-hq256": _BALANCED
    | {"learning_rate": "0.0005,0.0005,0.0005,0.0005,0.001", "margin": "0.5,0.5,0.5,0.5,0.2,0.2,0.4"},
    "balanced-pioneer/bedroom256": _BALANCED | {"learning_rate": "0.001", "margin": "0,0,0,0,0.6,0.6,0.4"},
    # Not in the paper: a laptop's first run, in about a minute.
    "aaae/digits": _AAAE
    | {
        "data": "digits",
        "images": 80_000,
        "anneal": 80_000,
        "width": 32,
        "code_dim": 16,
        "prior_dim": 16,
        "prior_width": 256,
        "prior_initial": "kaiming",
        "learning_rate": 1e-3,
        "inner_steps": 4,
        "penalty": 1.0,
        "patience": 0,
        "validate_every": 5_000,
        "checkpoint_every": 5_000,
    },
    # Tomczak and Welling 2018, Section 5: 40 latent variables, 500 pseudo-inputs, two hidden layers of 300, batch 100,
    # Adam 5e-4; at most 2,000 epochs.
    "vamp-vae/mnist": {
        "data": "mnist",
        "images": 2_000 * 50_000,
        "networks": "dense",
        "width": 300,
        "code_dim": 40,
        "components": 500,
        "batch_size": 100,
        "learning_rate": 5e-4,
        "patience": 50,
    },
    # Not in a paper: a laptop's first runs.
    "vamp-vae/digits": _DIGITS | {"components": 50},
    "veegan/digits": _DIGITS
    | {"images": 400_000, "anneal": 400_000, "width": 512, "code_dim": 4, "learning_rate": 2e-3},
    "glow/digits": _GLOW
    | {
        "data": "digits",
        "images": 40_000,
        "anneal": 40_000,
        "levels": 2,
        "depth": 6,
        "width": 64,
        "bits": 5,  # of digits with 17 values
        "batch_size": 64,
        "warm_up": 4_000,
        "validate_every": 5_000,
        "checkpoint_every": 5_000,
    },
    # Glow Table 2: 3.35 bits per dimension on CIFAR-10, 4.09 and 3.81 on ImageNet, 2.38 on bedrooms.
    "glow/cifar10": _GLOW32 | {"data": "cifar10", "depth": 32, "images": 1_000 * 45_000},
    "glow/imagenet32": _GLOW32 | {"size": "32", "fit": "crop", "depth": 48, "images": 40 * 1_281_149},
    "glow/imagenet64": _GLOW64 | {"levels": 4, "images": 40 * 1_281_149},
    "glow/bedroom64": _GLOW64 | {"levels": 3, "images": 15 * 3_033_042},
    # Glow Figure 1; ALAE Table 5: FID 68.93. Values of 5 bits.
    "glow/celeba-hq256": _GLOW
    | {
        "size": "256",
        "fit": "crop",
        "levels": 6,
        "depth": 32,
        "coupling": "additive",
        "bits": 5,
        "batch_size": 40,
        "warm_up": 7_800,
        "images": 500 * 27_000,
    },
    # AAAE Table I, MNIST: ICP 9.873, MSE 0.011.
    "aaae/mnist": _AAAE | {"data": "mnist", "size": "32", "fit": "pad", "images": 200 * 55_000},
    # Not in the paper: the same algorithm for two processor cores, and in `FITTED` a prior that samples better.
    "aaae/mnist-plus": _AAAE
    | _ONE_CORE
    | {
        "data": "mnist",
        "size": "32",
        "fit": "pad",
        "batch_size": 64,
        "code_dim": 32,
        "prior_dim": 8,
        "prior_initial": "kaiming",
        "patience": 0,
    },
    # AAAE Table I, CIFAR-10: ICP 6.431, MSE 0.053.
    "aaae/cifar10": _AAAE | {"data": "cifar10", "images": 200 * 45_000},
    # AAAE Table I, CelebA: FID 4.868, MSE 0.023. Give the folder of aligned pictures with --data.
    "aaae/celeba64": _AAAE64,
    # AAAE Table II: lambda_1 = 0.0001, 0.01, 0.1 (0.001 is the preset above).
    "aaae/celeba64-lambda1-0.0001": _AAAE64 | {"critic_weight": 0.0001},
    "aaae/celeba64-lambda1-0.01": _AAAE64 | {"critic_weight": 0.01},
    "aaae/celeba64-lambda1-0.1": _AAAE64 | {"critic_weight": 0.1},
    # AAAE Table I, Oxford-102: FID 103.46. Resized to 64 x 64 without a crop. 200 epochs of "about 9k" pictures, which
    # the paper does not split: docs/models/aaae.md says which of them are for training.
    "aaae/flowers102": _AAAE | {"size": "64", "fit": "stretch", "images": 200 * 8_189},
    # Not in the paper: data whose parts are known, a quarter of an hour on one core.
    "patch-vae/shapes": _PARTS
    | {
        "data": "shapes",
        "images": 40_000,
        "anneal": 40_000,
        "learning_rate": 1e-3,
        "width": 32,
        "parts": 8,
        "beta_occurrence": 3.0,
        "cooling": 7.4e-3,  # from 1 to 0.1 in 40,000 images
        "validate_every": 10_000,
    },
    # Shaped codes (docs/second-stage.md): the lowest error, and sharper pictures. Give a folder or a .zip with --data.
    "ae/photos64-shaped": _SHAPED64,
    "adversarial/photos64-shaped": _SHAPED64 | {"balanced_critic": True, "critic_weight": 0.2},
    # PatchVAE Tables 1 to 7: patch-vae and its baseline trunk-vae on each data set, alone, with L_w (-lw), a critic
    # (-gan) or both; and the ablations on the smaller sets.
    **_parts_presets(),
}

FITTED: dict[str, Preset] = {
    # What beat the paper's own prior on its codes: benchmarks/prior_levers.py, docs/models/aaae.md.
    "aaae/mnist-plus": {"name": "plus", "kind": "mixture", "components": 200, "temperature": 0.7},
    # Exact in both directions, so that reconstructions through stage II lose nothing: row swae-plus of swae/table1.
    "stacked-wae/mnist-plus": {
        "name": "plus-flow",
        "kind": "flow-matching",
        "components": 200,
        "width": 256,
        "batch_size": 256,
        "learning_rate": 2e-3,
        "images": 5_000_000,
    },
}
"""Preset -> the prior that is fitted to the codes when training has finished (arguments of `api.fit_prior`)."""
