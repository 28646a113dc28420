"""Codes of every layer: style mixing by resolution, and truncation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from genae.errors import GenaeError, nearest
from genae.latent.paths import lerp

BANDS = {"coarse": (4, 8), "middle": (16, 32), "fine": (64, 1024)}
"""Resolutions of the layers whose styles are exchanged (ALAE Fig. 9; Karras et al. 2019, Fig. 3)."""
TRUNCATED_LAYERS = 8  # up to 32 x 32 pixels: truncating finer styles changes colours, not shapes


def band_layers(band: str, layers: int) -> list[int]:
    """Numbers of the layers of a band: a name in `BANDS`, or resolutions such as ``4-8`` or ``16``. `GenaeError`."""
    try:
        low, high = BANDS[band] if band in BANDS else [int(n) for n in (band.split("-") * 2)[:2]]
    except ValueError:
        near = nearest(band, BANDS)
        raise GenaeError(f"band is {band!r}; {near}, or resolutions such as 4-8") from None
    numbers = [layer for layer in range(layers) if low <= 4 * 2 ** (layer // 2) <= high]
    if not numbers:
        raise GenaeError(
            f"no layer works at {low} to {high} pixels; this model's work at 4 to {4 * 2 ** ((layers - 1) // 2)}"
        )
    return numbers


def bands_of(layers: int) -> list[str]:
    """Names of the bands that a model with so many layers has; none without styles."""
    highest = 4 * 2 ** ((layers - 1) // 2)
    return [band for band, (low, _) in BANDS.items() if low <= highest] if layers > 1 else []


def every_layer(codes: Tensor, layers: int) -> Tensor:
    """Codes [N, D], the same for every layer, as [N, layers, D]; codes that have layers stay as they are."""
    return codes if codes.ndim == 3 else codes[:, None].expand(-1, layers, -1)


def mix(destination: Tensor, source: Tensor, layers: list[int]) -> Tensor:
    """Codes [N, layers, D] of ``destination``, with those of ``source`` in the layers named (ALAE Fig. 9)."""
    mixed = destination.clone()
    mixed[:, layers] = source[:, layers]
    return mixed


def truncate(codes: Tensor, centre: Tensor, psi: float) -> Tensor:
    """centre + psi (w - centre): codes [N, D] or [N, layers, D] towards the mean code, [D] or one for each code.

    Of codes with layers only the first `TRUNCATED_LAYERS`. Karras et al. 2019, Section 3.3 and appendix B.
    """
    near = lerp(centre, codes, psi)
    if codes.ndim == 2:
        return near
    return torch.cat([near[:, :TRUNCATED_LAYERS], codes[:, TRUNCATED_LAYERS:]], 1)


def mixing_example(images: Tensor, layers: int, bands: Sequence[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
    """An example to show: up to six of the images [N, C, H, W] as destinations, and for each band (by default all that
    a model of so many layers has) two others that give their styles."""
    bands = bands or bands_of(layers)
    destinations = images[: min(6, len(images) // 2)]
    sources = {}
    for place, band in enumerate(bands):
        numbers = [(len(destinations) + 2 * place + i) % len(images) for i in (0, 1)]
        sources[band] = images[numbers]
    return destinations, sources
