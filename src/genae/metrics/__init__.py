"""Numbers that can be trusted. `METRICS` is the whole registry."""

from collections.abc import Callable
from typing import Any

from genae.metrics.frechet import frechet_distance
from genae.metrics.inception import inception_score
from genae.metrics.reconstruction import mse, psnr, ssim

METRICS: dict[str, Callable[..., Any]] = {
    "mse": mse,
    "psnr": psnr,
    "ssim": ssim,
    "fd": frechet_distance,
    "icp": inception_score,
}
