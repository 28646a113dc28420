"""Errors of reconstructions: MSE, PSNR, SSIM, multi-scale SSIM."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from genae.losses import in_float64
from genae.metrics.metric import PairMetric
from genae.metrics.records import CODE
from genae.protocol import Autoencoder

PSNR_OF_EQUALS = 100.0  # dB
MS_SSIM_SIDE = 16 * 11  # the window still fits after four halvings
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class Mse(PairMetric):
    """``mse``."""

    value_range = "[-1, 1]"

    def error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """`mse`."""
        return mse(x_hat, x)


class Psnr(PairMetric):
    """``psnr``."""

    most = PSNR_OF_EQUALS

    def error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """`psnr`."""
        return psnr(x_hat, x)


class NormalisedPsnr(PairMetric):
    """``normalised_psnr``."""

    value_range = "ImageNet-normalised, peak 1"
    most = PSNR_OF_EQUALS

    def error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """`normalised_psnr`."""
        return normalised_psnr(x_hat, x)


class Ssim(PairMetric):
    """``ssim``."""

    def error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """`ssim`."""
        return ssim(x_hat, x)


class MsSsim(PairMetric):
    """``ms_ssim``."""

    least_side = MS_SSIM_SIDE

    def error(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """`ms_ssim`."""
        return ms_ssim(x_hat, x)


def mse(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of each image, [B]; images [B, C, H, W] in [-1, 1] (in [0, 1]: a quarter)."""
    return (in_float64(x) - in_float64(y)).square().flatten(1).mean(1)


def psnr(x: Tensor, y: Tensor, data_range: float = 2.0) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, [B]: 10 log10(data_range^2 / MSE); infinite for equal images."""
    return 10 * torch.log10(data_range**2 / mse(x, y))


def normalised_psnr(x: Tensor, y: Tensor) -> Tensor:
    """PSNR in dB, [B], of ImageNet-normalised images (mean 0, deviation 1; given in [-1, 1]) with a peak of 1.

    No sound measure, about 13 dB below the usual one: the convention of published figures such as PatchVAE's Table 7.
    Grey images are divided by the mean of the three deviations.
    """
    deviation = x.new_tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    scale = 2 * (deviation if x.shape[1] == 3 else deviation.mean())  # the means cancel
    return psnr(x / scale, y / scale, data_range=1)


def ssim(x: Tensor, y: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Structural similarity of each image with values from ``low`` (black) to ``high``, [B]; 1 for equal images.

    Computed on values from 0 up, where Wang et al. define it: its comparison of means has no sense about another zero.

    Wang et al. 2004: Gaussian window of 11 x 11 pixels and deviation 1.5 (cut to the largest odd size that fits small
    images), K1 = 0.01, K2 = 0.03, population covariance, averaged over the positions where the window fits.
    Images [B, C, H, W]; channels are averaged.
    """
    return _similarity(_unit(x, low, high), _unit(y, low, high))[0].mean(1)


def ms_ssim(x: Tensor, y: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Structural similarity over five scales of each image with values from ``low`` to ``high``, [B]; 1 for equal ones.

    Wang et al. 2003, Eq. 7: contrast and structure at each scale, luminance at the coarsest, halved by 2 x 2 means.
    Negative terms count as 0, channels are averaged. Images [B, C, H, W] of at least 176 pixels a side, where the
    window still fits the coarsest scale; raises ValueError for smaller ones.
    """
    if min(x.shape[-2:]) < MS_SSIM_SIDE:
        size = f"{x.shape[-2]}x{x.shape[-1]}"
        raise ValueError(f"ms_ssim: images of {size}; its five scales need {MS_SSIM_SIDE} pixels a side")
    x, y = _unit(x, low, high), _unit(y, low, high)
    result = torch.ones(x.shape[:2], dtype=torch.float64, device=x.device)
    for number, weight in enumerate(MS_SSIM_WEIGHTS):
        if number:
            x, y = (F.avg_pool2d(image, 2) for image in (x, y))
        whole, structure = _similarity(x, y)
        last = number == len(MS_SSIM_WEIGHTS) - 1
        result = result * (whole if last else structure).clamp_min(0) ** weight
    return result.mean(1)


def _unit(x: Tensor, low: float, high: float) -> Tensor:
    return (in_float64(x) - low) / (high - low)


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM of images in [0, 1], and its contrast-structure factor alone, of every channel, [B, C]."""
    side = min(11, *(length - (length + 1) % 2 for length in x.shape[-2:]))
    offsets = torch.arange(side, dtype=torch.float64, device=x.device) - side // 2
    window = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = window / window.sum()

    def local_mean(values: Tensor) -> Tensor:
        planes = values.flatten(0, 1)[:, None]
        return F.conv2d(F.conv2d(planes, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))

    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = local_mean(x), local_mean(y)
    var_x, var_y = local_mean(x * x) - mean_x**2, local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    whole, structure = (m.flatten(1).mean(1).view(x.shape[:2]) for m in (luminance * structure, structure))
    return whole, structure


def reconstructions(model: Autoencoder, codes: Tensor, priors: Iterable[str]) -> dict[str, Tensor]:
    """Every reconstruction from codes h0 [B, D]: ``code`` is G1(h0), others go through a prior, G1(G2(E2(h0))).

    SWAE Fig. 5a. ``priors`` names those to go through; one without an encoder is left out.
    """
    chosen = {name: model.priors[name] for name in priors}
    through = {name: prior.decode(prior.encode(codes)) for name, prior in chosen.items() if prior.has_encoder}
    return {name: model.decode(c).float() for name, c in {CODE: codes, **through}.items()}


def reconstruction_mse(model: Autoencoder, batches: Iterable[Tensor]) -> dict[str, float]:
    """Mean MSE over images of each of `reconstructions`: ``mse`` through the code, ``mse_<prior>`` through a prior."""
    sums: dict[str, float] = {}
    count = 0
    for x in batches:
        count += len(x)
        for name, x_hat in reconstructions(model, model.encode(x), model.priors).items():
            sums[name] = sums.get(name, 0.0) + float(mse(x_hat, x).sum())
    return {"mse" if name == CODE else f"mse_{name}": total / count for name, total in sums.items()}
