"""Every number of a trained model, each with the protocol that made it."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from genae.data.sources import ImageData
from genae.data.transforms import RESIZE, to_uint8, to_unit_range
from genae.metrics.features import FeatureNetwork
from genae.metrics.frechet import frechet_distance, moments
from genae.metrics.inception import inception_score
from genae.metrics.reconstruction import mse, psnr, reconstructions, ssim
from genae.protocol import Autoencoder
from genae.version import VERSION

BATCH = 256
REAL, CODE = "real data", "code"


def evaluate(
    model: Autoencoder,
    sample: Callable[[int, int, str], Tensor],
    data: ImageData,
    *,
    weights: str,
    classifier: FeatureNetwork | None,
    split: str = "test",
    samples: int = 10_000,
    seed: int = 0,
    progress: Callable[[str], None] = lambda message: None,
) -> list[dict[str, Any]]:
    """Measure reconstructions of a split, and samples of every prior if a classifier is given.

    Records have ``of`` (``real data``, ``code``: through the code, or a prior's name), ``metric``, ``value``, for
    scores over splits ``deviation``, and ``fingerprint``. Images are rounded to 8 bits before any classifier sees them,
    as files would be. ``sample(count, seed, prior)`` draws images; ``weights`` is the hash of the model's.
    """
    device = next(model.parameters()).device
    indices = data.split(split)
    base = {
        "data": data.name,
        "data_digest": data.digest,
        "split": split,
        "count": len(indices),
        "resize": RESIZE,
        "weights": weights,
        "genae": VERSION,
    }
    records: list[dict[str, Any]] = []

    def record(of: str, metric: str, value: float, deviation: float | None = None, **more: Any) -> None:
        entry = {"of": of, "metric": metric, "value": value}
        if deviation is not None:
            entry["deviation"] = deviation
        records.append(entry | {"fingerprint": base | more})

    def real() -> Iterator[Tensor]:
        return (data.images(part).to(device) for part in indices.split(BATCH))

    progress(f"reconstructing {len(indices)} images")
    sums: dict[tuple[str, str], float] = {}
    decoded: list[Tensor] = []
    with torch.no_grad():
        for x in real():
            for name, x_hat in reconstructions(model, x).items():
                for metric, function in (("mse", mse), ("psnr", psnr), ("ssim", ssim)):
                    key = (name, metric)
                    sums[key] = sums.get(key, 0.0) + float(function(x_hat, x).sum())
                if classifier and name == CODE:
                    decoded.append(to_uint8(x_hat).cpu())
    for (name, metric), total in sums.items():
        record(name, metric, total / len(indices), range="[-1, 1]")
    if classifier is None:
        return records

    network = {"network": classifier.name, "network_digest": classifier.digest, "accuracy": classifier.accuracy}

    def scores(of: str, images: Iterator[Tensor], reference: tuple[Tensor, Tensor] | None, **more: Any) -> Tensor:
        features, probabilities = classifier(images)
        count = len(features)
        splits = 10 if count >= 1000 else 1
        value, deviation = inception_score(probabilities, splits, seed)
        protocol: dict[str, Any] = network | {"images": count, "seed": seed, "format": "uint8"} | more
        record(of, f"icp{short_count(count)}", value, deviation, splits=splits, **protocol)
        if reference and min(count, len(indices)) > 1:  # one image has no covariance
            distance = frechet_distance(*moments(features), *reference)
            record(of, f"fd{short_count(count)}-classifier", distance, reference=f"{split} {len(indices)}", **protocol)
        return features

    def eight_bit(images: Tensor) -> Iterator[Tensor]:
        return (to_unit_range(part.to(device), 0, 255) for part in images.split(BATCH))

    progress("scoring real images")
    reference = moments(scores(REAL, (to_unit_range(to_uint8(x), 0, 255) for x in real()), None))
    progress("scoring reconstructions")
    scores(CODE, eight_bit(torch.cat(decoded)), reference, kind="reconstructions")
    for prior in model.priors:
        progress(f"scoring {samples} samples of the {prior} prior")
        scores(prior, eight_bit(to_uint8(sample(samples, seed, prior))), reference, kind="samples")
    return records


def short_count(count: int) -> str:
    """10,000 -> ``10k``; other counts as they are."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)
