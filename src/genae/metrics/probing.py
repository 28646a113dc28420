"""What labels can be read from the layers of an encoder, and how well its parts are the true ones."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genae import distributed
from genae.data.builtin import SHAPES, shape_places
from genae.data.sources import ImageData
from genae.errors import GenaeError, nearest
from genae.metrics.judges import BATCH, Judges
from genae.metrics.localisation import INSIDE, localisation
from genae.metrics.probes import PROBES
from genae.metrics.reconstruction import CODE, mse
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
            weighted = [m for m in modules["encoder"].modules() if getattr(m, "weight", None) is not None]
            places.append(([m for m in weighted if m.weight.ndim > 1][-1], True))  # type: ignore[operator,union-attr]
        elif name in modules and name:
            places.append((modules[name], False))
        else:
            raise GenaeError(f"the model has no layer {name!r}; {nearest(name, ['short', 'long', *modules])}")

    def run(x: Tensor) -> list[Tensor]:
        found: dict[int, Tensor] = {}
        hooks = []
        for number, place in enumerate(places):
            if place is None:
                continue
            module, before = place

            def keep(_: nn.Module, inputs: Any, output: Any, number: int = number, before: bool = before) -> None:
                value = inputs[0] if before else output
                if not isinstance(value, Tensor):
                    raise GenaeError(
                        f"layer {names[number]!r} gives {type(value).__name__}, not one tensor; name one in it"
                    )
                found[number] = value.detach().float().flatten(1).cpu()

            hooks.append(module.register_forward_hook(keep))
        try:
            with torch.no_grad():
                code = model.encode(x)
        finally:
            for hook in hooks:
                hook.remove()
        for number, (name, place) in enumerate(zip(names, places, strict=True)):
            if place is None:
                found[number] = code.float().flatten(1).cpu()
            elif number not in found:
                raise GenaeError(f"encoding does not pass through layer {name!r}")
        return [found[number] for number in range(len(names))]

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
    rows: list[list[Tensor]] = []
    for found in distributed.in_order(indices.split(BATCH), data.images, lambda x: read(x.to(device))):
        rows.append(found)
        progress(f"features of the {what}", min(len(rows) * BATCH, len(indices)), len(indices))
    return [torch.cat(columns) for columns in zip(*rows, strict=True)]


@dataclass(frozen=True)
class Lesson:
    """The labelled images that probes learn from and those that they are tested on, in one numbering of classes."""

    data: ImageData
    learn: Tensor
    labels: Tensor
    """Of the images ``learn``."""
    test_labels: Tensor
    protocol: dict[str, Any]
    """What a fingerprint says of them."""


def lesson(
    wanted: Sequence[str], data: ImageData, indices: Tensor, train_data: ImageData | None, train_split: str
) -> Lesson:
    """Probes learn from ``train_split`` of ``train_data``, by default of ``data``, whose images ``indices`` test them.

    Classes of two sources are the same if their names are, or their numbers where one has no names. Raises `GenaeError`
    for images without labels or of another shape, for classes that nothing can be learnt of, and for images that would
    be learnt from and tested: of two sources, all whose 8-bit pixels are equal.
    """
    source = train_data or data
    probes = " and ".join(wanted)
    for each in (data, source):
        if each.labels is None:
            raise GenaeError(f"{each.name} has no labels; expected labelled images for {probes}")
    if source.image_shape != data.image_shape:
        raise GenaeError(f"{source.name} has images of {source.image_shape}, {data.name} of {data.image_shape}")
    learn = source.split(train_split)
    if source.digest == data.digest:
        known = int(torch.isin(indices, learn).sum())
    else:
        seen = {row.tobytes() for row in source.pixel_rows(learn).numpy()}
        known = sum(row.tobytes() in seen for row in data.pixel_rows(indices).numpy())
    if known:
        raise GenaeError(
            f"{probes} would be tested on images that they learn from: {known} of the {len(indices)} chosen images of "
            f"{data.name} are in the split {train_split} of {source.name}; choose another --split, --train-split or "
            "--train-data"
        )
    if len(source.labels[learn].unique()) < 2:  # type: ignore[index]
        raise GenaeError(f"the split {train_split} of {source.name} holds one class; expected two or more for {probes}")
    test_labels = data.labels[indices]  # type: ignore[index]
    if data.classes and source.classes and data.classes != source.classes:
        unknown = sorted({data.classes[number] for number in test_labels.unique()} - {*source.classes})
        if unknown:
            raise GenaeError(f"{source.name} has no class {', '.join(unknown)}; {probes} cannot learn it")
        numbers = [source.classes.index(name) if name in source.classes else -1 for name in data.classes]
        test_labels = torch.tensor(numbers)[test_labels]
    protocol: dict[str, Any] = {"train": len(learn)}
    if train_data is not None or train_split != "train":
        protocol |= {"train_data": source.name, "train_digest": source.digest, "train_split": train_split}
    return Lesson(source, learn, source.labels[learn], test_labels, protocol)  # type: ignore[index]


def record_probes(
    judges: Judges,
    base: Mapping[str, Any],
    wanted: Sequence[str],
    model: Autoencoder,
    data: ImageData,
    indices: Tensor,
    taught: Lesson,
    names: Sequence[str],
) -> None:
    """Fit every probe ``wanted`` to each layer's features of the lesson's images; note its accuracy on ``indices``.

    Numbers from other layers than the code bear the layer's name: ``1nn-long``. The fingerprint of a linear probe that
    its solver did not bring to an end has ``converged`` False.
    """
    from sklearn.exceptions import ConvergenceWarning

    learnt = features_of(model, taught.data, taught.learn, names, "training images", judges.progress)
    held_out = features_of(model, data, indices, names, "held-out images", judges.progress)
    for name, train, test in zip(names, learnt, held_out, strict=True):
        more = {**taught.protocol, "features": name, "code_dim": train.shape[1]}
        for probe in wanted:
            judges.progress(f"{probe} of {name} features", 0, 1)
            with warnings.catch_warnings(record=True) as raised:
                warnings.simplefilter("always")
                accuracy = PROBES[probe](train, taught.labels, test, taught.test_labels)
            unfinished = {"converged": False} if any(w.category is ConvergenceWarning for w in raised) else {}
            for other in (w for w in raised if w.category is not ConvergenceWarning):
                warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
            metric = probe if name == "short" else f"{probe}-{name}"
            judges.record(base, CODE, metric, accuracy, **more, **unfinished)


def record_occurrence(
    judges: Judges, base: Mapping[str, Any], model: Autoencoder, data: ImageData, indices: Tensor
) -> None:
    """Note the MSE in [-1, 1] of reconstructions whose parts occur with their probability, as drawn from it, and there
    or not at 1/2: what a model with parts owes to its soft maps. Raises `GenaeError` for a model without parts."""
    split = _split_of(model)
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(judges.seed)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "probability": lambda p: p,
        "drawn": lambda p: (torch.rand(p.shape, generator=generator).to(device) < p).to(p.dtype),
        "threshold": lambda p: (p > 0.5).to(p.dtype),
    }
    errors = dict.fromkeys(ways, 0.0)
    for part in indices.split(BATCH):
        x = data.images(part).to(device)
        with torch.no_grad():
            appearance, probability = split(model.encode(x))
            for name, way in ways.items():
                x_hat = model.decode(model.join(appearance, way(probability)))  # type: ignore[operator]
                errors[name] += float(mse(x_hat, x).sum())
    for name, total in errors.items():
        more = {"images": len(indices), "range": "[-1, 1]"} | ({"seed": judges.seed} if name == "drawn" else {})
        judges.record(base, CODE, f"occurrence-{name}", total / len(indices), **more)


def _split_of(model: Autoencoder) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    split = getattr(model, "split", None)
    if split is None:
        raise GenaeError(f"{type(model).__name__} has no parts; expected a patch-vae")
    return split  # type: ignore[no-any-return]


def record_localisation(
    judges: Judges, base: Mapping[str, Any], model: Autoencoder, data: ImageData, indices: Tensor
) -> None:
    """Note for every kind of shape, and for any, how well a part of the model finds it, and what knows nothing reaches.

    The model's parts are chosen on training images. Raises `GenaeError` for a model without parts, and for data other
    than `shapes`, whose parts are not known.
    """
    split = _split_of(model)
    if data.name != "shapes":
        raise GenaeError(f"localisation needs data whose parts are known: shapes, not {data.name}")
    device = next(model.parameters()).device

    def occurrence(part: Tensor) -> Tensor:
        with torch.no_grad():
            return split(model.encode(data.images(part).to(device)))[1].cpu()

    learn = data.split("train")
    maps = [torch.cat([occurrence(batch) for batch in chosen.split(BATCH)]) for chosen in (learn, indices)]
    if maps[0].shape[2] != maps[0].shape[3]:
        height, width = maps[0].shape[2:]
        raise GenaeError(
            f"localisation needs square images of shapes; this model has a grid of {height} x {width} cells"
        )
    kinds = shape_places(maps[0].shape[2], len(data.pixels))
    places = torch.cat([kinds, kinds.sum(1, keepdim=True)], 1)
    found = localisation((maps[0], places[learn]), (maps[1], places[indices]))
    for kind, name in enumerate((*SHAPES, "any")):
        more = {"train": len(learn), "inside": INSIDE, "grid": maps[0].shape[2]}
        judges.record(base, CODE, f"localisation-{name}", float(found.found[kind]), part=int(found.parts[kind]), **more)
        judges.record(base, "a map without knowledge", f"localisation-{name}", float(found.chance[kind]), **more)
