"""What each setting of a prior gives, one at a time, on the frozen codes of a trained run.

    python benchmarks/prior_levers.py RUN [--data-root FOLDER] [--rows wae-gan mixture] [--pieces 20] [--scale 1.0]
                                      [--precision auto] [--keep FOLDER]

Fits a prior per row to the same codes and decodes its samples with the run's decoder. Prints the inception score, the
Fréchet distance to test images and the recall of them (all with genae's classifier of the data), the share of samples
that are recognised as the class that was asked for, and the seconds. The first rows decode real codes: what a perfect
prior would score. ``--scale`` multiplies the codes seen in training. ``--keep`` holds what is being trained, so that
the same command goes on with it.
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
from genae.metrics.frechet import moments
from genae.metrics.prdc import coverage
from genae.model import load
from genae.protocol import ConditionalPrior
from genae.training.prior_fit import LABEL, Fit, Labels, fit_to_codes

PIECE = 250
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
    "flow matching, width 512": {**FLOW, "width": 512, "learning_rate": 1e-3},
    "flow matching, 8 blocks": {**FLOW, "blocks": 8},
    "flow matching, batch 512": {**FLOW, "batch_size": 512},
    "flow matching, learning rate 1e-3": {**FLOW, "learning_rate": 1e-3},
    "flow matching, 20 million codes": {**FLOW, "images": 20_000_000},
    "flow matching, half-life 50,000": {**FLOW, "half_life": 50_000},
    "flow matching, half-life 1,000,000": {**FLOW, "half_life": 1_000_000},
    "flow matching from a mixture of 200": {**FLOW, "components": 200},
    "labels: mixtures of 20": {"kind": "mixture", "given": LABEL, "components": 20},
    "labels: flow": {"kind": "flow", "given": LABEL},
    "labels: flow matching": {**FLOW, "given": LABEL},
    "labels: flow matching from mixtures of 20": {**FLOW, "given": LABEL, "components": 20},
}  # fmt: skip


def main() -> None:
    """Fit, score, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data-root")
    parser.add_argument("--rows", nargs="*", default=[""], help="only rows whose name begins with one of these")
    parser.add_argument("--pieces", type=int, default=20, help=f"samples in pieces of {PIECE}")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--precision", default="float32", help="of priors that are trained")
    parser.add_argument("--keep", help="folder for what is being trained")
    arguments = parser.parse_args()
    model = load(arguments.run)
    data = model.open_data(data_root=arguments.data_root)
    classifier = classifier_of(data, model.device)
    codes = model.training_codes(data, Path(arguments.run))
    assert data.labels is not None
    labels = Labels(data.labels[data.split("train")].long(), data.classes)

    def seen(images: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of classes, and features."""
        parts = [classifier(part) for part in images.split(256)]
        probabilities = [part.probabilities for part in parts if part.probabilities is not None]
        return torch.cat(probabilities), torch.cat([part.features for part in parts])

    held_out = data.split("test")
    test = seen(to_uint8(data.images(held_out)))[1]

    def score(name: str, drawn: Tensor, asked: Tensor | None, seconds: float) -> None:
        probabilities, features = seen(to_uint8(model.decode(drawn)))
        score = inception_score(probabilities)[0]
        distance = moments(features).distance(moments(test))
        recall = coverage(test[: len(features)], features[: len(test)]).recall
        recognised = (
            "" if asked is None else f"{float((probabilities.argmax(1).cpu() == asked.cpu()).float().mean()):.2%}"
        )
        print(f"| {name} | {score:.2f} | {distance:.1f} | {recall:.3f} | {recognised} | {seconds:.0f} |", flush=True)

    print("| prior | score | Fréchet distance | recall | recognised | seconds |\n| --- | --- | --- | --- | --- | --- |")
    count = PIECE * arguments.pieces
    score("codes of training images", codes[:count], labels.numbers[:count], 0)
    score("codes of test images", model.encode_data(data, held_out[:count]), data.labels[held_out[:count]], 0)
    for name, row in ROWS.items():
        if not name.startswith(tuple(arguments.rows)):
            continue
        own = {key: row[key] for key in ("kind", "batch_size", "learning_rate", "given") if key in row}
        own["images"] = int(row.get("images", 3_000_000) * arguments.scale)
        options = {key: value for key, value in row.items() if key not in own}
        fit = Fit(**own, precision=arguments.precision, options=options)
        with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
            partial = Path(arguments.keep or folder) / f"{name}.partial"
            prior, seconds = fit_to_codes(codes, fit, partial, labels=labels if fit.given else None)
            parts, asked = [], []
            with torch.no_grad():
                for k in range(arguments.pieces):
                    generator = torch.Generator().manual_seed(k)
                    told = prior.drawn_classes(PIECE, generator) if isinstance(prior, ConditionalPrior) else None
                    asked += [told.labels] if told else []
                    parts.append(prior.sample(PIECE, generator, told) if told else prior.sample(PIECE, generator))
        score(name, torch.cat(parts), torch.cat(asked) if asked else None, seconds)


if __name__ == "__main__":
    main()
