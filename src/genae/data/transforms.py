"""What is done to an image between its file and the model: channels, size, value range."""

import torch
import torch.nn.functional as F
from torch import Tensor

from genae.errors import GenaeError, nearest

FITS = {
    "crop": "the centre is cropped to the wanted aspect, then resized",
    "pad": "extended with black, never enlarged; what is larger is first shrunk to fit",
    "stretch": "resized without keeping the aspect",
    "celeba": "rows 60 to 187 and columns 25 to 152 of CelebA's aligned pictures, as ALAE's authors cut them",
}
RESIZE = "bicubic-antialias"  # goes into every metric's fingerprint


def parse_size(size: str | int | tuple[int, int]) -> tuple[int, int]:
    """``64`` or ``48x64`` (height x width) -> (height, width)."""
    try:
        sides = [int(side) for side in (size if isinstance(size, tuple) else str(size).lower().split("x"))]
    except (TypeError, ValueError):
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise GenaeError(f"size is {size!r}; expected a number of pixels such as 64, or HEIGHTxWIDTH such as 48x64")
    return sides[0], sides[-1]


def resize(images: Tensor, size: tuple[int, int], fit: str, fill: float = 0) -> Tensor:
    """Images [..., C, H, W], any dtype -> [..., C, *size]. ``fit`` is one of `FITS`; ``fill`` is the value of black."""
    if fit not in FITS:
        raise GenaeError(f"fit is {fit!r}; {nearest(fit, FITS)}")
    height, width = images.shape[-2:]
    if (height, width) == size:
        return images
    if fit == "celeba":
        if (height, width) != (218, 178):
            raise GenaeError(f"a picture has {height}x{width} pixels; --fit celeba expects CelebA's aligned 218x178")
        images = images[..., 60:188, 25:153]
    elif fit == "crop":
        from torchvision.transforms.v2 import functional as tv

        scale = min(height / size[0], width / size[1])
        images = tv.center_crop(images, [max(1, round(side * scale)) for side in size])
    elif fit == "pad":
        scale = min(1.0, size[0] / height, size[1] / width)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
        images = _resample(images, inner)
        dy, dx = size[0] - inner[0], size[1] - inner[1]
        return F.pad(images, (dx // 2, dx - dx // 2, dy // 2, dy - dy // 2), value=fill)
    return _resample(images, size)


def resize_name(size: tuple[int, int], fit: str) -> str:
    """What `resize` does, as fingerprints say it: filter, fit, size."""
    return f"{RESIZE} {fit} {size[0]}x{size[1]}"


def convert_channels(pixels: Tensor, channels: int, white: float) -> Tensor:
    """Between grey, RGB and RGBA; ``white`` is the value of full opacity. Other counts raise `GenaeError`."""
    have = pixels.shape[1]
    if have not in (1, 3, 4) or channels not in (1, 3, 4):
        raise GenaeError(
            f"images with {have} channels cannot be converted to {channels}; expected 1 (grey), 3 (RGB) or 4 (RGBA)"
        )
    if have == 1:
        pixels = pixels.expand(-1, 3, -1, -1)
    if channels == 4:
        return torch.cat([pixels, torch.full_like(pixels[:, :1], white)], dim=1)
    if channels == 3:
        return pixels[:, :3].contiguous()
    grey = (pixels[:, :3].float() * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return grey.round().to(torch.uint8) if pixels.dtype == torch.uint8 else grey


def _resample(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[-2:]) == size:
        return images
    from torchvision.transforms.v2 import InterpolationMode  # its import takes longer than PyTorch's own
    from torchvision.transforms.v2 import functional as tv

    return tv.resize(images, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True)


def to_unit_range(pixels: Tensor, low: float, high: float) -> Tensor:
    """Stored pixels -> float32 in [-1, 1]; ``low`` and ``high`` are the stored values that become -1 and 1."""
    return (pixels.float() - low).mul_(2 / (high - low)).sub_(1)


def to_uint8(x: Tensor) -> Tensor:
    """Images in [-1, 1] -> uint8 0..255, rounded to the nearest."""
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
