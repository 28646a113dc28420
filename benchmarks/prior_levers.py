"""What each setting of a latent WAE-GAN gives, one at a time, on the frozen codes of a trained run.

    python benchmarks/prior_levers.py RUN [--data-root FOLDER] [--iterations 3000] [--samples 2000]

Trains a prior per row for the same number of iterations of batch 64 on the same codes and decodes its samples with the
run's decoder. Prints their inception score (genae's classifier of the data), the error of codes through the prior, and
the seconds. The first row has the paper's settings.
"""

import argparse
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from genae import api
from genae.data.sampler import shuffled
from genae.data.transforms import to_uint8
from genae.metrics.inception import inception_score
from genae.model import load
from genae.priors.wae_gan import WaeGanPrior
from genae.protocol import Part
from genae.training.loop import Loop

BATCH = 64
ROWS: dict[str, dict[str, float | int | str]] = {
    "paper: z in R^64, w 1, N(0, 0.01) weights, lr 1e-4": {"lr": 1e-4},
    "lr 1e-3": {"lr": 1e-3},
    "lr 1e-3, kaiming": {"lr": 1e-3, "initial": "kaiming"},
    "lr 1e-3, kaiming, w 3": {"lr": 1e-3, "initial": "kaiming", "weight": 3.0},
    "lr 1e-3, kaiming, z in R^8": {"lr": 1e-3, "initial": "kaiming", "latent_dim": 8},
    "lr 1e-3, kaiming, z in R^8, w 3": {"lr": 1e-3, "initial": "kaiming", "latent_dim": 8, "weight": 3.0},
    "the same, uniform": {
        "lr": 1e-3, "initial": "kaiming", "latent_dim": 8, "weight": 3.0, "distribution": "uniform",
    },
}  # fmt: skip


def main() -> None:
    """Train, score, print a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data-root")
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--samples", type=int, default=2000)
    arguments = parser.parse_args()
    model = load(arguments.run)
    data = model.open_data(data_root=arguments.data_root)
    classifier = api.classifier_for(data, model.device)
    codes = model.encode_data(data, data.split("train"))

    def batches(images: int, _: Part) -> Iterator[Tensor]:
        yield codes[shuffled(images, BATCH, len(codes), seed=0)]

    print("| setting | inception score | code MSE | seconds |\n| --- | --- | --- | --- |")
    for name, options in ROWS.items():
        torch.manual_seed(0)
        settings = dict(options)
        learning_rate = float(settings.pop("lr"))
        prior = WaeGanPrior(codes.shape[1], **settings)  # type: ignore[arg-type]
        loop = Loop(prior, batches)
        begun = time.perf_counter()
        for iteration in range(arguments.iterations):
            loop.iteration(iteration * BATCH, learning_rate)
        seconds = time.perf_counter() - begun
        with torch.no_grad():
            images = model.decode(prior.sample(arguments.samples, torch.Generator().manual_seed(0)))
            error = (prior.decode(prior.encode(codes[:5000])) - codes[:5000]).square().mean().item()
        probabilities = torch.cat(
            [p for part in to_uint8(images).split(256) if (p := classifier(part).probabilities) is not None]
        )
        print(f"| {name} | {inception_score(probabilities)[0]:.2f} | {error:.2f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
