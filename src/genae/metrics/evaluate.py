"""Every number that is asked for, each with the protocol that made it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genae import distributed
from genae.data.sampler import mix_seed, shuffled
from genae.data.sources import ImageData
from genae.data.stream import ImageStream, stream_of
from genae.data.transforms import to_uint8, to_unit_range
from genae.errors import GenaeError, nearest
from genae.metrics import METRICS
from genae.metrics.codes import code_statistics
from genae.metrics.features import FeatureNetwork, Observed
from genae.metrics.frechet import moments
from genae.metrics.kernel import kernel_distance
from genae.metrics.lpips import LPIPS_SIDE, Lpips
from genae.metrics.neighbours import coverage, memorisation, training_distances
from genae.metrics.probes import linear_svm, one_nn
from genae.metrics.reconstruction import CODE, MS_SSIM_SIDE, reconstructions
from genae.metrics.tally import Tally
from genae.protocol import Autoencoder
from genae.version import VERSION

BATCH = 64  # also the unit that processes share: the same batches, whatever their number, give the same features
NEAREST = 1000
PSNR_OF_EQUALS = 100.0  # dB: an infinite one would make every mean infinite
REAL = "real data"
KEEPS = {"fd": "moments", "kid": "rows", "prdc": "rows", "score": "scores"}

Record = dict[str, Any]
Progress = Callable[[str, int, int], None]


def networks_needed(metrics: Iterable[str], chosen: Sequence[str]) -> dict[str, set[str]]:
    """Name of a feature network -> what is asked of it (keys of `KEEPS`). ``chosen`` are those for fd, kid and prdc."""
    wanted: dict[str, set[str]] = {}
    fixed = {"fid": ("inception", "fd"), "is": ("inception", "score"), "icp": ("classifier", "score")}
    for metric in metrics:
        if metric not in METRICS:
            raise GenaeError(f"there is no metric {metric!r}; {nearest(metric, METRICS)}")
        if metric in fixed:
            network, kind = fixed[metric]
            wanted.setdefault(network, set()).add(kind)
        elif METRICS[metric].of == "features":
            for network in chosen:
                wanted.setdefault(network, set()).add(metric)
    return wanted


@dataclass(frozen=True)
class Judges:
    """The networks that compare images, and what is asked of each."""

    networks: Sequence[tuple[FeatureNetwork, set[str]]] = ()
    lpips: Lpips | None = None
    pairs: Sequence[str] = ()
    """Metrics of images and their reconstructions."""
    seed: int = 0
    progress: Progress = lambda message, done, total: None
    records: list[Record] = field(default_factory=list)

    def record(self, fingerprint: Mapping[str, Any], of: str, metric: str, value: float, **more: Any) -> None:
        """Note a number; ``deviation`` stands beside the value, everything else in the fingerprint."""
        entry: Record = {"of": of, "metric": metric, "value": value}
        if "deviation" in more:
            entry["deviation"] = more.pop("deviation")
        self.records.append(entry | {"fingerprint": {**fingerprint, **more}})

    def observe(self, images: Tensor) -> list[Observed]:
        """What every network says of images [B, C, H, W] uint8."""
        return [network(images) for network, _ in self.networks]

    def tallies(self, count: int) -> list[Tally]:
        """One for every network."""
        return [Tally(count, {KEEPS[kind] for kind in kinds}, self.seed) for _, kinds in self.networks]

    def errors(self, x_hat: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Every metric of pairs, [B] each; images in [-1, 1]."""
        values = {name: METRICS[name].function(x_hat, x) for name in self.pairs if name != "lpips"}
        if self.lpips:
            values["lpips"] = self.lpips(x_hat, x)
        values = {name: value.double().cpu() for name, value in values.items()}
        if "psnr" in values:
            values["psnr"].clamp_(max=PSNR_OF_EQUALS)
        return values

    def record_errors(self, fingerprint: Mapping[str, Any], of: str, sums: Mapping[str, float], count: int) -> None:
        """Means over images of what `errors` gave."""
        for metric, total in sums.items():
            more = self.lpips.protocol if metric == "lpips" and self.lpips else {"range": "[-1, 1]"}
            name = self.lpips.name if metric == "lpips" and self.lpips else metric
            self.record(fingerprint, of, name, total / count, images=count, **more)

    def reference(self, stream: ImageStream) -> list[Tally]:
        """Tallies of real images, from the cache where they are known."""
        found: list[Tally | None] = []
        keys = []
        for network, kinds in self.networks:
            what = (stream.digest, stream.indices.tolist(), network.protocol, self.seed, VERSION, torch.__version__)
            keys.append(f"{mix_seed(repr(what)):016x}")
            keeps = {KEEPS[kind] for kind in kinds}
            found.append(distributed.by_writer(partial(Tally.cached, keys[-1], len(stream), keeps, self.seed)))
        missing = [number for number, tally in enumerate(found) if tally is None]
        # What the cache has already is made again with what it lacks: the file that replaces it loses nothing.
        wanted = [
            (
                self.networks[number][0],
                self.networks[number][1] | {k for k in KEEPS if KEEPS[k] in Tally.kept(keys[number])},
            )
            for number in missing
        ]
        judge = Judges(wanted, seed=self.seed, progress=self.progress)
        made = judge.watch(f"features of {stream.name}", stream) if missing else []
        for number, tally in zip(missing, made, strict=True):
            found[number] = tally
            if distributed.rank() == 0:
                tally.save(keys[number])
        return [tally for tally in found if tally is not None]

    def watch(self, message: str, stream: ImageStream) -> list[Tally]:
        """Tallies of a stream of images."""
        return self.gather(message, stream.indices, stream.read, self.observe, len(stream))

    def gather(
        self,
        message: str,
        rows: Tensor,
        load: Callable[[Tensor], Any],
        observe: Callable[[Any], list[Observed]],
        count: int,
    ) -> list[Tally]:
        """Tallies of whatever images come from ``rows``, in batches."""
        tallies = self.tallies(count)
        done = 0
        for observed in distributed.in_order(rows.split(BATCH), load, observe):
            done += BATCH
            self.progress(message, min(done, count), count)
            for tally, part in zip(tallies, observed, strict=True):
                tally.add(part)
        return [tally.finish() for tally in tallies]

    def judge(
        self, fingerprint: Mapping[str, Any], of: str, tallies: Sequence[Tally], reference: Sequence[Tally] | None
    ) -> None:
        """Record scores, and distances to the reference if there is one; of reconstructions (``code``) as r<name>."""
        prefix = "r" if of == CODE else ""
        for number, ((network, kinds), tally) in enumerate(zip(self.networks, tallies, strict=True)):
            count, suffix = short_count(tally.count), f"-{network.suffix}" if network.suffix else ""
            protocol = {**fingerprint, **network.protocol, "images": tally.count, "seed": self.seed}
            if "score" in kinds:
                name = "is" if network.suffix != "classifier" else "icp"
                kept = [splits for splits in tally.scores if name == "is" or splits == max(tally.scores)]
                for splits in kept:
                    value, deviation = tally.scores[splits].result()
                    more = {"deviation": deviation} if splits > 1 else {}
                    label = f"{name}{count}" + ("-1split" if splits == 1 else "")
                    label += suffix if name == "is" else ""
                    self.record(protocol, of, label, value, splits=splits, **more)
            if reference is None:
                continue
            real = reference[number]
            if "fd" in kinds:
                name = "fd" if network.suffix else "fid"
                distance = tally.moments.distance(real.moments)
                self.record(protocol, of, f"{prefix}{name}{count}{suffix}", distance)
            if "kid" in kinds:
                size = min(1000, tally.count, real.count)
                subsets = 1 if size == tally.count == real.count else 100  # one is all there are
                value, deviation = kernel_distance(tally.rows, real.rows, subsets, size, self.seed)
                more = {"subsets": subsets, "subset_size": size, "deviation": deviation}
                self.record(protocol, of, f"{prefix}kid{count}{suffix}", value, **more)
            if "prdc" in kinds:
                for name, value in coverage(real.rows, tally.rows)._asdict().items():
                    neighbours = 3 if name in ("precision", "recall") else 5
                    self.record(protocol, of, f"{prefix}{name}{count}{suffix}", value, neighbours=neighbours)

    def require_sides(self, shape: tuple[int, int, int]) -> None:
        """Refuse images too small for a metric of pairs. Raises `GenaeError`."""
        for metric, least in (("ms_ssim", MS_SSIM_SIDE), ("lpips", LPIPS_SIDE)):
            if metric in self.pairs and min(shape[1:]) < least:
                raise GenaeError(
                    f"{metric} needs images of at least {least} pixels a side; these are {shape} (C, H, W)"
                )

    def require(self, count: int, what: str) -> None:
        """Refuse too few images before the work. Raises `GenaeError`."""
        kinds = {kind for _, asked in self.networks for kind in asked}
        least = 6 if "prdc" in kinds else 2 if kinds & {"fd", "kid"} else 1
        if count < least:
            raise GenaeError(
                f"{what} has {count} image{'s' if count != 1 else ''}; "
                f"{', '.join(sorted(kinds))}: expected at least {least} on either side"
            )


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
) -> list[Record]:
    """Measure reconstructions of a split and samples of every prior, or of some.

    Records have ``of`` (``real data``, ``code``: through the code, or a prior's name), ``metric``, ``value``, for
    scores over splits ``deviation``, and ``fingerprint``. Images are rounded to 8 bits before any feature network sees
    them, as files would be. ``sample_codes(count, seed, prior)`` draws codes; ``weights`` is the hash of the model's.
    Raises `GenaeError`.
    """
    metrics = set(metrics)
    device = next(model.parameters()).device
    indices = data.split(split)
    base = _base(stream_of(data, indices), split) | {"data_digest": data.digest, "weights": weights}
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
            decoded = reconstructions(model, h)
            for name, x_hat in decoded.items():
                _check_finite(x_hat, f"reconstructions through {name}")
            errors = {name: judges.errors(x_hat, x) for name, x_hat in decoded.items()}
        return h.cpu(), errors, judges.observe(to_uint8(decoded[CODE]).cpu())

    tallies = judges.tallies(len(indices))
    encoded = {metric for metric in metrics if METRICS[metric].of in ("pairs", "codes")}
    if encoded and not model.has_encoder:
        raise GenaeError(f"this model has no encoder; {', '.join(sorted(encoded))} need one")
    paired = model.has_encoder and bool(encoded or judges.networks)
    done = 0
    for h, errors, observed in distributed.in_order(indices.split(BATCH) if paired else (), data.images, reconstruct):
        done += len(h)
        judges.progress("reconstructions", done, len(indices))
        codes.append(h)
        for of, values in errors.items():
            if of != CODE and of not in chosen:
                continue
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
    if first_samples:
        _record_memorisation(judges, base, first_samples, data)
    if "codes" in metrics:
        statistics = code_statistics(torch.cat(codes))
        dimensions = codes[0].shape[1]
        judges.record(base, CODE, "code_std", statistics.deviation, code_dim=dimensions)
        judges.record(base, CODE, "code_rank", statistics.rank, code_dim=dimensions)
    if metrics & {"1nn", "svm"}:
        _record_probes(judges, base, metrics, model, data, torch.cat(codes), indices)
    judges.judge(base, REAL, real, None)
    return judges.records


def evaluate_images(
    images: ImageStream, reference: ImageStream, judges: Judges, metrics: Iterable[str], *, split: str = "all"
) -> list[Record]:
    """Measure images of any origin against reference images; see `evaluate_model` for the records.

    Metrics of pairs compare images of the same file name (without its ending), or of the same number where there are no
    names. Raises `GenaeError`.
    """
    base = _base(reference, split) | {
        "files": images.digest,
        "images_format": images.format,
        "images_resize": images.resize,
        "images_size": _size(images),
        "seed": judges.seed,
    }
    for metric in metrics:
        if METRICS[metric].of == "codes":
            raise GenaeError(f"{metric} measures the codes of a run; {images.name} is a source of images")
    judges.require(len(images), images.name)
    judges.require(len(reference), reference.name)
    judges.require_sides(images.image_shape)
    resizing = all(network.resize != "none" for network, _ in judges.networks)
    if images.image_shape != reference.image_shape and (judges.pairs or "nearest" in metrics or not resizing):
        raise GenaeError(
            f"{images.name} holds images of {images.image_shape}, {reference.name} of {reference.image_shape} "
            "(C, H, W); bring both to one size with --size and --channels"
        )
    if judges.pairs:
        partner = _pairs(images, reference)

        def errors(loaded: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            x_hat, x = (to_unit_range(pixels, 0, 255) for pixels in loaded)
            return judges.errors(x_hat, x)

        sums: dict[str, float] = {}
        done = 0
        positions = torch.arange(len(images))
        for values in distributed.in_order(
            positions.split(BATCH),
            lambda part: (images.read(images.indices[part]), reference.read(reference.indices[partner[part]])),
            errors,
        ):
            done += BATCH
            judges.progress("pairs", min(done, len(images)), len(images))
            for metric, value in values.items():
                sums[metric] = sums.get(metric, 0.0) + float(value.sum())
        judges.record_errors(base, images.name, sums, len(images))
    if judges.networks:
        real = judges.reference(reference)
        judges.judge(base, images.name, judges.watch(f"features of {images.name}", images), real)
        judges.judge(base, REAL, real, None)
    if "nearest" in metrics:
        some = images.take(NEAREST, judges.seed)
        rows, against = (
            torch.cat([s.read(part) for part in s.indices.split(BATCH)]).flatten(1) for s in (some, reference)
        )
        distance = float(training_distances(rows, against).median()) / 127.5
        judges.record(
            base, images.name, f"nearest{short_count(len(some))}", distance, images=len(some), seed=judges.seed
        )
    return judges.records


def short_count(count: int) -> str:
    """10,000 -> ``10k``; other counts as they are."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)


def _base(reference: ImageStream, split: str) -> dict[str, Any]:
    return {
        "data": reference.name,
        "data_digest": reference.digest,
        "split": split,
        "count": len(reference),
        "size": _size(reference),
        "resize": reference.resize,
        "format": reference.format,
        "genae": VERSION,
    }


def _size(stream: ImageStream) -> str:
    return "x".join(map(str, stream.image_shape))


def _check_finite(values: Tensor, what: str) -> None:
    """Raises `GenaeError`: a number made of NaN would look like a result."""
    bad = ~values.isfinite().flatten(1).all(1)
    if bad.any():
        raise GenaeError(
            f"{int(bad.sum())} of {len(bad)} {what} hold NaN or infinite values: the model's training went wrong; "
            "look at its log, or load an earlier checkpoint"
        )


def _pairs(images: ImageStream, reference: ImageStream) -> Tensor:
    """The reference position of every image: of the same file name without its ending, or of the same number."""
    if bool(images.names) != bool(reference.names):
        raise GenaeError(
            f"one of {images.name} and {reference.name} has file names, the other has none: "
            "pairs need two folders (or zips), or two arrays"
        )
    if not images.names and images.total != reference.total:
        raise GenaeError(
            f"{images.name} has {images.total} images and {reference.name} {reference.total}: they are no pairs"
        )
    keys: list[list[Any]] = [
        [s.names[i].rpartition(".")[0] if s.names else i for i in s.indices.tolist()] for s in (images, reference)
    ]
    for stream, found in zip((images, reference), keys, strict=True):
        twice = [key for key, count in Counter(found).items() if count > 1]
        if twice:
            raise GenaeError(f"{stream.name} has two files named {twice[0]!r}: which one is meant is not known")
    where = {key: position for position, key in enumerate(keys[1])}
    alone = [key for key in keys[0] if key not in where]
    if alone:
        raise GenaeError(
            f"{alone[0]!r} of {images.name} has no partner in {reference.name} ({len(alone)} of {len(images)}); "
            "reconstructions are compared with images of the same name"
        )
    return torch.tensor([where[key] for key in keys[0]])


def _record_memorisation(
    judges: Judges, base: Mapping[str, Any], samples: Mapping[str, Tensor], data: ImageData
) -> None:
    """``samples``: the first images of every prior, uint8."""
    train = _pixel_rows(data, data.split("train"))
    test = data.split("test")
    held_out = _pixel_rows(data, test[shuffled(0, min(NEAREST, len(test)), len(test), judges.seed)])
    honest = training_distances(held_out, train)
    protocol = {**base, "seed": judges.seed, "held_out": len(held_out), "train": len(train)}
    for prior, images in samples.items():
        found = memorisation(images.flatten(1), held_out, train, honest)
        count = short_count(len(images))
        judges.record(protocol, prior, f"nearest{count}", found.nearest / 127.5, images=len(images))
        judges.record(protocol, prior, f"copies{count}", found.copies, images=len(images))
    judges.record(protocol, REAL, f"nearest{short_count(len(held_out))}", float(honest.median()) / 127.5)


def _pixel_rows(data: ImageData, indices: Tensor) -> Tensor:
    """Images [N, C H W] uint8."""
    return torch.cat([to_uint8(data.images(part)).flatten(1).cpu() for part in indices.split(1024)])


def _record_probes(
    judges: Judges,
    base: Mapping[str, Any],
    metrics: set[str],
    model: Autoencoder,
    data: ImageData,
    codes: Tensor,
    indices: Tensor,
) -> None:
    if data.labels is None:
        raise GenaeError(f"{data.name} has no labels; {' and '.join(sorted(metrics & {'1nn', 'svm'}))} need them")
    device = next(model.parameters()).device

    def encode(x: Tensor) -> Tensor:
        with torch.no_grad():
            return model.encode(x.to(device)).cpu()

    learn = data.split("train")
    train: list[Tensor] = []
    for h in distributed.in_order(learn.split(BATCH), data.images, encode):
        train.append(h)
        judges.progress("codes of the training images", min(len(train) * BATCH, len(learn)), len(learn))
    sides = torch.cat(train), data.labels[learn], codes, data.labels[indices]
    for name, probe in (("1nn", one_nn), ("svm", linear_svm)):
        if name in metrics:
            judges.record(base, CODE, name, probe(*sides), train=len(learn), features="code", code_dim=codes.shape[1])
