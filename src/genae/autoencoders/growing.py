"""What models that grow share: how many pixels they see after how many images, in which batches, at which rate.

Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs (2018), Section 2. Level n has 4 x 2^n pixels. Networks hold
the blocks of every level from the start.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor

from genae.networks.progressive import Blend
from genae.networks.style_layers import channels_of, doubled, halved, levels_of
from genae.protocol import Autoencoder, Stage, at_least

Number = TypeVar("Number", int, float)


class Growing(Autoencoder):
    """A model that grows from 4 x 4 pixels. A subclass builds ``decoder``, and what else it has.

    A level lasts 2 x ``growth`` images: it is blended in over the first half (`eased`) and stands alone in the second;
    level 0 stands alone from the start, the last level for ever. With ``growth`` 0 there is only the last.
    ``batch_size`` and ``learning_rate`` are numbers for the levels from 4 x 4 up, separated by commas; the last one
    holds for those that follow.

    ``width`` is the number of channels at the highest resolution, doubled at every lower one up to ``most_channels``;
    codes are in R^``code_dim``.

    While a model grows, `encode` reduces images to the resolution at hand, and `decode` enlarges them to the full one;
    `step` works at the one at hand.
    """

    betas: ClassVar[tuple[float, float]] = (0.0, 0.99)
    minimises_error: ClassVar[bool] = False
    steady: ClassVar[bool] = False
    decoder: Any
    images_seen: int
    """Images that training has seen, which decides level and blend. Weights files keep it; in memory it is Python's own
    number, as an iteration would wait for a GPU that is asked for it."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        code_dim: int = 256,
        width: int = 64,
        most_channels: int = 256,
        growth: int = 0,
        batch_size: str = "16",
        learning_rate: str = "0.0015",
    ) -> None:
        self.batch_sizes = [int(b) for b in numbers_by_level("batch-size", batch_size, 1)]
        self.learning_rates = numbers_by_level("learning-rate", learning_rate)
        super().__init__(image_shape, min(self.batch_sizes), min(self.learning_rates))
        at_least(1, code_dim=code_dim, width=width, most_channels=most_channels)
        at_least(0, growth=growth)
        if image_shape[1] != image_shape[2]:
            raise ValueError(f"images of {image_shape[1]} x {image_shape[2]} pixels; expected squares (--fit crop)")
        self.levels = levels_of(image_shape[1])
        self.code_dim = code_dim
        self.channels = channels_of(self.levels, width, most_channels)
        self.most_channels = most_channels
        self.growth = growth
        self.images_seen = 0

    def grown(self, images: int) -> tuple[int, float]:
        """Level and blend after ``images`` images."""
        if self.growth == 0:
            return self.levels - 1, 1.0
        level = min(self.levels - 1, images // (2 * self.growth))
        done = (images - 2 * self.growth * level) / self.growth
        return level, self.eased(done) if level and done < 1 else 1.0

    def eased(self, done: float) -> float:
        """How much of a level is mixed in after the share ``done`` of its transition: as much."""
        return done

    @property
    def resolution(self) -> int:
        """Of the level that is trained."""
        level, _ = self.grown(self.images_seen)
        return int(4 * 2**level)

    def stage(self, images: int) -> Stage:
        """The schedule after ``images`` images."""
        level, _ = self.grown(images)
        return Stage(4 * 2**level, at_level(self.batch_sizes, level), at_level(self.learning_rates, level))

    def changes(self) -> list[int]:
        """Numbers of images at which a level begins."""
        return [2 * self.growth * level for level in range(self.levels)] if self.growth else [0]

    def follow(self, model: Self) -> None:
        """As `Autoencoder.follow`: also the level."""
        super().follow(model)
        self.images_seen = model.images_seen

    @property
    def now(self) -> tuple[int, Blend]:
        """Level, and blend as networks take it: a tensor while a level is blended in, so that compiled networks are
        not compiled anew for every value."""
        level, blend = self.grown(self.images_seen)
        return level, blend if blend == 1.0 else torch.full((), blend, device=next(self.parameters()).device)

    def seen(self, x: Tensor, images: int) -> Tensor:
        """A batch at the resolution of ``images``, blended with the one below as G's output is."""
        self.images_seen = images
        level, blend = self.now
        if x.shape[-1] != 4 * 2**level:
            raise ValueError(f"a batch of {x.shape[-1]} pixels; expected {4 * 2**level} after {images:,} images")
        return x if isinstance(blend, float) else torch.lerp(doubled(halved(x)), x, blend)

    def generate(self, code: Tensor) -> Tensor:
        """G(c): codes [B, code_dim] -> images at the resolution at hand, not bounded."""
        return self.decoder(code, *self.now)

    def reduced(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] at the resolution at hand."""
        return halved(x, self.levels - 1 - self.now[0])

    def decode(self, code: Tensor) -> Tensor:
        """x = G(c): codes [B, code_dim] -> images [B, C, H, W], clipped to [-1, 1]."""
        return self.decode_unclipped(code).clamp(-1, 1)

    def decode_unclipped(self, code: Tensor) -> Tensor:
        """G(c), as it is, at the size of the images."""
        x = self.generate(code)
        for _ in range(self.levels - 1 - self.now[0]):
            x = doubled(x)
        return x

    def _save_to_state_dict(self, destination: dict[str, Tensor], prefix: str, keep_vars: bool) -> None:
        """What `state_dict` calls: ``images_seen`` is one of its tensors."""
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[no-untyped-call]
        destination[f"{prefix}images_seen"] = torch.tensor(self.images_seen)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """What `load_state_dict` calls."""
        seen = state_dict.pop(f"{prefix}images_seen", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[no-untyped-call]
        if seen is None:
            _, _, missing, *_ = rest
            missing.append(f"{prefix}images_seen")
        else:
            self.images_seen = int(seen)


def numbers_by_level(name: str, text: str | float, smallest: float = 0) -> list[float]:
    """Numbers for the levels from 4 x 4 up, separated by commas. Raises ValueError."""
    try:
        values = [float(part) for part in str(text).split(",")]
    except ValueError:
        raise ValueError(f"{name} is {text!r}; expected a number, or numbers from 4 x 4 up: 128,64,32") from None
    for value in values:
        at_least(smallest, **{name: value})
    return values


def at_level(table: Sequence[Number], level: int) -> Number:
    """The number of a level: the last one holds for those that follow."""
    return table[min(level, len(table) - 1)]
