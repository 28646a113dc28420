"""What each reading of the dense ALAE gives on MNIST by different writers.

    python benchmarks/alae_readings.py RUNS --data-root FOLDER [--rows preset ...] [--images 1200000] [--seed 0]
        [--precision auto]

The paper's text, its authors' code and genae differ in which networks update III trains, in whether D has
non-linearities, in slopes and in gamma (docs/models/alae.md, "Deviations"). Each row changes some of these and nothing
else, and is trained in a folder of its own in RUNS; one that was interrupted goes on, one that is there is measured
again. Prints accuracies in per cent of 1-NN and of the linear SVM with the C of ALAE's Table 2, 0.02, and with 0.1,
each on the code (short) and on the last hidden layer (long), and the MSE of reconstructions of the test images.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from genae import api
from genae.autoencoders import AUTOENCODERS
from genae.autoencoders.alae import AdversarialLatentAutoencoder
from genae.data.sources import open_data
from genae.errors import GenaeError
from genae.metrics.encoder_features import features_of
from genae.metrics.probes import linear_svm, one_nn
from genae.networks.equalised import LEAK
from genae.protocol import Update
from genae.settings.catalogue import Entry
from genae.settings.presets import PRESETS


class AlaeReading(AdversarialLatentAutoencoder):
    """The dense ALAE with more options: the slope in G, a weight of Eq. 8."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        decoder_slope: float = LEAK,
        reciprocity_weight: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(image_shape, **options)
        self.decoder.leak = decoder_slope
        self.reciprocity_weight = reciprocity_weight

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        """As in the paper, with its third loss weighted."""
        for update in super().step(batches, images):
            weight = self.reciprocity_weight if "reciprocity" in update.terms else 1
            yield update._replace(loss=weight * update.loss)


OLD: dict[str, Any] = {"output_slope": 0.01, "slope_weight": 40.0}
ALL_THREE = {"reciprocity": "encoder,decoder,mapping"}
READINGS: dict[str, dict[str, Any]] = {
    "slope 0.01 after E, gamma 40": OLD,
    "slope 0.01 after E, gamma 10": {**OLD, "slope_weight": 10.0},
    "authors' code": {**OLD, **ALL_THREE, "affine_critic": True, "decoder_slope": 0.01},
    "slope 0.01 in E and G, gamma 40": {**OLD, "decoder_slope": 0.01},
    "linear after E, gamma 40": {**OLD, "output_slope": 1.0},
    "gamma 40": {"slope_weight": 40.0},
    "gamma 10": {"slope_weight": 10.0},
    "preset": {},
    "gamma 1": {"slope_weight": 1.0},
    "sum in Eq. 8": {**OLD, "reciprocity_weight": 50.0},
    "update III trains F too": ALL_THREE,
    "affine D": {"affine_critic": True},
}


def main() -> None:
    """Train, measure, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data-root")
    parser.add_argument("--rows", nargs="*", choices=READINGS, default=list(READINGS))
    parser.add_argument("--images", type=int, default=1_200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    AUTOENCODERS.entries["alae-reading"] = Entry(f"{__name__}:AlaeReading", "ALAE with one reading changed.")
    try:
        data = open_data("mnist-dw", data_root=arguments.data_root)
    except GenaeError as error:
        sys.exit(f"skipped: {error}")
    train, test = data.split("train"), data.split("test")
    print("| reading | 1-NN short, long | SVM short, long | with C = 0.1 | MSE |\n| --- | --- | --- | --- | --- |")
    for name in arguments.rows:
        run = arguments.runs / name.replace(" ", "-").replace("'", "").replace(",", "")
        settings = PRESETS["alae/mnist"] | READINGS[name] | {"data": "mnist-dw", "data_root": arguments.data_root}
        settings |= {key: getattr(arguments, key) for key in ("images", "seed", "precision")}
        model = api.train("alae-reading", run, **settings, checkpoint_every=300_000, validate_every=300_000)
        known, asked = (features_of(model.autoencoder, data, rows, ["short", "long"]) for rows in (train, test))
        found = [
            ", ".join(
                f"{100 * probe(a, data.labels[train], b, data.labels[test]):.2f}"
                for a, b in zip(known, asked, strict=True)
            )
            for probe in (one_nn, linear_svm, lambda *sides: linear_svm(*sides, c=0.1))
        ]
        apart = api.evaluate(run, data, metrics=["mse"])[0]["value"]
        print(f"| {name} | {' | '.join(found)} | {apart:.3f} |", flush=True)


if __name__ == "__main__":
    main()
