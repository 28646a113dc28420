"""The pictures on the page: a person's own, and those of the run's data, at the size of the model and in 8 bits."""

import hashlib
import io
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Sequence

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from genae.data.decoding import read_picture
from genae.data.transforms import convert_channels, resize, to_uint8, to_unit_range
from genae.errors import GenaeError
from genae.explorer.encoding import png
from genae.model import Model

MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
KEPT_BYTES = 256_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")


class Tray:
    """Pictures by name, the hash of their pixels. When they take more than ``kept`` bytes, the oldest go."""

    def __init__(self, model: Model, kept: int = KEPT_BYTES) -> None:
        self.model = model
        self.kept = kept
        self._pixels: OrderedDict[str, Tensor] = OrderedDict()
        self._total = 0

    def upload(self, content: bytes) -> str:
        """Take a picture file; returns its name. Raises `GenaeError` for what is no picture, or too large."""
        _check_size(content)
        channels, height, width = self.model.image_shape
        try:
            pixels = read_picture(content, channels).pixels
        except Exception as error:  # whatever a damaged file makes of Pillow
            why = str(error).splitlines()[0] if str(error) else repr(error)
            raise GenaeError(f"the picture is damaged: {why}") from None
        if pixels.dtype != torch.uint8:
            top = 65535 if pixels.dtype == torch.int32 else float(pixels.max().clamp_min(1))
            pixels = (pixels.float() * (255 / top)).round().clamp(0, 255).to(torch.uint8)
        pixels = resize(pixels, (height, width), self.model.config.fit)
        return self._keep(convert_channels(pixels[None], channels, 255)[0] if len(pixels) != channels else pixels)

    def add(self, images: Tensor) -> list[str]:
        """Keep images [N, C, H, W] in [-1, 1]; returns their names."""
        return [self._keep(pixels) for pixels in to_uint8(images)]

    def images(self, names: Sequence[str]) -> Tensor:
        """Images [N, C, H, W] in [-1, 1]. Raises `GenaeError` for a name that is not, or no longer, on the page."""
        pixels = [self.pixels(name) for name in names]
        return to_unit_range(torch.stack(pixels), 0, 255) if pixels else torch.zeros(0, *self.model.image_shape)

    def pixels(self, name: str) -> Tensor:
        """[C, H, W] uint8."""
        if name not in self._pixels:
            raise GenaeError("a picture is no longer kept here; add it to the page again")
        self._pixels.move_to_end(name)
        return self._pixels[name]

    def png(self, name: str) -> bytes:
        """A picture as a PNG file. Raises `GenaeError` as `images` does."""
        return png(self.images([name])[0])

    def zipped(self, names: Sequence[str]) -> bytes:
        """A .zip of the pictures in their order, which every command takes as ``--data``."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for number, image in enumerate(self.images(names)):
                archive.writestr(f"pictures/{number:03d}.png", png(image))
        return buffer.getvalue()

    def _keep(self, pixels: Tensor) -> str:
        name = hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()[:24]
        if name not in self._pixels:
            self._pixels[name] = pixels.contiguous()
            self._total += pixels.nbytes
        self._pixels.move_to_end(name)
        while self._total > self.kept and len(self._pixels) > 1:
            self._total -= self._pixels.popitem(last=False)[1].nbytes
        return name


def _check_size(content: bytes) -> None:
    """Raises `GenaeError` for a file that is too large, or whose header is that of no picture or of a huge one."""
    if len(content) > MOST_BYTES:
        raise GenaeError(f"the file has {len(content) / 1e6:.1f} MB; expected at most {MOST_BYTES / 1e6:.0f}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:  # reads the header alone
                width, height = opened.size
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        raise GenaeError(f"this is not a picture; expected {', '.join(FORMATS)}") from None
    if width * height > MOST_PIXELS:
        raise GenaeError(f"the picture has {width} x {height} pixels; expected at most {MOST_PIXELS:,} in all")
