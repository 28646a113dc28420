"""Networks whose features the metrics compare. Each carries a name, a hash of its weights, and its own resize."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from genae.errors import GenaeError
from genae.losses import in_float64
from genae.networks.arithmetic import exact_float32


class Observed(NamedTuple):
    """What a network says of a batch; on the CPU."""

    features: Tensor
    """[B, D] float32."""
    probabilities: Tensor | None
    """[B, classes] float64; None for networks that do not classify."""


@dataclass(frozen=True)
class FeatureNetwork:
    """Images [B, C, H, W] uint8 -> `Observed`. Everything done to the pixels is in here: no caller can feed another
    range or resize.
    """

    name: str
    suffix: str
    """What a metric's name carries: ``classifier`` in ``fd10k-classifier``; empty for Inception as published."""
    digest: str
    """Hash of its weights."""
    resize: str
    """How it resizes images: filter and side, or ``none``."""
    compute: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    """Images -> features and logits, on any device."""
    details: Mapping[str, object] = field(default_factory=dict)
    """What else belongs into a fingerprint."""

    def __call__(self, images: Tensor) -> Observed:
        """Evaluate a batch, in `exact_float32`."""
        with torch.no_grad(), exact_float32():
            features, logits = self.compute(images)
        if not features.isfinite().all():
            raise GenaeError(f"{self.name} gave features that are NaN or infinite: its weights are damaged")
        return Observed(features.float().cpu(), None if logits is None else in_float64(logits).softmax(1).cpu())

    @property
    def protocol(self) -> dict[str, object]:
        """Its part of a fingerprint."""
        return {"network": self.name, "network_digest": self.digest, "network_resize": self.resize, **self.details}
