"""The Fréchet distance in 2,048 dimensions against pytorch-fid's and torchmetrics' computation, on the same features.

    python benchmarks/frechet.py [--count 10000] [--memory]

Features are random with a spectrum like Inception's (standard deviations from 1 down to 0.001). Every side is timed in
turn in one process, statistics and distance apart; the best of the repeats is printed. Exactness: of rank-deficient
covariances whose distance is known (equal covariances, means 1 apart in every dimension: 2,048).
"""

import argparse
import resource
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance, _compute_fid

from genae.metrics.frechet import Moments, frechet_distance

DIMENSIONS = 2048


def features(count: int, seed: int) -> torch.Tensor:
    """Correlated rows [count, 2048] float32."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(DIMENSIONS, DIMENSIONS, generator=torch.Generator().manual_seed(9)) / DIMENSIONS**0.5
    return torch.randn(count, DIMENSIONS, generator=generator) @ (mix * torch.logspace(0, -3, DIMENSIONS)) + 0.1 * seed


def best(repeats: int, run: Callable[[], Any]) -> tuple[float, Any]:
    """Least seconds, and the result."""
    least = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        result = run()
        least = min(least, time.perf_counter() - begun)
    return least, result


def streamed(rows: torch.Tensor) -> Moments:
    """As an evaluation gives them: in batches."""
    moments = Moments()
    for part in rows.split(64):
        moments.add(part)
    return moments.finish()


def torchmetrics_statistics(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """torchmetrics' running sums, batch by batch, in float64."""

    class Identity(torch.nn.Module):
        num_features = DIMENSIONS

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    metric = FrechetInceptionDistance(feature=Identity(), input_img_size=(1, 1, 1))
    metric.set_dtype(torch.float64)
    for part in rows.split(64):
        metric.update(part.double(), real=True)
    n = metric.real_features_num_samples
    mean = metric.real_features_sum / n
    return mean, (metric.real_features_cov_sum - n * torch.outer(mean, mean)) / (n - 1)


def memory(count: int) -> None:
    """Peak memory of two streams and their distance, beyond what importing takes."""
    mix = torch.randn(DIMENSIONS, DIMENSIONS)
    mix @ mix  # the library's own buffers
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    both = []
    for _ in range(2):
        moments = Moments()
        for part in range(0, count, 64):
            moments.add(torch.randn(min(64, count - part), DIMENSIONS))
        both.append(moments.finish())
    both[0].distance(both[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of two streams of {count} features and their distance: {(peak - before) / 1024:.0f} MB")


def main() -> None:
    """Time, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="only the peak memory")
    arguments = parser.parse_args()
    if arguments.memory:
        memory(arguments.count)
        return
    warnings.simplefilter("ignore")
    a, b = features(arguments.count, 0), features(arguments.count, 1)

    seconds_a, ours = best(arguments.repeats, lambda: (streamed(a), streamed(b)))
    numpy_a, theirs = best(1, lambda: [(x.mean(0), np.cov(x, rowvar=False)) for x in (a.numpy(), b.numpy())])
    fidelity_a, fidelity = best(1, lambda: [fid_features_to_statistics(x) for x in (a, b)])
    metrics_a, lightning = best(1, lambda: [torchmetrics_statistics(x) for x in (a, b)])
    print(f"{arguments.count} features of {DIMENSIONS} dimensions on either side, {torch.get_num_threads()} threads")
    rows = {
        "genae": (seconds_a, best(arguments.repeats, lambda: ours[0].distance(ours[1]))),
        "pytorch-fid (matrix root)": (
            numpy_a, best(arguments.repeats, lambda: float(calculate_frechet_distance(*theirs[0], *theirs[1])))
        ),
        "torch-fidelity": (
            fidelity_a, best(arguments.repeats, lambda: fid_statistics_to_metric(*fidelity, verbose=False).popitem()[1])
        ),
        "torchmetrics": (
            metrics_a, best(arguments.repeats, lambda: float(_compute_fid(*lightning[0], *lightning[1])))
        ),
    }  # fmt: skip
    reference, value = rows["genae"][1]
    print("| | statistics, s | distance, s | distance / genae's | value - genae's |\n| --- | --- | --- | --- | --- |")
    for name, (first, (second, result)) in rows.items():
        print(f"| {name} | {first:.1f} | {second:.2f} | {second / reference:.1f}x | {result - value:.1e} |")

    few = features(1000, 0).double()
    known = [Moments().add(rows).finish() for rows in (few, few + 1)]
    given = [t for m in known for t in (m.mean, m.covariance)]
    arrays = [t.numpy() for t in given]
    pairs = [{"mu": arrays[i], "sigma": arrays[i + 1]} for i in (0, 2)]
    print("\nError where 1,000 rows make singular covariances (the distance is 2,048):")
    print(f"genae, of features:     {known[0].distance(known[1]) - DIMENSIONS:.1e}")
    print(f"genae, of covariances:  {frechet_distance(*given) - DIMENSIONS:.1e}")
    print(f"pytorch-fid:            {calculate_frechet_distance(*arrays) - DIMENSIONS:.1e}")
    print(f"torch-fidelity:         {fid_statistics_to_metric(*pairs, verbose=False).popitem()[1] - DIMENSIONS:.1e}")
    print(f"torchmetrics:           {float(_compute_fid(*given)) - DIMENSIONS:.1e}")


if __name__ == "__main__":
    main()
