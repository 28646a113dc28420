"""Numbers that can be trusted: one function per metric on tensors, `METRICS` for the evaluation of images and runs."""

from collections.abc import Callable
from typing import Any, NamedTuple

from genae.metrics.codes import code_statistics
from genae.metrics.cost import costs
from genae.metrics.frechet import Moments, frechet_distance, moments
from genae.metrics.inception import inception_score
from genae.metrics.kernel import kernel_distance, polynomial_mmd
from genae.metrics.localisation import average_precision, localisation
from genae.metrics.lpips import Lpips
from genae.metrics.neighbours import coverage, memorisation, nearest
from genae.metrics.path_length import path_lengths, trimmed_mean
from genae.metrics.probes import knn, linear_svm, logistic, one_nn
from genae.metrics.reconstruction import ms_ssim, mse, normalised_psnr, psnr, ssim

__all__ = [
    "METRICS", "Metric", "Moments", "average_precision", "code_statistics", "costs", "coverage", "frechet_distance",
    "inception_score", "kernel_distance", "linear_svm", "localisation", "logistic", "memorisation", "moments",
    "ms_ssim", "mse", "nearest", "normalised_psnr", "one_nn", "path_lengths", "polynomial_mmd", "psnr", "ssim",
    "trimmed_mean",
]  # fmt: skip


class Metric(NamedTuple):
    """One choice of ``genae evaluate --metrics``."""

    function: Callable[..., Any]
    """What it computes, on tensors."""
    of: str
    """``pairs`` (an image and its reconstruction), ``paths`` (between a prior's samples), ``features``,
    ``probabilities``, ``pixels``, ``codes``, ``labels`` (of features) or ``run``."""
    records: dict[str, str]
    """How the names of its numbers begin, and what each says."""


METRICS: dict[str, Metric] = {
    "mse": Metric(mse, "pairs", {"mse": "mean squared error per value in [-1, 1], lower is better"}),
    "psnr": Metric(psnr, "pairs", {"psnr": "peak signal-to-noise ratio in dB, higher is better"}),
    "normalised_psnr": Metric(
        normalised_psnr, "pairs", {"normalised_psnr": "PSNR of ImageNet-normalised values with a peak of 1 (PatchVAE)"}
    ),
    "ssim": Metric(ssim, "pairs", {"ssim": "structural similarity, 1 is identical"}),
    "ms_ssim": Metric(ms_ssim, "pairs", {"ms_ssim": "structural similarity over five scales, 1 is identical"}),
    "lpips": Metric(Lpips, "pairs", {"lpips": "learned perceptual distance (VGG-16), lower is better"}),
    "fid": Metric(
        frechet_distance,
        "features",
        {"fid": "Fréchet distance in the features of Inception-v3, lower is better"},
    ),
    "fd": Metric(
        frechet_distance,
        "features",
        {"fd": "Fréchet distance in the features of the network named, lower is better"},
    ),
    "kid": Metric(
        kernel_distance,
        "features",
        {"kid": "kernel distance in the features of a network, lower is better"},
    ),
    "prdc": Metric(
        coverage,
        "features",
        {
            "precision": "share of samples among the real images, higher is better",
            "recall": "share of real images among the samples, higher is better",
            "density": "how densely real images surround the samples, higher is better",
            "coverage": "share of real images with a sample near, higher is better",
        },
    ),
    "is": Metric(
        inception_score, "probabilities", {"is": "inception score with Inception-v3, higher is better"}
    ),
    "icp": Metric(
        inception_score,
        "probabilities",
        {"icp": "inception score with genae's classifier of this data, higher is better"},
    ),
    "nearest": Metric(
        memorisation,
        "pixels",
        {
            "nearest": "median distance to the nearest training image, root mean square per value",
            "copies": "share of samples nearer to a training image than 99 % of held-out images; honest: 0.01",
        },
    ),
    "codes": Metric(
        code_statistics,
        "codes",
        {
            "code_std": "standard deviation of the codes, 0 is collapse",
            "code_rank": "effective rank of the codes",
            "code_fd": "Fréchet distance between codes and the codes that a prior samples, lower is better",
        },
    ),
    "cost": Metric(
        costs,
        "run",
        {"train_images": "images or codes seen in training", "train_seconds": "seconds of training"},
    ),
    "ppl": Metric(
        path_lengths, "paths", {"ppl": "perceptual path length (LPIPS) in a prior's z or in codes w, lower is smoother"}
    ),
    "fpl": Metric(
        path_lengths,
        "paths",
        {"fpl": "path length in the features of the network named; a stand-in, no ppl; lower is smoother"},
    ),
    "1nn": Metric(one_nn, "labels", {"1nn": "accuracy of the nearest neighbour's label among an encoder's features"}),
    "knn": Metric(knn, "labels", {"knn": "accuracy of a vote of the 20 nearest neighbours among features"}),
    "svm": Metric(linear_svm, "labels", {"svm": "accuracy of a linear support vector machine on features"}),
    "localisation": Metric(
        average_precision,
        "labels",
        {"localisation": "average precision of a model's parts as detectors of the true ones (shapes), 1 is perfect"},
    ),
    "occurrence": Metric(
        mse,
        "labels",
        {"occurrence": "MSE where parts are drawn, or there or not, instead of likely: what soft maps let through"},
    ),
    "logistic": Metric(logistic, "labels", {"logistic": "accuracy of logistic regression on standardised features"}),
}  # fmt: skip


_TEXTS = {start: text for metric in METRICS.values() for start, text in metric.records.items()}
_TEXTS |= {  # of genae probe
    "top1": "accuracy of a head and what is trained above an encoder's frozen layers, on test images",
    "top5": "share of test images whose label is among its five likeliest",
}


def kind_of(name: str) -> str:
    """How the names of a recorded number and its like begin: ``fd`` of ``rfd10k-classifier``; empty if unknown."""
    for candidate in (name, name[1:] if name.startswith("r") else ""):
        fitting = [start for start in _TEXTS if candidate.startswith(start)]
        if fitting:
            return max(fitting, key=len)
    return ""


def explain(kind: str) -> str:
    """What the numbers of a kind say."""
    return _TEXTS.get(kind, "")


def position(name: str) -> int:
    """Where a number stands among others in a table: in the order of `METRICS`."""
    kind = kind_of(name)
    return list(_TEXTS).index(kind) if kind else len(_TEXTS)
