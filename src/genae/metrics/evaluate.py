"""Every metric of a model: of its reconstructions, codes and samples, each with the protocol that made it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from genae import distributed
from genae.data.sampler import shuffled
from genae.data.sources import ImageData
from genae.data.stream import stream_of
from genae.data.transforms import to_uint8
from genae.errors import GenaeError
from genae.metrics import METRICS
from genae.metrics.codes import code_statistics
from genae.metrics.features import Observed
from genae.metrics.frechet import moments
from genae.metrics.judges import BATCH, NEAREST, REAL, Judges, Record, protocol_of, short_count
from genae.metrics.neighbours import memorisation, training_distances
from genae.metrics.path_length import STEP, prior_path_lengths, trimmed_mean
from genae.metrics.probes import PROBES
from genae.metrics.probing import lesson, record_localisation, record_occurrence, record_probes
from genae.metrics.reconstruction import CODE, reconstructions
from genae.protocol import Autoencoder
from genae.storage import weights_digest


def evaluate_model(
    model: Autoencoder,
    sample_codes: Callable[[int, int, str], Tensor],
    data: ImageData,
    judges: Judges,
    metrics: Iterable[str],
    *,
    weights: str,
    priors: Sequence[str] | None = None,
    split: str = "test",
    samples: int = 10_000,
    features: Sequence[str] = ("short",),
    train_data: ImageData | None = None,
    train_split: str = "train",
    spent: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
) -> list[Record]:
    """Measure reconstructions of a split and samples of every prior, or of some.

    Records have ``of`` (``real data``, ``code``: through the code, or a prior's name), ``metric``, ``value``, for
    scores over splits ``deviation``, and ``fingerprint``. Images are rounded to 8 bits before any feature network sees
    them, as files would be. ``sample_codes(count, seed, prior)`` draws codes; ``weights`` is the hash of the model's;
    ``features`` are layers for probes, see `probing.layers`, and ``train_data`` what these learn from, see
    `probing.lesson`; ``spent`` are its `costs`. Raises `GenaeError`.
    """
    metrics = set(metrics)
    device = next(model.parameters()).device
    indices = data.split(split)
    probes = [name for name in PROBES if name in metrics]
    if not probes and (train_data is not None or train_split != "train" or tuple(features) != ("short",)):
        raise GenaeError(f"layers and training images are chosen for {', '.join(PROBES)}, of which none is asked for")
    taught = lesson(probes, data, indices, train_data, train_split) if probes else None
    base = protocol_of(stream_of(data, indices), split) | {"data_digest": data.digest, "weights": weights}
    judges.require_sides(data.image_shape)
    judges.require(len(indices), f"the {split} split of {data.name}")
    if model.priors:
        judges.require(samples, "each sample of a prior")
    if "codes" in metrics and min(len(indices), samples) < 2:
        raise GenaeError(f"codes: expected at least 2 images and 2 samples; there are {len(indices)} and {samples}")
    real = judges.reference(stream_of(data, indices))

    chosen = list(model.priors) if priors is None else priors
    sums: dict[str, dict[str, float]] = {}
    codes: list[Tensor] = []

    def reconstruct(x: Tensor) -> tuple[Tensor, dict[str, dict[str, Tensor]], list[Observed]]:
        x = x.to(device)
        with torch.no_grad():
            h = model.encode(x)
            decoded = reconstructions(model, h, chosen if judges.pairs else ())
            for name, x_hat in decoded.items():
                _check_finite(x_hat, f"reconstructions through {name}")
            errors = {name: judges.errors(x_hat, x) for name, x_hat in decoded.items()}
        return h.cpu(), errors, judges.observe(to_uint8(decoded[CODE]).cpu())

    tallies = judges.tallies(len(indices))
    encoded = {metric for metric in metrics if METRICS[metric].of in ("pairs", "codes", "labels")}
    if encoded and not model.has_encoder:
        raise GenaeError(f"this model has no encoder; {', '.join(sorted(encoded))} need one")
    paired = model.has_encoder and bool(judges.pairs or "codes" in metrics or judges.networks)
    done = 0
    for h, errors, observed in distributed.in_order(indices.split(BATCH) if paired else (), data.images, reconstruct):
        done += len(h)
        judges.progress("reconstructions", done, len(indices))
        codes.append(h)
        for of, values in errors.items():
            of_sums = sums.setdefault(of, {})
            for metric, value in values.items():
                of_sums[metric] = of_sums.get(metric, 0.0) + float(value.sum())
        for tally, part in zip(tallies, observed, strict=True):
            tally.add(part)
    for of, totals in sums.items():
        judges.record_errors(base, of, totals, len(indices))
    if paired and judges.networks:
        judges.judge(base, CODE, [tally.finish() for tally in tallies], real)

    def decode(h: Tensor) -> Tensor:
        with torch.no_grad():
            images = model.decode(h.to(device))
        _check_finite(images, "samples")
        return to_uint8(images).cpu()

    first_samples: dict[str, Tensor] = {}
    for prior in chosen if judges.networks or metrics & {"nearest", "codes"} else ():
        drawn = sample_codes(samples, judges.seed, prior)
        if judges.networks:
            watched = judges.gather(
                f"{prior} samples", drawn, lambda h: h, lambda h: judges.observe(decode(h)), len(drawn)
            )
            judges.judge(base, prior, watched, real)
        if "nearest" in metrics:
            first_samples[prior] = torch.cat([decode(h) for h in drawn[:NEAREST].split(BATCH)])
        if "codes" in metrics:
            _check_finite(drawn, "codes")
            distance = moments(drawn).distance(moments(torch.cat(codes)))
            name = f"code_fd{short_count(len(drawn))}"
            more = {"images": len(drawn), "seed": judges.seed, "code_dim": drawn.shape[1]}
            judges.record(base, prior, name, distance, **more)
    for prior in (name for name in chosen if judges.perceivers and model.priors[name].has_latent):
        _record_path_lengths(judges, base, model, prior, samples)
    if first_samples:
        _record_memorisation(judges, base, first_samples, data)
    if "codes" in metrics:
        statistics = code_statistics(torch.cat(codes))
        dimensions = codes[0].shape[1]
        judges.record(base, CODE, "code_std", statistics.deviation, code_dim=dimensions)
        judges.record(base, CODE, "code_rank", statistics.rank, code_dim=dimensions)
    if taught:
        record_probes(judges, base, probes, model, data, indices, taught, features)
    if "occurrence" in metrics:
        record_occurrence(judges, base, model, data, indices)
    if "localisation" in metrics:
        record_localisation(judges, base, model, data, indices)
    judges.judge(base, REAL, real, None)
    for of, numbers in spent.items():
        for metric, number in numbers.items() if of == CODE or of in chosen else ():
            judges.record(base, of, metric, number)
    digests = {name: weights_digest(model.priors[name]) for name in chosen}
    for record in judges.records:
        if record["of"] in digests:
            record["fingerprint"]["prior_weights"] = digests[record["of"]]
    return judges.records


def _check_finite(values: Tensor, what: str) -> None:
    """Raises `GenaeError`: a number made of NaN would look like a result."""
    bad = ~values.isfinite().flatten(1).all(1)
    if bad.any():
        raise GenaeError(
            f"{int(bad.sum())} of {len(bad)} {what} hold NaN or infinite values: the model's training went wrong; "
            "look at its log, or load an earlier checkpoint"
        )


def _record_memorisation(
    judges: Judges, base: Mapping[str, Any], samples: Mapping[str, Tensor], data: ImageData
) -> None:
    """``samples``: the first images of every prior, uint8."""
    train = data.pixel_rows(data.split("train"))
    test = data.split("test")
    held_out = data.pixel_rows(test[shuffled(0, min(NEAREST, len(test)), len(test), judges.seed)])
    honest = training_distances(held_out, train)
    protocol = {**base, "seed": judges.seed, "held_out": len(held_out), "train": len(train)}
    for prior, images in samples.items():
        found = memorisation(images.flatten(1), held_out, train, honest)
        count = short_count(len(images))
        judges.record(protocol, prior, f"nearest{count}", found.nearest / 127.5, images=len(images))
        judges.record(protocol, prior, f"copies{count}", found.copies, images=len(images))
    judges.record(protocol, REAL, f"nearest{short_count(len(held_out))}", float(honest.median()) / 127.5)


def _record_path_lengths(judges: Judges, base: Mapping[str, Any], model: Autoencoder, prior: str, samples: int) -> None:
    """``ppl_z_full``, ``ppl_z_end``, ``ppl_w_full``, ``ppl_w_end`` of a prior, or their like with another network."""
    for perceiver in judges.perceivers:
        lengths: dict[str, list[Tensor]] = {}
        with torch.no_grad():
            found = prior_path_lengths(model.priors[prior], model.decode, perceiver.distance, samples, judges.seed)
            for kind, values in found:
                _check_finite(values[:, None], f"{prior} path lengths")
                lengths.setdefault(kind, []).append(values)
                judges.progress(f"paths of {prior}", sum(map(len, lengths[kind])), samples)
        for kind, parts in lengths.items():
            name = f"{perceiver.metric}_{kind}{short_count(samples)}"
            name += f"-{perceiver.suffix}" if perceiver.suffix else ""
            more = {"images": samples, "seed": judges.seed, "step": STEP, "crop": "none", **perceiver.protocol}
            judges.record(base, prior, name, trimmed_mean(torch.cat(parts)), **more)
