"""Errors of pairs: MSE, PSNR, SSIM, MS-SSIM."""

import math

import numpy as np
import pytest
import torch
import torchvision

from genae.metrics.reconstruction import ms_ssim, mse, normalised_psnr, psnr, ssim
from tests.metrics.vectors import normal, t


def test_psnr_and_mse() -> None:
    x, y = t([[[0.0, 0.5], [1.0, 0.25]]]), t([[[0.5, 0.5], [0.5, 0.25]]])
    assert float(mse(x, y)) == 0.125
    assert float(psnr(x, y, data_range=1)) == pytest.approx(9.030899869919436)  # vector
    assert math.isinf(float(psnr(x, x)))
    # The same images in [-1, 1]: four times the MSE, the same PSNR.
    assert float(mse(2 * x - 1, 2 * y - 1)) == pytest.approx(0.5)
    assert float(psnr(2 * x - 1, 2 * y - 1)) == pytest.approx(9.030899869919436)
    # Of what torchvision's normalisation makes of images in [0, 1].
    a, b = torch.rand(2, 4, 3, 5, 5, dtype=torch.float64)
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    expected = 10 * (1 / (normalise(a) - normalise(b)).square().flatten(1).mean(1)).log10()
    assert normalised_psnr(2 * a - 1, 2 * b - 1).tolist() == pytest.approx(expected.tolist())


def ssim_images() -> tuple[torch.Tensor, torch.Tensor]:
    i, j = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    x = ((7 * i + 13 * j + i * j) % 17).double() / 16
    return x, (0.8 * x + 0.05 * ((3 * i + 5 * j) % 4).double()).clamp(0, 1)


def test_ssim_vector() -> None:
    x, y = (image[None, None] for image in ssim_images())
    assert float(ssim(x, y, 0, 1)) == pytest.approx(0.9634542805339138, abs=1e-12)  # vector
    assert float(ssim(x, x, 0, 1)) == pytest.approx(1.0)
    assert float(ssim(2 * x - 1, 2 * y - 1)) == pytest.approx(0.9634542805339138, abs=1e-12), "as in [0, 1]"


def test_ssim_agrees_with_scikit_image() -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, 3, 20, 27))
    expected = structural_similarity(
        (a + 1) / 2,
        (b + 1) / 2,
        channel_axis=0,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(ssim(torch.from_numpy(a)[None], torch.from_numpy(b)[None])) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_images_smaller_than_the_window() -> None:
    x = torch.rand(2, 1, 8, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(ssim(x, x), torch.ones(2, dtype=torch.float64))
    assert (ssim(x, x.flip(-1)) < 0.9).all()


def slow_ms_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """One channel in [0, 1], with scipy's Gaussian filter."""
    from scipy.ndimage import gaussian_filter

    def local(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    product = 1.0
    for number, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if number:
            x, y = (i[: i.shape[0] // 2 * 2, : i.shape[1] // 2 * 2] for i in (x, y))
            x, y = ((i[::2, ::2] + i[1::2, ::2] + i[::2, 1::2] + i[1::2, 1::2]) / 4 for i in (x, y))
        mx, my = local(x), local(y)
        vx, vy, vxy = local(x * x) - mx**2, local(y * y) - my**2, local(x * y) - mx * my
        structure = (2 * vxy + 0.03**2) / (vx + vy + 0.03**2)
        luminance = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        product *= max((structure * luminance if number == 4 else structure).mean(), 0) ** weight
    return product


def test_ms_ssim() -> None:
    ramp = torch.linspace(-1, 1, 190, dtype=torch.float64)
    x = (torch.sin(9 * ramp[:, None] + 5 * ramp[None, :177]) * 0.8)[None, None]
    y = x * 0.8 + 0.1 * normal(1, 1, 190, 177)
    expected = slow_ms_ssim(*((image[0, 0].numpy() + 1) / 2 for image in (x, y)))
    assert float(ms_ssim(x, y)) == pytest.approx(expected, abs=1e-12)
    assert float(ms_ssim(x, x)) == pytest.approx(1)
    both = ms_ssim(torch.cat([x, x], 1), torch.cat([x, y], 1))
    assert float(both) == pytest.approx((1 + float(ms_ssim(x, y))) / 2)
