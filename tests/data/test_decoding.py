"""Single pictures: depths, channels, orientation."""

import io
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image, PngImagePlugin

from genae.data.decoding import plain_jpeg, read_header, read_picture
from genae.data.sources import open_data
from tests.reading import pixels_of


def test_sixteen_bit_and_rgba_files(tmp_path: Path) -> None:
    for folder, picture in {
        "deep": Image.fromarray(np.full((6, 5), 40_000, np.uint16)),
        "alpha": Image.fromarray(np.full((6, 5, 4), 200, np.uint8)),
        "grey": Image.fromarray(np.full((6, 5), 200, np.uint8)),
    }.items():
        (tmp_path / folder).mkdir()
        for i in range(4):
            picture.save(tmp_path / folder / f"{i}.png")
    deep = open_data(str(tmp_path / "deep"))
    assert float(deep.images(torch.tensor([0])).mean()) == pytest.approx(40_000 / 65_535 * 2 - 1, abs=1e-6)
    assert open_data(str(tmp_path / "alpha")).image_shape == (4, 6, 5)
    assert open_data(str(tmp_path / "alpha"), channels=3).image_shape == (3, 6, 5)
    assert open_data(str(tmp_path / "grey")).image_shape == (1, 6, 5)
    narrow = open_data(str(tmp_path / "deep"), value_range=(0, 50_000))
    assert float(narrow.images(torch.tensor([0])).mean()) == pytest.approx(0.6)


def test_sixteen_bit_colour_keeps_its_depth(tmp_path: Path, png16: Callable[[np.ndarray], bytes]) -> None:
    from torchvision.io import decode_image, write_png

    write_png(torch.zeros(3, 4, 5, dtype=torch.uint8), str(tmp_path / "eight.png"))
    assert decode_image(str(tmp_path / "eight.png")).shape == (3, 4, 5)
    (tmp_path / "deep").mkdir()
    for i in range(3):
        (tmp_path / "deep" / f"{i}.png").write_bytes(png16(np.full((4, 5, 3), 4000 + i, np.uint16)))
    data = open_data(str(tmp_path / "deep"))
    assert (data.low, data.high) == (0, 65535)
    assert pixels_of(data)[1].unique().tolist() == [4001]


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(20 * 12, dtype=np.uint8).reshape(20, 12))
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    for i in range(3):
        picture.save(tmp_path / f"{i}.png", exif=exif)
    assert open_data(str(tmp_path)).image_shape == (1, 12, 20)


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", **options)
    return buffer.getvalue()


def smooth(height: int, width: int) -> np.ndarray:
    """[H, W, 3]."""
    rising = np.add.outer(np.arange(height) * 3, np.arange(width) * 5)
    return (rising[..., None] * [1, 2, 3] % 256).astype(np.uint8)


def by_pillow(data: bytes, mode: str | None = None) -> np.ndarray:
    """[C, H, W]."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        array = np.array(picture.convert(mode) if mode else picture)
    return array.transpose(2, 0, 1) if array.ndim == 3 else array[None]


@pytest.fixture
def decoded_quickly(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What simplejpeg has decoded without complaint."""
    done: list[bytes] = []
    decode = simplejpeg.decode_jpeg

    def counted(data: bytes, *arguments: object) -> np.ndarray:
        pixels = decode(data, *arguments)
        done.append(data)
        return pixels

    monkeypatch.setattr(simplejpeg, "decode_jpeg", counted)
    return done


def test_jpegs_have_the_pixels_that_pillow_gives(decoded_quickly: list[bytes]) -> None:
    """Of every quality, subsampling and kind, at sides that no block divides: equal in every pixel."""
    random_numbers = np.random.default_rng(0)
    files = []
    for height, width in ((1, 1), (7, 1), (2, 3), (16, 16), (17, 33), (63, 50)):
        pixels = random_numbers.integers(0, 256, (height, width, 3)).astype(np.uint8)
        smooth = (np.add.outer(np.arange(height) * 3, np.arange(width) * 5)[..., None] * [1, 2, 3] % 256).astype(
            np.uint8
        )
        for array, quality, progressive in product((pixels, smooth), (5, 60, 95, 100), (False, True)):
            how = {"quality": quality, "progressive": progressive}
            files += [jpeg(array, subsampling=name, **how) for name in ("4:4:4", "4:2:2", "4:2:0")]
            files += [jpeg(array, keep_rgb=True, **how), jpeg(array[..., 0], **how)]
            files += [simplejpeg.encode_jpeg(array, quality, "RGB", name) for name in ("440", "411")]
    for data in files:
        picture = read_picture(data)
        assert np.array_equal(picture.pixels.numpy(), by_pillow(data))
        assert picture.channels == len(picture.pixels)
        assert np.array_equal(read_picture(data, 3).pixels.numpy(), by_pillow(data, "RGB"))
        assert read_header(data).plain_jpeg
        for channels in (None, 3):
            pixels = plain_jpeg(data, channels)
            assert pixels is not None
            assert np.array_equal(pixels.numpy(), by_pillow(data, "RGB" if channels else None))
    assert len(decoded_quickly) == 4 * len(files)


def test_jpegs_that_pillow_decodes(decoded_quickly: list[bytes]) -> None:
    """Grey from colours, other colours, turned ones."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3)).astype(np.uint8)
    assert np.array_equal(read_picture(jpeg(pixels), 1).pixels.numpy(), by_pillow(jpeg(pixels), "L"))
    assert np.array_equal(read_picture(jpeg(pixels), 4).pixels.numpy(), by_pillow(jpeg(pixels), "RGBA"))
    ink = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(ink, "jpeg")
    assert np.array_equal(read_picture(ink.getvalue()).pixels.numpy(), by_pillow(ink.getvalue(), "RGB"))
    assert not read_header(ink.getvalue()).plain_jpeg
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = jpeg(pixels, exif=exif)
    assert np.array_equal(read_picture(turned).pixels.numpy(), by_pillow(turned)[:, ::-1, ::-1])
    assert not decoded_quickly


def test_damaged_jpegs_are_judged_by_pillow() -> None:
    """Cut anywhere, or with any byte changed: refused if Pillow refuses, else with Pillow's pixels."""
    dice = random.Random(0)
    refused = taken = 0
    for progressive in (False, True):
        whole = jpeg(smooth(30, 40), quality=80, progressive=progressive)
        damaged = [whole[:end] for end in range(2, len(whole), 5)]
        damaged += [whole[:end] + b"\xff\xd9" for end in range(2, len(whole), 11)]
        for _ in range(400):
            place = dice.randrange(len(whole))
            damaged.append(whole[:place] + bytes([dice.randrange(256)]) + whole[place + 1 :])
        for data in damaged:
            try:
                expected = by_pillow(data)
            except Exception:  # whatever it raises
                refused += 1
                with pytest.raises(Exception):  # noqa: B017, PT011
                    read_picture(data)
            else:
                taken += 1
                assert np.array_equal(read_picture(data).pixels.numpy(), expected)
    assert min(refused, taken) > 100


@pytest.mark.parametrize("where", ["exif", "xmp"])
def test_headers_of_turned_pngs(where: str) -> None:
    """Their sizes are those of the turned picture."""
    exif, extra = Image.Exif(), PngImagePlugin.PngInfo()
    if where == "exif":
        exif[0x0112] = 6
    else:
        extra.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    buffer = io.BytesIO()
    Image.new("RGB", (5, 3)).save(buffer, "PNG", exif=exif, pnginfo=extra)
    header = read_header(buffer.getvalue())
    assert (header.height, header.width) == (5, 3) == tuple(read_picture(buffer.getvalue()).pixels.shape[1:])
