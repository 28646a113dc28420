"""Images from picture files, in a folder or in a zip of one."""

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from genae.data.builtin import Raw
from genae.data.lists import SPLIT_FOLDERS, Lists, is_list, read_lists
from genae.data.transforms import FITS, RESIZE, resize, resize_name, size_of
from genae.errors import GenaeError

EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def list_pictures(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """The names of every picture below a folder, or in a zip of one, sorted; and how to read one.

    In a zip, a folder that holds all of them is opened, as unpacking and entering it would. Raises `GenaeError` where
    there are none.
    """
    names, read = _files(path)
    pictures = [name for name in names if _is_picture(name)]
    if not pictures:
        raise GenaeError(f"{path} holds no images; expected files ending in {', '.join(sorted(EXTENSIONS))}")
    return pictures, read


def _files(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """Pictures and lists of splits, sorted by name."""

    def wanted(name: str) -> bool:
        hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
        return not hidden and (_is_picture(name) or is_list(name))

    if path.is_dir():
        found = (f.relative_to(path).as_posix() for f in path.rglob("*"))
        return sorted(filter(wanted, found)), lambda name: (path / name).read_bytes()
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise GenaeError(f"{path} is not a readable zip file: {error}") from None
    stored = list(filter(wanted, archive.namelist()))
    tops = {n.split("/")[0] + "/" if "/" in n else "" for n in stored}
    top = tops.pop() if len(tops) == 1 else ""
    if top.lower().rstrip("/") in SPLIT_FOLDERS:
        top = ""
    return sorted(n.removeprefix(top) for n in stored), lambda name: archive.read(top + name)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def read_pictures(source: Path, size: tuple[int, int] | None, fit: str, channels: int | None, skip_bad: bool) -> Raw:
    """Every picture below a folder, or in a zip of one."""
    names, read = list_pictures(source)
    lists = read_lists(_files(source)[0], names, read)
    total = len(names)
    if lists.splits:
        names = sorted({name for split in lists.splits.values() for name in split})
    images: list[Tensor] = []
    kept: list[str] = []
    bad: list[str] = []
    formats: set[str] = set()
    sizes: Counter[str] = Counter()
    depths: Counter[int] = Counter()
    for name in names:
        try:
            data = read(name)
            image = decode(data, channels)
        except UnidentifiedImageError:
            bad.append(f"{name} (not a picture)")
        except Exception as error:
            bad.append(f"{name} ({error})")
        else:
            sizes[size_of(image)] += 1
            depths[image.shape[0]] += 1
            images.append(resize(image, size, fit) if size else image)
            kept.append(name)
            with Image.open(io.BytesIO(data)) as opened:
                formats.add(file_format(opened))
    if bad and not skip_bad:
        shown = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
        raise GenaeError(f"{len(bad)} of {len(names)} files in {source} are unreadable: {shown} (--skip-bad goes on)")
    if not images:
        raise GenaeError(f"none of the {len(names)} files in {source} is a readable image")
    if len(depths) > 1:
        found = ", ".join(f"{n} with {c}" for c, n in sorted(depths.items()))
        raise GenaeError(f"{source} mixes channel counts ({found}); choose one with --channels 1, 3 or 4")
    if not size and len(sizes) > 1:
        raise GenaeError(
            f"{source} holds images of {len(sizes)} sizes (most often {sizes.most_common(1)[0][0]}); "
            "choose one with --size, for example --size 64"
        )
    if len({image.dtype for image in images}) > 1:
        raise GenaeError(f"{source} mixes 8-bit and deeper images; convert them to one depth")
    pixels = torch.stack(images)
    depth = 65535 if pixels.dtype == torch.int32 else None
    labels, classes, splits = _labels_and_splits(kept, lists)
    listed = f" of {total}, as {' and '.join(lists.splits)} lists say" if lists.splits else ""
    notes = [f"{len(kept)}{listed} image files, {next(iter(sizes)) if len(sizes) == 1 else f'{len(sizes)} sizes'}"]
    resized = resize_name(size, fit) if size and set(sizes) != {f"{size[0]}x{size[1]}"} else "none"
    if size and resized != "none":
        notes.append(f"resized to {size[0]}x{size[1]} ({RESIZE}): {FITS[fit]}")
    if bad:
        notes.append(f"{len(bad)} unreadable files skipped: {', '.join(bad[:3])}")
    deep = pixels.float() if depth else pixels
    return Raw(
        deep, labels, classes, splits, depth=depth, names=tuple(kept), notes=tuple(notes),
        format=formats_name(formats), resize=resized,
    )  # fmt: skip


def file_format(picture: Image.Image) -> str:
    """``lossless`` for formats that keep every pixel; ``jpeg-qN`` with its quality, ``gif``, ... for others."""
    tables = getattr(picture, "quantization", None)
    if tables:  # the quality in libjpeg's scale, from the mean of the first table (57.625 at quality 50)
        scale = 100 * sum(tables[0]) / len(tables[0]) / 57.625
        return f"jpeg-q{round(5000 / scale if scale > 100 else (200 - scale) / 2)}"
    if picture.format in ("PNG", "BMP", "PPM"):
        return "lossless"
    if picture.format == "TIFF" and "jpeg" not in str(picture.info.get("compression")):
        return "lossless"
    return str(picture.format).lower()


def formats_name(formats: set[str]) -> str:
    """The formats of many files, as fingerprints say it; more than three are ``various``."""
    kinds = {kind.partition("-")[0] for kind in formats}
    return "+".join(sorted(formats)) if len(formats) <= 3 else f"{'+'.join(sorted(kinds))} (various)"


def decode(data: bytes, channels: int | None) -> Tensor:
    """An encoded picture -> [C, H, W]: uint8, int32 for 16-bit files, or finite float32."""
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        picture = ImageOps.exif_transpose(opened)
        if opened.format == "PNG" and data[24] == 16 and picture.mode in ("RGB", "RGBA", "LA"):
            return _decode_deep(data)  # Pillow would cut it to 8 bits
        if picture.mode in ("1", "CMYK", "YCbCr", "LAB", "HSV"):
            picture = picture.convert("L" if picture.mode == "1" else "RGB")
        elif picture.mode in ("P", "PA"):
            picture = picture.convert("RGBA" if picture.mode == "PA" or "transparency" in picture.info else "RGB")
        if channels in MODES and len(picture.getbands()) != channels and picture.mode in ("L", "LA", "RGB", "RGBA"):
            picture = picture.convert(MODES[channels])
        array = np.array(picture)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("it holds NaN or infinite values")
    if array.dtype != np.uint8:
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
    return torch.from_numpy(array if array.ndim == 3 else array[:, :, None]).permute(2, 0, 1).contiguous()


def _decode_deep(data: bytes) -> Tensor:
    from torchvision.io import ImageReadMode, decode_image

    return decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.UNCHANGED).to(torch.int32)


def _labels_and_splits(names: Sequence[str], lists: Lists) -> tuple[Tensor | None, tuple[str, ...], dict[str, Tensor]]:
    """Splits are those of lists, or of folders named train, val or test; class folders below become labels."""
    if lists.splits:
        place = {name: i for i, name in enumerate(names)}
        splits = {s: torch.tensor([place[n] for n in found if n in place]) for s, found in lists.splits.items()}
        return *_labels([lists.class_of(name) for name in names]), splits
    folders = [Path(name).parts[:-1] for name in names]
    splits = {}
    if all(parts and parts[0].lower() in SPLIT_FOLDERS for parts in folders):
        tops = [SPLIT_FOLDERS[parts[0].lower()] for parts in folders]
        splits = {s: torch.tensor([i for i, top in enumerate(tops) if top == s]) for s in sorted(set(tops))}
        folders = [parts[1:] for parts in folders]
    return *_labels([parts[0] if parts else "" for parts in folders]), splits


def _labels(folders: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """A class number for every picture, if each is in a folder and there are at least two."""
    classes = tuple(sorted(set(folders)))
    if not all(folders) or len(classes) < 2:
        return None, ()
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number[folder] for folder in folders]), classes
