"""What the layers of an encoder give: the features that labels are read from."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from genae import distributed
from genae.data.sources import ImageData
from genae.data.transfer import sent
from genae.errors import GenaeError, nearest
from genae.metrics.metric import batch_for
from genae.progress import Progress, silent
from genae.protocol import Autoencoder


def layers(model: Autoencoder, names: Sequence[str]) -> Callable[[Tensor], list[Tensor]]:
    """Images [B, C, H, W] in [-1, 1] -> features [B, d] of each named layer, without gradient.

    ``short`` is the code, ``long`` what the encoder's last layer with weights receives (ALAE, Section 7.1), anything
    else the name of a module of the model whose output is taken, such as ``encoder.convolutions.5``. Raises
    `GenaeError` for a name that there is not, or a module that encoding does not pass through.
    """
    modules = dict(model.named_modules())
    places: list[tuple[nn.Module, bool] | None] = []
    for name in names:
        if name == "short":
            places.append(None)
        elif name == "long":
            encoder: nn.Module = getattr(model, "encoder")  # noqa: B009 (a module of the subclass)
            weighted = [m for m in encoder.modules() if getattr(m, "weight", None) is not None]
            places.append(([m for m in weighted if m.weight.ndim > 1][-1], True))  # type: ignore[operator,union-attr]
        elif name in modules and name:
            places.append((modules[name], False))
        else:
            raise GenaeError(f"the model has no layer {name!r}; {nearest(name, ['short', 'long', *modules])}")

    def run(x: Tensor) -> list[Tensor]:
        features: dict[int, Tensor] = {}
        hooks = []
        for number, place in enumerate(places):
            if place is None:
                continue
            module, before = place

            def keep(
                _: nn.Module, inputs: tuple[object, ...], output: object, number: int = number, before: bool = before
            ) -> None:
                value = inputs[0] if before else output
                if not isinstance(value, Tensor):
                    raise GenaeError(
                        f"layer {names[number]!r} gives {type(value).__name__}, not one tensor; name one in it"
                    )
                features[number] = value.detach().float().flatten(1).cpu()

            hooks.append(module.register_forward_hook(keep))
        try:
            with torch.no_grad():
                code = model.encode(x)
        finally:
            for hook in hooks:
                hook.remove()
        for number, (name, place) in enumerate(zip(names, places, strict=True)):
            if place is None:
                features[number] = code.float().flatten(1).cpu()
            elif number not in features:
                raise GenaeError(f"encoding does not pass through layer {name!r}")
        return [features[number] for number in range(len(names))]

    return run


def features_of(
    model: Autoencoder,
    data: ImageData,
    indices: Tensor,
    names: Sequence[str],
    what: str = "images",
    progress: Progress = silent,
) -> list[Tensor]:
    """The images ``indices`` of ``data`` -> features [len(indices), d] of each of `layers`' names, on the CPU."""
    device = next(model.parameters()).device
    read = layers(model, names)
    whole: list[Tensor] = []
    done, batch = 0, batch_for(model)

    def look(stored: Tensor) -> list[Tensor]:
        return read(data.converted(sent(stored, device)))

    for features in distributed.in_order(indices.split(batch), data.stored, look):
        whole = whole or [part.new_empty(len(indices), *part.shape[1:]) for part in features]
        for rows, part in zip(whole, features, strict=True):
            rows[done : done + len(part)] = part
        done = min(done + batch, len(indices))
        progress(f"features of the {what}", done, len(indices))
    return whole
