"""One picture: from the bytes of its file, or from Pillow, to a tensor."""

import io
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import simplejpeg
import torch
from PIL import Image, ImageOps
from torch import Tensor

from genae.data.transforms import convert_channels

EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_PLAIN = ("L", "LA", "RGB", "RGBA", "F")
_ORIENTATION = 0x0112
_EXIF_IN_PNG = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
WIDE = "it holds 32-bit integers, whose white is not known"


class Picture(NamedTuple):
    """A decoded picture."""

    pixels: Tensor
    """[C, H, W]: uint8, int32 for integers deeper than 8 bits, or finite float32."""
    channels: int
    """How many the file has; 8-bit pixels may have been converted to others."""
    format: str
    """See `file_format`."""


class Header(NamedTuple):
    """What `read_picture` would give, without the pixels."""

    channels: int
    height: int
    width: int
    dtype: torch.dtype
    format: str
    wide: bool = False
    """Whether its integers exceed 16 bits."""
    plain_jpeg: bool = False
    """Whether `plain_jpeg` can decode it."""


def read_picture(source: bytes | Image.Image, channels: int | None = None) -> Picture:
    """Decode a file, or take a picture of Pillow; 8-bit ones are brought to 1, 3 or 4 ``channels``.

    Raises what Pillow raises for damaged files, and ValueError for values that are not finite.
    """
    if isinstance(source, Image.Image):
        return _decoded(source, channels)
    with Image.open(io.BytesIO(source)) as opened:
        if _is_deep_png(opened, source):
            opened.load()  # finds damage that the other decoder does not name
            pixels = _decode_deep(source)
            return Picture(pixels, len(pixels), "lossless")
        pixels_of_jpeg = _decode_jpeg(opened, source, channels)
        if pixels_of_jpeg is not None:
            return Picture(pixels_of_jpeg, len(opened.getbands()), file_format(opened))
        return _decoded(opened, channels)


def read_header(source: bytes | Image.Image) -> Header:
    """The shape, depth and format of a file; pictures that need more than their header are decoded.

    Raises what `read_picture` raises.
    """
    if isinstance(source, Image.Image):
        return _header_of(_decoded(source, None))
    with Image.open(io.BytesIO(source)) as opened:
        name = file_format(opened)
        if _is_deep_png(opened, source):
            return Header(len(opened.getbands()), opened.height, opened.width, torch.int32, name)
        deep = opened.mode.startswith("I;16")
        if (deep or opened.mode in _PLAIN) and not _is_turned(opened, source):
            dtype = torch.int32 if deep else torch.float32 if opened.mode == "F" else torch.uint8
            plain = opened.format == "JPEG" and opened.mode in ("L", "RGB")
            return Header(len(opened.getbands()), opened.height, opened.width, dtype, name, plain_jpeg=plain)
        return _header_of(_decoded(opened, None))


def _is_turned(opened: Image.Image, data: bytes) -> bool:
    """Whether Exif says that a picture is to be turned. Pillow decodes a PNG to find out, which is left out where the
    file has no place that could say so."""
    if opened.format == "PNG" and not any(mark in data for mark in _EXIF_IN_PNG):
        return False
    return opened.getexif().get(_ORIENTATION, 1) != 1


def _header_of(picture: Picture) -> Header:
    pixels, (_, height, width) = picture.pixels, picture.pixels.shape
    return Header(picture.channels, height, width, pixels.dtype, picture.format, exceeds_16_bits(pixels))


def _is_deep_png(opened: Image.Image, data: bytes) -> bool:
    """Whether a PNG has 16 bits a value and several channels: Pillow would cut it to 8 bits."""
    return opened.format == "PNG" and data[24] == 16 and opened.mode in ("RGB", "RGBA", "LA")


def _decode_deep(data: bytes) -> Tensor:
    from torchvision.io import ImageReadMode, decode_image

    return decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.UNCHANGED).to(torch.int32)


def _decode_jpeg(opened: Image.Image, data: bytes, channels: int | None) -> Tensor | None:
    """Pixels [C, H, W] of a grey or RGB JPEG, equal to Pillow's at up to three times its speed.

    None for what Pillow must judge or convert: damaged files, other colours, orientations, grey from RGB.
    """
    if opened.format != "JPEG" or opened.mode not in ("L", "RGB") or opened.getexif().get(_ORIENTATION, 1) != 1:
        return None
    return _jpeg_pixels(data, opened.mode, channels)


def plain_jpeg(data: bytes, channels: int | None) -> Tensor | None:
    """The pixels of `read_picture`, of a file whose `Header` says that it is a plain JPEG; None as `_decode_jpeg`."""
    try:
        _, _, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return _jpeg_pixels(data, "L" if colours == "Gray" else "RGB", channels)


def _jpeg_pixels(data: bytes, mode: str, channels: int | None) -> Tensor | None:
    wanted = MODES.get(channels, mode) if channels is not None else mode
    if (mode, wanted) not in (("L", "L"), ("L", "RGB"), ("RGB", "RGB")):
        return None
    try:
        array = simplejpeg.decode_jpeg(data, "GRAY" if wanted == "L" else "RGB")  # refuses what libjpeg only warns of
    except ValueError:
        return None
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))  # quicker than with tensors


def _decoded(opened: Image.Image, channels: int | None) -> Picture:
    opened.load()
    picture = opened if opened.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(opened)
    if picture.mode in ("1", "CMYK", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    elif picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA" if picture.mode == "PA" or "transparency" in picture.info else "RGB")
    bands = len(picture.getbands())
    if channels in MODES and bands != channels and picture.mode in ("L", "LA", "RGB", "RGBA"):
        picture = picture.convert(MODES[channels])
    array = np.array(picture)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("it holds NaN or infinite values")
    if array.dtype != np.uint8:
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
    pixels = torch.from_numpy(array if array.ndim == 3 else array[:, :, None]).permute(2, 0, 1).contiguous()
    return Picture(pixels, bands, file_format(opened))


def file_format(picture: Image.Image) -> str:
    """``lossless`` for formats that keep every pixel; ``jpeg-qN`` with its quality, ``gif``, ... for others."""
    tables = getattr(picture, "quantization", None)
    if tables:  # the quality in libjpeg's scale, from the mean of the first table (57.625 at quality 50)
        scale = 100 * sum(tables[0]) / len(tables[0]) / 57.625
        return f"jpeg-q{round(5000 / scale if scale > 100 else (200 - scale) / 2)}"
    if picture.format in ("PNG", "BMP", "PPM", None):  # None: made in memory
        return "lossless"
    if picture.format == "TIFF" and "jpeg" not in str(picture.info.get("compression")):
        return "lossless"
    return str(picture.format).lower()


def formats_name(formats: Collection[str]) -> str:
    """The formats of many files, as fingerprints say it; more than three are ``various``."""
    kinds = {kind.partition("-")[0] for kind in formats}
    return "+".join(sorted(formats)) if len(formats) <= 3 else f"{'+'.join(sorted(kinds))} (various)"


def to_8_bits(pixels: Tensor) -> Tensor:
    """Integers of up to 16 bits, any shape -> uint8, scaled; 8-bit ones stay. Wider values raise ValueError."""
    if pixels.dtype == torch.uint8:
        return pixels
    if exceeds_16_bits(pixels):
        raise ValueError(WIDE)
    return (pixels.float() / 257).round().to(torch.uint8)


def exceeds_16_bits(pixels: Tensor) -> bool:
    """Whether integers lie outside of 0..65535; False for floats."""
    return pixels.dtype == torch.int32 and bool(pixels.min() < 0 or pixels.max() > 65535)


def bring_to(pixels: Tensor, channels: int) -> Tensor:
    """Integer pixels [C, H, W] with 1, 2 (grey and alpha), 3 or 4 channels -> 1, 3 or 4, of the same depth."""
    if len(pixels) == channels:
        return pixels
    if len(pixels) == 2:
        pixels = torch.cat([pixels[:1].expand(3, -1, -1), pixels[1:]])
    return convert_channels(pixels[None], channels, 255 if pixels.dtype == torch.uint8 else 65535)[0]


def channel_conversion(stored: Counter[int], channels: int | None) -> list[str]:
    """Say how many pictures were brought to ``channels``; ``stored`` counts those with each number of channels."""
    other = {count: number for count, number in sorted(stored.items()) if count != channels}
    if channels is None or not other:
        return []
    if len(stored) == 1:
        return [f"converted from {next(iter(other))} to {channels} channels"]
    parts = " and ".join(f"{number} with {count}" for count, number in other.items())
    return [f"{sum(other.values())} of {stored.total()} images converted to {channels} channels ({parts})"]
