"""How well a run's anomaly scores tell foreign pictures from its test images.

    python benchmarks/anomalies.py RUN [--likelihood flow] [--data-root FOLDER] [--count 2000] [--other SOURCE ...]
    python benchmarks/anomalies.py --leave-out 4 FOLDER

Prints a row for every set of pictures: the area under the ROC curve of each number against the run's test images, and
the share of the pictures above the threshold. The sets are the test images themselves, changed; letters and digits that
are drawn with Matplotlib's fonts; strokes, a dot and blank pictures; the built-in shapes; and every ``--other`` source.
Letters are as large as the handwriting and lie in the middle; those that look like digits are left out.

``--leave-out`` writes the built-in digits to two files: all but one class, to train on, and that class alone.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import roc_auc_score
from torch import Tensor

from genae.data.builtin import digits
from genae.data.sources import ImageData
from genae.model import Model, load
from genae.operations.detector import Anomalies, Detector
from genae.progress import silent

FONTS = [
    Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    for name in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif",
                 "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10")
]  # fmt: skip
FINE = 8  # strokes are drawn so many times larger


def main() -> None:
    """Print the table, or write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--likelihood", default="flow", help="a prior with a density")
    parser.add_argument("--data-root")
    parser.add_argument("--count", type=int, default=2000, help="images of a set, at most")
    parser.add_argument("--other", nargs="*", default=[])
    parser.add_argument("--leave-out", type=int)
    arguments = parser.parse_args()
    if arguments.leave_out is not None:
        leave_out(arguments.leave_out, arguments.run)
        return
    model = load(arguments.run)
    data = model.open_data(data_root=arguments.data_root)
    detectors = [Detector.learn(model, data, arguments.run, likelihood) for likelihood in ("", arguments.likelihood)]
    indices = data.split("test")[: arguments.count]
    usual = [detector.judge_data(data, indices, silent) for detector in detectors]
    above = [f"{100 * float(judged.anomalous.double().mean()):.1f} %" for judged in usual]
    print(f"{arguments.run.name}, {len(indices)} test images, likelihood {arguments.likelihood}")
    header = ["", "error", "rarity", "nats", "nats from their mean", "score", "with nats", "above", "with nats"]
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
    print(f"| test images | | | | | | | {' | '.join(above)} |")
    for name, pictures in sets(model, data.images(indices), arguments.count):
        row([detector.judge(pictures) for detector in detectors], usual, name)
    for source in arguments.other:
        other = model.open_data(source)
        everything = torch.arange(min(len(other), arguments.count))
        row([detector.judge_data(other, everything, silent) for detector in detectors], usual, source)


def row(judged: list[Anomalies], usual: list[Anomalies], name: str) -> None:
    """Of a set: areas under the ROC curve, and shares above the threshold, without and with a likelihood."""
    typical = usual[1].nats.mean()

    def numbers(without: Anomalies, having: Anomalies) -> list[Tensor]:
        away = (having.nats - typical).abs()
        return [without.error, without.rarity, having.nats, away, without.score, having.score]

    areas = []
    for foreign, own in zip(numbers(*judged), numbers(*usual), strict=True):
        is_foreign = [0] * len(own) + [1] * len(foreign)
        areas.append(f"{roc_auc_score(is_foreign, torch.cat([own, foreign]).numpy()):.3f}")
    above = [f"{100 * float(each.anomalous.double().mean()):.1f} %" for each in judged]
    print(f"| {name} | {' | '.join(areas + above)} |", flush=True)


def sets(model: Model, test: Tensor, count: int) -> Iterator[tuple[str, Tensor]]:
    """Names and pictures [N, C, H, W] in [-1, 1], from test images and from nothing."""
    _, height, width = model.image_shape
    generator, random = torch.Generator().manual_seed(0), np.random.default_rng(0)
    middle = test.clone()
    rows, columns = (slice(side // 2 - side // 8, side // 2 + side // 8) for side in (height, width))
    middle[:, :, rows, columns] = -1
    yield "rotated by 90 degrees", test.rot90(1, (2, 3))
    yield "upside down", test.flip(2)
    noise = 0.3 * torch.randn(test.shape, generator=generator)
    yield "with noise of standard deviation 0.3", (test + noise).clamp(-1, 1)
    yield "negatives", -test
    yield "a quarter of the side blacked out in the middle", middle
    yield "at half the contrast", (test - 1) / 2
    yield "the upper half alone", torch.cat([test[:, :, : height // 2], -torch.ones_like(test[:, :, height // 2 :])], 2)
    yield "two images in one", torch.maximum(test, test.roll(1, 0))
    side, few = side_of_writing(test), min(count, 500)
    for name, characters in (
        ("printed capital letters", "ABCDEFGHJKLMNPQRTUVWXY"),
        ("printed small letters", "acdefhijkmnprtuvwxy"),
        ("printed digits", "0123456789"),
    ):
        yield name, torch.cat([printed(characters, model, side, random) for _ in range(few)])
    for strokes in (1, 2, 3):
        name = f"{strokes} straight stroke{'s' if strokes > 1 else ''}"
        yield name, torch.cat([stroked(strokes, model, side, random) for _ in range(few)])
    yield "a dot", torch.cat([stroked(0, model, side, random) for _ in range(few)])
    yield "black", -torch.ones(1, *model.image_shape)
    yield "white", torch.ones(1, *model.image_shape)
    yield "shapes", some_of(model.open_data("shapes"), few)


def some_of(data: ImageData, count: int) -> Tensor:
    """The first images."""
    return data.images(torch.arange(count))


def side_of_writing(images: Tensor) -> int:
    """The usual longer side of what is brighter than a quarter, in pixels."""
    sides = []
    for image in images[:500]:
        rows, columns = (image.amax(0) > -0.5).nonzero(as_tuple=True)
        sides.append(1 + max(int(rows.max() - rows.min()), int(columns.max() - columns.min())))
    return int(np.median(sides))


def printed(characters: str, model: Model, side: int, random: np.random.Generator) -> Tensor:
    """One of the characters [1, C, H, W] in one of the fonts, a little turned, ``side`` pixels long, in the middle."""
    channels, height, width = model.image_shape
    font = ImageFont.truetype(str(random.choice(FONTS)), 96)  # type: ignore[arg-type]
    large = Image.new("L", (256, 256))
    ImageDraw.Draw(large).text((80, 60), random.choice(list(characters)), 255, font=font)
    turned = large.rotate(random.uniform(-10, 10), Image.Resampling.BICUBIC)
    tight = turned.crop(turned.getbbox())
    long, high = (max(1, round(side / max(tight.size) * length)) for length in tight.size)
    small = tight.resize((long, high), Image.Resampling.BOX)
    page = Image.new("L", (width, height))
    page.paste(small, ((width - small.width) // 2, (height - small.height) // 2))
    return as_picture(page, channels)


def stroked(strokes: int, model: Model, side: int, random: np.random.Generator) -> Tensor:
    """Straight strokes [1, C, H, W] as wide as a pen's, or without one a dot."""
    channels, height, width = model.image_shape
    large = Image.new("L", (width * FINE, height * FINE))
    drawing, centre = ImageDraw.Draw(large), np.array([width, height]) * FINE / 2
    pen = side * FINE / 8

    def place() -> tuple[float, float]:
        x, y = centre + random.uniform(-side / 2, side / 2, 2) * FINE
        return float(x), float(y)

    for _ in range(strokes):
        drawing.line([place(), place()], fill=255, width=round(pen))
    if not strokes:
        x, y = place()
        drawing.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=255)
    return as_picture(large.resize((width, height), Image.Resampling.BOX), channels)


def as_picture(page: Image.Image, channels: int) -> Tensor:
    """[1, C, H, W] in [-1, 1]."""
    return torch.from_numpy(np.asarray(page, np.float32) / 127.5 - 1).expand(1, channels, -1, -1)


def leave_out(label: int, folder: Path) -> None:
    """``rest.npz`` with images and labels of the other classes, and ``left-out.npz``."""
    raw = digits()
    images, labels = raw.store.read(torch.arange(len(raw.store))).numpy(), raw.labels
    assert labels is not None
    own = (labels == label).numpy()
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "rest.npz", images=images[~own], labels=labels.numpy()[~own])
    np.savez(folder / "left-out.npz", images=images[own], labels=labels.numpy()[own])
    print(f"genae train aaae --data {folder}/rest.npz --run {folder}/run")
    print(f"python benchmarks/anomalies.py {folder}/run --other {folder}/left-out.npz")


if __name__ == "__main__":
    main()
