"""Pictures: labelled grids of images."""

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from genae.data.transforms import to_uint8
from genae.model import Model
from genae.protocol import Prior
from genae.storage import WRITER, replace, write_atomically

INK, PAPER, GAP = (40, 40, 46), (255, 255, 255), 2
ROWS, COLUMN_GAP, LONGEST_NAME = 25, 24, 24
"""Of a grid of classes: rows of a column at most, pixels between two columns, letters of a class's name."""
EACH = 8
"""Samples of each class, where several are shown."""


def to_picture(image: Tensor) -> Image.Image:
    """One image [C, H, W] in [-1, 1] as a picture: grey, RGB, RGBA; of other channel counts the first three, or one."""
    channels = image.shape[0] if image.shape[0] in (1, 3, 4) else 3 if image.shape[0] > 4 else 1
    pixels = to_uint8(image[:channels]).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def grid(
    images: Tensor, rows: Sequence[str] = (), columns: Sequence[str] = (), title: str = "", cell: int = 64
) -> Image.Image:
    """Images [R, K, C, H, W] as a labelled grid; small ones are enlarged by a whole factor to about ``cell`` pixels."""
    height, width = images.shape[-2:]
    scale = max(1, round(cell / max(height, width)))
    step_x, step_y = width * scale + GAP, height * scale + GAP
    words = "".join((title, *rows, *columns))
    font, small = _font(15, words), _font(12, words)
    left = max([round(small.getlength(text)) + 12 for text in rows], default=0)
    top = (26 if title else 0) + (20 if any(columns) else 0)
    size = (left + step_x * images.shape[1] + GAP, top + step_y * images.shape[0] + GAP)
    paper = Image.new("RGB", (max(size[0], round(font.getlength(title)) + 12), size[1]), PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((6, 4), title, fill=INK, font=font)
    for r, row in enumerate(images):
        if r < len(rows):
            pen.text((left - 6, top + step_y * r + step_y // 2), rows[r], fill=INK, font=small, anchor="rm")
        for k, image in enumerate(row):
            picture = to_picture(image).resize((width * scale, height * scale), Image.Resampling.NEAREST)
            mask = picture if picture.mode == "RGBA" else None
            paper.paste(picture.convert("RGB"), (left + GAP + step_x * k, top + GAP + step_y * r), mask)
    for k, text in enumerate(columns[: images.shape[1]]):
        pen.text((left + GAP + step_x * k + step_x // 2, top - 4), text, fill=INK, font=small, anchor="mb")
    return paper


def _font(size: int, words: str) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, or for words beyond ASCII, which it lacks, that of matplotlib."""
    home = None if words.isascii() else find_spec("matplotlib")
    if home is None or home.origin is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(Path(home.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def sheet(images: Tensor, title: str = "") -> Image.Image:
    """Images [N, C, H, W] in a grid about as wide as high."""
    across = max(1, round(len(images) ** 0.5))
    blank = images.new_ones(-len(images) % across, *images.shape[1:])
    return grid(torch.cat([images, blank]).unflatten(0, (-1, across)), title=title)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG under a temporary name and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(png(picture))
    replace(temporary, path)


def png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file, in the resolution (dots per inch) that it names, if any."""
    written_by = PngInfo()
    written_by.add_text("Software", WRITER)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", dpi=picture.info.get("dpi"), pnginfo=written_by)
    return buffer.getvalue()


def save_animation(images: Tensor, path: Path | io.BytesIO, seconds: float = 0.08, side: int = 128) -> None:
    """Write images [K, C, H, W] as an endless GIF; small ones are enlarged by a whole factor to about ``side``."""
    scale = max(1, round(side / max(images.shape[-2:])))
    size = (images.shape[-1] * scale, images.shape[-2] * scale)
    frames = [to_picture(image).convert("RGB").resize(size, Image.Resampling.NEAREST) for image in images]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 * seconds), loop=0, comment=WRITER
    )
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    else:
        path.write(buffer.getvalue())


def space_title(space: str) -> str:
    """How a space is called in labels."""
    return "through the code" if space == "code" else f"through {space}"


def reconstruction_grid(model: Model, images: Tensor, truncation: float = 1.0) -> Image.Image:
    """Inputs and every reconstruction, one row each (SWAE Fig. 5a); truncated ones through the code alone."""
    spaces = (truncation == 1 and model.spaces) or ["code"]  # a model without encoder says so
    rows = [images, *(model.reconstruct(images, space, truncation) for space in spaces)]
    title = f"Reconstructions{_truncated(truncation)}"
    return grid(torch.stack(rows), ["input", *map(space_title, spaces)], title=title)


def sample_grid(model: Model, count: int, seed: int, prior: str) -> Image.Image:
    """Samples of one prior."""
    return sheet(model.sample(count, seed, prior), sample_title(prior, seed))


def sample_title(prior: str, seed: int, truncation: float = 1.0, guidance: float = 1.0) -> str:
    """How a figure of samples is called."""
    guided = f", guidance {guidance:g}" if guidance != 1 else ""
    return f"Samples, {prior} prior, seed {seed}{guided}{_truncated(truncation)}"


def class_grid(images: Tensor, classes: Sequence[str], title: str) -> Image.Image:
    """Images [K, N, C, H, W] of K classes: a row for each, with its name; many stand in several columns of rows."""
    rows = -(-len(classes) // -(-len(classes) // ROWS))  # of each column, as equal as they can be
    names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in classes]
    columns = [grid(images[i : i + rows], names[i : i + rows]) for i in range(0, len(classes), rows)]
    widths = [column.width for column in columns]
    font = _font(15, title)
    width = max(sum(widths) + COLUMN_GAP * (len(columns) - 1), round(font.getlength(title)) + 12)
    paper = Image.new("RGB", (width, 26 + columns[0].height), PAPER)
    ImageDraw.Draw(paper).text((6, 4), title, fill=INK, font=font)
    for number, column in enumerate(columns):
        paper.paste(column, (sum(widths[:number]) + COLUMN_GAP * number, 26))
    return paper


def _truncated(psi: float) -> str:
    return "" if psi == 1 else f", truncation {psi:g}"


def mixing_grid(model: Model, destinations: Tensor, sources: Mapping[str, Tensor]) -> Image.Image:
    """Destinations along the top, sources down the side; each place is the destination of its column with the styles of
    its row's source in the band of the row (ALAE Fig. 9). ``sources``: band -> images."""
    columns = torch.cat([torch.ones_like(destinations[:1]), destinations])
    rows, labels = [columns], ["destination"]
    for band, images in sources.items():
        mixed = model.mix(destinations, images, band)
        rows += list(torch.cat([images[:, None], mixed], 1))
        labels += [f"{band} from"] * len(images)
    return grid(torch.stack(rows), labels, title="Styles of the images on the left, the rest from those above")


def interpolation_grid(
    model: Model, a: Tensor, b: Tensor, steps: int = 9, space: str = "code", kind: str = "linear"
) -> Image.Image:
    """A row per pair: the image a, the path, the image b (SWAE Fig. 7)."""
    path = model.interpolate(a, b, steps, space, kind)
    images = torch.cat([a[:, None], path, b[:, None]], dim=1)
    columns = ["image", *(f"{t:.2g}" for t in torch.linspace(0, 1, steps).tolist()), "image"]
    return grid(images, columns=columns, title=f"Interpolation, {space} space, {kind}")


def is_mapped(prior: Prior) -> bool:
    """Whether ways in its z are worth a picture: with an encoder, images themselves are interpolated there."""
    return prior.has_latent and not prior.has_encoder


def traversal_grid(model: Model, prior: str, pairs: int = 4, seed: int = 0, title: str = "") -> Image.Image:
    """Two rows per pair of samples: the way in the prior's z, the way in codes (ALAE Fig. 4)."""
    ways = model.traverse(pairs, prior=prior, seed=seed)
    labels = [f"{pair + 1}: {where}" for pair in range(pairs) for where in ("in z", "in codes")]
    return grid(ways.flatten(0, 1), labels, title=title or f"Between two samples of the {prior} prior")


def manifold_grid(model: Model, images: Tensor, side: int = 9, space: str = "code") -> Image.Image:
    """A bilinear grid between the codes of four images (SWAE Fig. 6)."""
    title = f"{'Code' if space == 'code' else space} space between four images"
    return grid(model.manifold(images, side, side, space), title=title, cell=48)


def edit_grid(
    model: Model,
    codes: Tensor,
    along: Tensor,
    name: str,
    strengths: Sequence[float],
    band: str | None = None,
    images: Tensor | None = None,
) -> Image.Image:
    """A row per code, moved along an attribute's direction (SWAE Fig. 8), in all layers or in those of a band. The
    ``images`` that the codes are of stand in the first column, if they are given."""
    columns = [f"{s:+g}" if s else "0" for s in strengths]
    edited = model.edit(codes, along, strengths, band)
    if images is not None:
        columns, edited = ["image", *columns], torch.cat([images[:, None], edited], 1)
    title = f"Moved towards {name}" + (f" in the {band} layers" if band else "")
    return grid(edited, columns=columns, title=title)


def lit(images: Tensor, shares: Tensor) -> Tensor:
    """Images [..., C, H, W] in [-1, 1] in darkened grey, coloured orange by ``shares`` [..., 1, H, W] in [0, 1]: so
    that a share shows on a black picture as on a white one. Three channels."""
    grey = in_colour(images).mean(-3, keepdim=True)
    orange = images.new_tensor([1.0, 0.1, -0.7]).view(3, 1, 1)
    dark = 0.6 * (grey + 1) - 1
    return dark + 0.8 * shares * (orange - dark)


def in_colour(images: Tensor) -> Tensor:
    """Images [..., C, H, W] with three channels: grey ones repeated, of more the first three."""
    return (
        images[..., :3, :, :] if images.shape[-3] > 2 else images[..., :1, :, :].expand(*images.shape[:-3], 3, -1, -1)
    )
