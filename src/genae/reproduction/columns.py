"""The columns of the papers' tables: which metric each holds, on which data set."""

from typing import NamedTuple

from genae.metrics import metric_class
from genae.metrics.recognition import FROZEN
from genae.reproduction.budgets import DATA

PER_CENT = 100.0
CONVENTIONS = {"psnr": "normalised_psnr", "psnr01": "psnr"}
"""Columns whose name is not that of their metric: ``psnr`` follows PatchVAE's convention, ``psnr01`` is the PSNR of
images in [0, 1]."""


class Measure(NamedTuple):
    """What a column holds."""

    data: str
    """A name in `DATA`."""
    metric: str
    """A name in `METRICS`; ``top1`` or ``top5`` for recognition."""
    features: str | None = None
    """For a probe, the layer that it reads; for recognition, the layers that are frozen."""
    path: str = ""
    """For path lengths, where on the path they are measured: ``full`` or ``end``."""
    scale: float = 1.0
    """The recorded value is multiplied by it."""

    @property
    def is_recognition(self) -> bool:
        """Whether a head is trained on the encoder's layers (`genae.probe`)."""
        return self.metric in ("top1", "top5")

    @property
    def compares_pairs(self) -> bool:
        """Whether images are compared with their reconstructions."""
        return not self.is_recognition and "pairs" in metric_class(self.metric).needs


def measure_of(column: str) -> Measure:
    """What a column of `TABLES` holds.

    Columns are called ``mnist_icp``, ``svm_dw_long``, ``ppl_full`` (of FFHQ), ``celebahq256_ppl_full``,
    ``cifar100_conv1-3``, or ``cifar100`` (recognition with the whole trunk frozen). The inception score of CIFAR-10 is
    measured with Inception-v3, as in the papers. In a lab a stage II follows: ``mnist_fd of flow``.
    """
    if column in DATA:
        return Measure(column, "top1", "conv1-5", scale=PER_CENT)
    if column.startswith(("1nn_", "svm_")):
        metric, data, features = column.split("_")
        return Measure(data, metric, features, scale=PER_CENT)
    data, metric = column.rsplit("_", 1)
    if metric in ("full", "end"):
        return Measure(data.removesuffix("ppl").removesuffix("_") or "ffhq", "ppl", path=metric)
    if metric in FROZEN:
        return Measure(data, "top1", metric, scale=PER_CENT)
    if metric in ("top1", "top5"):
        return Measure(data, metric, "conv1-5", scale=PER_CENT)
    return Measure(data, "is" if column == "cifar10_icp" else CONVENTIONS.get(metric, metric))
