"""What the same reconstructions measure as PSNR and SSIM under conventions that are in use (PatchVAE's Table 7).

    python benchmarks/psnr_conventions.py RUN [RUN ...]

Each RUN is a run folder, whose held-out images are used. The range of values is part of the measure: genae's is the
first.
"""

import argparse
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from genae.errors import GenaeError
from genae.metrics.reconstruction import psnr, ssim
from genae.model import load

MEAN, DEVIATION = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def unit(x: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1]."""
    return (x + 1) / 2


def normalised(x: Tensor) -> Tensor:
    """ImageNet's normalisation, -2.1 to 2.6: mean 0 and deviation 1 over ImageNet."""
    return (unit(x) - MEAN) / DEVIATION


CONVENTIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "[0, 1], peak 1": (unit, 1.0),
    "[-1, 1], peak 2": (lambda x: x, 2.0),
    "[-1, 1], peak 1": (lambda x: x, 1.0),
    "0 to 255, peak 1": (lambda x: 255 * unit(x), 1.0),
    "ImageNet-normalised, peak 1": (normalised, 1.0),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    for run in parser.parse_args().runs:
        try:
            model = load(run)
            data = model.open_data()
        except GenaeError as error:
            sys.exit(f"skipped: {error}")
        if model.image_shape[0] != 3:
            sys.exit(f"skipped: {run} has images of {model.image_shape[0]} channels; ImageNet's normalisation needs 3")
        x = data.images(data.split("test"))
        ways = {"reconstructions": model.reconstruct(x), "the mean training image": _mean(data, x)}
        print(f"{run}: {len(x)} held-out images of {data.name}, means over images")
        for name, x_hat in ways.items():
            print(f"  {name}")
            for convention, (convert, peak) in CONVENTIONS.items():
                a, b = convert(x_hat.clamp(-1, 1)), convert(x)
                print(
                    f"    {convention:28} PSNR {float(psnr(a, b, peak).mean()):7.3f} dB   SSIM {_ssim(a, b, peak):.3f}"
                )
        target = normalised(x)
        print(f"  normalised, peak 1: most that an output in [-1, 1] can reach "
              f"{10 * float(torch.log10(1 / (target.clamp(-1, 1) - target).square().mean())):.3f} dB")  # fmt: skip


def _mean(data, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    total = sum(data.images(part).sum(0) for part in data.split("train").split(1000))
    return (total / len(data.split("train"))).expand_as(x)


def _ssim(a: Tensor, b: Tensor, peak: float) -> float:
    parts = [ssim(p, q, 0, peak) for p, q in zip(a.split(500), b.split(500), strict=True)]
    return float(torch.cat(parts).mean())


if __name__ == "__main__":
    main()
