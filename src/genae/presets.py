"""One block per published experiment. A preset fixes everything that its paper fixes; flags override fields."""

from typing import Any

_SWAE: dict[str, Any] = {
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

PRESETS: dict[str, dict[str, Any]] = {
    # Not in the paper: a laptop's first run. Eight-pixel digits need neither the paper's width nor its code.
    "stacked-wae/digits": _SWAE
    | {
        "data": "digits",
        "images": 200_000,
        "width": 32,
        "code_dim": 32,
        "prior_dim": 16,
        "prior_width": 128,
        "learning_rate": 1e-3,
        "validate_every": 20_000,
        "checkpoint_every": 20_000,
        "patience": 0,
    },
    # SWAE Table 1, MNIST: ICP 8.87 (normal), 8.91 (uniform), MSE 0.01. 200 epochs at most (AAAE, Table III).
    "stacked-wae/mnist": _SWAE | {"data": "mnist", "size": "32", "fit": "pad", "images": 200 * 55_000},
    # Not in the paper: the same algorithm for two processor cores. What each change gives: docs/models/stacked-wae.md.
    "stacked-wae/mnist-small": _SWAE
    | {
        "data": "mnist",
        "size": "32",
        "fit": "pad",
        "images": 400_000,
        "width": 16,
        "learning_rate": 7e-4,
        "anneal": 400_000,
        "inner_steps": 4,
        "prior_dim": 8,
        "prior_weight": 3.0,
        "prior_initial": "kaiming",
        "validate_every": 20_000,
        "checkpoint_every": 20_000,
        "patience": 0,
    },
    # SWAE Table 1, CIFAR-10: ICP 5.73 and 5.81, MSE 0.081 and 0.078.
    "stacked-wae/cifar10": _SWAE | {"data": "cifar10", "images": 200 * 45_000},
    # SWAE Table 1, CelebA: FID 18.38 and 17.14, MSE 0.072 and 0.066 after 25 epochs; Section 4.4: 50 epochs.
    "stacked-wae/celeba64": _SWAE | {"data": "celeba", "size": "64", "fit": "crop", "images": 25 * 162_770},
}
