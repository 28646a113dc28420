"""Metrics: a file for each, and `METRICS`, which lists them."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from genae.metrics.metric import Metric

FUNCTIONS = {
    "reconstruction": ("mse", "psnr", "normalised_psnr", "ssim", "ms_ssim"),
    "frechet": ("frechet_distance", "moments", "Moments"),
    "kernel": ("kernel_distance", "polynomial_mmd"),
    "prdc": ("coverage",),
    "sliced_wasserstein": ("sliced_wasserstein_distance",),
    "vendi": ("vendi_score",),
    "class_scores": ("inception_score",),
    "neighbours": ("nearest",),
    "copies": ("memorisation",),
    "code_spread": ("code_statistics",),
    "cost": ("costs",),
    "round_trip": ("round_trip_error",),
    "path_length": ("path_lengths", "trimmed_mean"),
    "probes": ("one_nn", "knn", "linear_svm", "logistic"),
    "part_localisation": ("average_precision", "localisation"),
}
"""File of `genae.metrics` -> its functions on tensors, which can be imported from here too."""


class Entry(NamedTuple):
    """A metric, without its code: what it takes to list and to explain it."""

    home: str
    """Module in `genae.metrics`, and class."""
    records: Mapping[str, str]
    """How the names of its numbers begin, and what each says."""
    of_runs: bool = False
    """Whether ``genae evaluate RUN`` measures it without being asked, where it can."""
    of_images: bool = False
    """The same of ``genae evaluate IMAGES``."""


METRICS: dict[str, Entry] = {
    "mse": Entry(
        "reconstruction:Mse", {"mse": "mean squared error per value in [-1, 1], lower is better"}, of_runs=True
    ),
    "psnr": Entry("reconstruction:Psnr", {"psnr": "peak signal-to-noise ratio in dB, higher is better"}, of_runs=True),
    "normalised_psnr": Entry(
        "reconstruction:NormalisedPsnr",
        {"normalised_psnr": "PSNR of ImageNet-normalised values with a peak of 1 (PatchVAE)"},
    ),
    "ssim": Entry("reconstruction:Ssim", {"ssim": "structural similarity, 1 is identical"}, of_runs=True),
    "ms_ssim": Entry("reconstruction:MsSsim", {"ms_ssim": "structural similarity over five scales, 1 is identical"}),
    "lpips": Entry("lpips:LpipsDistance", {"lpips": "learned perceptual distance (VGG-16), lower is better"}),
    "fid": Entry(
        "frechet:Fid",
        {"fid": "Fréchet distance in the features of Inception-v3, lower is better"},
        of_images=True,
    ),
    "fd": Entry(
        "frechet:Fd", {"fd": "Fréchet distance in the features of the network named, lower is better"}, of_runs=True
    ),
    "kid": Entry(
        "kernel:Kid", {"kid": "kernel distance in the features of a network, lower is better"}, of_images=True
    ),
    "prdc": Entry(
        "prdc:Prdc",
        {
            "precision": "share of samples among the real images, higher is better",
            "recall": "share of real images among the samples, higher is better",
            "density": "how densely real images surround the samples, higher is better",
            "coverage": "share of real images with a sample near, higher is better",
        },
        of_images=True,
    ),
    "swd": Entry(
        "sliced_wasserstein:Swd",
        {"swd": "sliced Wasserstein distance in the features of a network, lower is better"},
    ),
    "vendi": Entry(
        "vendi:Vendi",
        {"vendi": "Vendi score: effective number of different images, by a network's features, higher is more varied"},
    ),
    "is": Entry("class_scores:Is", {"is": "inception score with Inception-v3, higher is better"}),
    "icp": Entry(
        "class_scores:Icp",
        {"icp": "inception score with genae's classifier of this data, higher is better"},
        of_runs=True,
    ),
    "conditional": Entry(
        "class_conditional:ClassConditional",
        {
            "given_accuracy": "share of samples that genae's classifier gives the class that was asked for",
            "intra_fd": "mean over classes of the Fréchet distance within the class, lower is better",
        },
        of_runs=True,
    ),
    "nearest": Entry(
        "copies:Nearest",
        {
            "nearest": "median distance to the nearest training image, root mean square per value",
            "copies": "share of samples nearer to a training image than 99 % of held-out images; honest: 0.01",
        },
        of_runs=True,
    ),
    "codes": Entry(
        "code_spread:Codes",
        {
            "code_std": "standard deviation of the codes, 0 is collapse",
            "code_rank": "effective rank of the codes",
            "code_fd": "Fréchet distance between codes and the codes that a prior samples, lower is better",
        },
        of_runs=True,
    ),
    "round_trip": Entry(
        "round_trip:RoundTrip",
        {"round_trip": "error of codes through a prior and back, in units of their deviation, 0 is lossless"},
        of_runs=True,
    ),
    "bpd": Entry(
        "likelihood:Likelihood",
        {"bits_per_dim": "bits for each value of an image, by the likelihood of a flow, lower is better"},
        of_runs=True,
    ),
    "cost": Entry(
        "cost:Cost",
        {"train_images": "images or codes seen in training", "train_seconds": "seconds of training"},
        of_runs=True,
    ),
    "ppl": Entry(
        "path_length:Ppl",
        {"ppl": "perceptual path length (LPIPS) in a prior's z or in codes w, lower is smoother"},
    ),
    "fpl": Entry(
        "path_length:Fpl",
        {"fpl": "path length in the features of the network named; a stand-in, no ppl; lower is smoother"},
    ),
    "1nn": Entry("probes:OneNn", {"1nn": "accuracy of the nearest neighbour's label among an encoder's features"}),
    "knn": Entry("probes:Knn", {"knn": "accuracy of a vote of the 20 nearest neighbours among features"}),
    "svm": Entry("probes:Svm", {"svm": "accuracy of a linear support vector machine on features"}),
    "localisation": Entry(
        "part_localisation:Localised",
        {"localisation": "average precision of a model's parts as detectors of the true ones (shapes), 1 is perfect"},
    ),
    "occurrence": Entry(
        "occurrence:Occurrence",
        {"occurrence": "MSE with soft occurrences of parts, with drawn ones, and with rounded ones"},
    ),
    "logistic": Entry("probes:Logistic", {"logistic": "accuracy of logistic regression on standardised features"}),
}


RUN_METRICS = tuple(name for name, entry in METRICS.items() if entry.of_runs)
"""What is measured of a run without being asked."""
IMAGE_METRICS = tuple(name for name, entry in METRICS.items() if entry.of_images)
"""The same of images."""


def metric_class(name: str) -> "type[Metric]":
    """The class of a metric in `METRICS`."""
    module, _, cls = METRICS[name].home.partition(":")
    return getattr(import_module(f"genae.metrics.{module}"), cls)


_TEXTS = {start: text for entry in METRICS.values() for start, text in entry.records.items()}
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


def __getattr__(name: str) -> object:
    for file, names in FUNCTIONS.items():
        if name in names:
            return getattr(import_module(f"genae.metrics.{file}"), name)
    raise AttributeError(f"module 'genae.metrics' has no attribute {name!r}")
