"""What each setting of a prior gives, one at a time, on the frozen codes of a trained run.

    python benchmarks/prior_levers.py RUN [--data-root FOLDER] [--rows wae-gan mixture] [--pieces 20] [--scale 1.0]

Fits a prior per row to the same codes and decodes its samples with the run's decoder. Prints the inception score and
the Fréchet distance to test images (both with genae's classifier of the data) and the seconds. The first row decodes
real codes: what a perfect prior would score. ``--scale`` multiplies the codes seen in training.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genae.data.transforms import to_uint8
from genae.metrics.class_scores import inception_score
from genae.metrics.data_classifier import classifier_of
from genae.metrics.frechet import Moments, moments
from genae.model import load
from genae.training.prior_fit import Fit, fit_to_codes

WAE: dict[str, Any] = {"kind": "wae-gan", "batch_size": 128, "images": 1_000_000, "initial": "kaiming"}
WGAN: dict[str, Any] = {"kind": "wgan-gp", "batch_size": 64, "images": 800_000, "initial": "kaiming"}
FLOW: dict[str, Any] = {"kind": "flow-matching", "batch_size": 256, "learning_rate": 2e-3, "width": 256,
                        "images": 5_000_000}  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
    "gaussian": {"kind": "gaussian"},
    "mixture of 10": {"kind": "mixture"},
    "mixture of 50": {"kind": "mixture", "components": 50},
    "mixture of 50, temperature 0.7": {"kind": "mixture", "components": 50, "temperature": 0.7},
    "mixture of 200": {"kind": "mixture", "components": 200},
    "mixture of 200, temperature 0.7": {"kind": "mixture", "components": 200, "temperature": 0.7},
    "vae": {"kind": "vae"},
    "flow": {"kind": "flow"},
    "wae-gan, z in R^64, w 1, lr 1e-4 (SWAE)": {
        **WAE, "latent_dim": 64, "weight": 1.0, "learning_rate": 1e-4, "initial": "normal",
    },
    "wae-gan, z in R^64, w 3, lr 1e-3, kaiming": {**WAE, "latent_dim": 64, "weight": 3.0},
    "wae-gan, z in R^8, w 1": {**WAE, "latent_dim": 8, "weight": 1.0},
    "wae-gan, z in R^8, w 3": {**WAE, "latent_dim": 8, "weight": 3.0},
    "wae-gan, z in R^8, w 3, uniform": {**WAE, "latent_dim": 8, "weight": 3.0, "distribution": "uniform"},
    "wgan-gp, z in R^64, lr 1e-4 (AAAE)": {**WGAN, "latent_dim": 64, "learning_rate": 1e-4, "initial": "normal"},
    "wgan-gp (AAAE), penalty at generated codes": {
        **WGAN, "latent_dim": 64, "learning_rate": 1e-4, "initial": "normal", "penalty_at": "generated",
    },
    "wgan-gp, z in R^64, lr 1e-3, kaiming": {**WGAN, "latent_dim": 64},
    "wgan-gp, z in R^64, lr 1e-3, kaiming, penalty at generated codes": {
        **WGAN, "latent_dim": 64, "penalty_at": "generated",
    },
    "wgan-gp, z in R^8": {**WGAN, "latent_dim": 8},
    "wgan-gp, z in R^8, lambda_2 1": {**WGAN, "latent_dim": 8, "penalty": 1.0},
    "wgan-gp, z in R^8, 5 critic steps": {**WGAN, "latent_dim": 8, "critic_steps": 5},
    "flow matching": FLOW,
    "flow matching from a mixture of 50": {**FLOW, "components": 50},
    "flow matching from a mixture of 50, temperature 0.7": {**FLOW, "components": 50, "temperature": 0.7},
    "flow matching from a mixture of 200, temperature 0.7": {**FLOW, "components": 200, "temperature": 0.7},
}  # fmt: skip


def main() -> None:
    """Fit, score, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data-root")
    parser.add_argument("--rows", nargs="*", default=[""], help="only rows whose name begins with one of these")
    parser.add_argument("--pieces", type=int, default=20, help="samples in pieces of 250")
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    model = load(arguments.run)
    data = model.open_data(data_root=arguments.data_root)
    classifier = classifier_of(data, model.device)
    codes = model.training_codes(data, Path(arguments.run))

    def seen(images: Tensor) -> tuple[Tensor, Moments]:
        parts = [classifier(part) for part in images.split(256)]
        probabilities = [part.probabilities for part in parts if part.probabilities is not None]
        return torch.cat(probabilities), moments(torch.cat([part.features for part in parts]))

    test = seen(to_uint8(data.images(data.split("test"))))[1]

    def score(name: str, drawn: Tensor, seconds: float) -> None:
        probabilities, found = seen(to_uint8(model.decode(drawn)))
        score = inception_score(probabilities)[0]
        print(f"| {name} | {score:.2f} | {found.distance(test):.1f} | {seconds:.0f} |", flush=True)

    print("| prior | inception score | Fréchet distance | seconds |\n| --- | --- | --- | --- |")
    score("real codes", codes[: 250 * arguments.pieces], 0)
    for name, row in ROWS.items():
        if not name.startswith(tuple(arguments.rows)):
            continue
        own = {key: row[key] for key in ("kind", "batch_size", "learning_rate") if key in row}
        own["images"] = int(row.get("images", 3_000_000) * arguments.scale)
        options = {key: value for key, value in row.items() if key not in own}
        with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
            prior, seconds = fit_to_codes(codes, Fit(**own, options=options), Path(folder) / "partial")
            with torch.no_grad():
                drawn = torch.cat(
                    [prior.sample(250, torch.Generator().manual_seed(k)) for k in range(arguments.pieces)]
                )
        score(name, drawn, seconds)


if __name__ == "__main__":
    main()
