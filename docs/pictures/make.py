"""Compose the README's picture from the figures of a run: ``python docs/pictures/make.py runs/mnist-small``."""

import sys
from pathlib import Path

from PIL import Image


def main() -> None:
    """Reconstructions above, samples and edits below."""
    figures = Path(sys.argv[1]) / "figures"
    above, left, right = (Image.open(figures / f"{n}.png") for n in ("reconstructions", "samples-normal", "edit"))
    width = max(above.width, left.width + right.width)
    sheet = Image.new("RGB", (width, above.height + 16 + max(left.height, right.height)), "white")
    sheet.paste(above, (0, 0))
    sheet.paste(left, (0, above.height + 16))
    sheet.paste(right, (left.width, above.height + 16))
    sheet.save(Path(__file__).with_name("mnist.png"), optimize=True)


if __name__ == "__main__":
    main()
