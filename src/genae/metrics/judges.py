"""Networks that compare images, what is asked of each, and the records of their answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genae import distributed
from genae.data.sampler import mix_seed
from genae.data.stream import ImageStream
from genae.errors import GenaeError, nearest
from genae.metrics import METRICS
from genae.metrics.features import FeatureNetwork, Observed
from genae.metrics.kernel import kernel_distance
from genae.metrics.lpips import LPIPS_SIDE, Lpips
from genae.metrics.neighbours import coverage
from genae.metrics.path_length import Perceiver
from genae.metrics.reconstruction import CODE, MS_SSIM_SIDE
from genae.metrics.tally import Tally
from genae.progress import Progress, silent
from genae.version import VERSION

BATCH = 64  # also the unit that processes share: the same batches, whatever their number, give the same features
NEAREST = 1000  # samples that are compared with all training images
REAL = "real data"
RANGES = {"mse": "[-1, 1]", "normalised_psnr": "ImageNet-normalised, peak 1"}
PSNR_OF_EQUALS = 100.0  # dB: an infinite one would make every mean infinite
KEEPS = {"fd": "moments", "kid": "rows", "prdc": "rows", "score": "scores"}

Record = dict[str, Any]


def networks_needed(metrics: Iterable[str], chosen: Sequence[str]) -> dict[str, set[str]]:
    """Name of a feature network -> what is asked of it: keys of `KEEPS`, and fpl.

    ``chosen`` are those for fd, kid, prdc and fpl.
    """
    wanted: dict[str, set[str]] = {}
    fixed = {"fid": ("inception", "fd"), "is": ("inception", "score"), "icp": ("classifier", "score")}
    for metric in metrics:
        if metric not in METRICS:
            raise GenaeError(f"there is no metric {metric!r}; {nearest(metric, METRICS)}")
        if metric in fixed:
            network, kind = fixed[metric]
            wanted.setdefault(network, set()).add(kind)
        elif METRICS[metric].of == "features" or metric == "fpl":
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
    perceivers: Sequence[Perceiver] = ()
    """What measures path lengths."""
    seed: int = 0
    progress: Progress = silent
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
        for name in {"psnr", "normalised_psnr"} & values.keys():
            values[name].clamp_(max=PSNR_OF_EQUALS)
        return values

    def record_errors(self, fingerprint: Mapping[str, Any], of: str, sums: Mapping[str, float], count: int) -> None:
        """Means over images of what `errors` gave."""
        for metric, total in sums.items():
            scale = {"range": RANGES.get(metric, "[0, 1]")}
            more = self.lpips.protocol if metric == "lpips" and self.lpips else scale
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
        asked = {*self.pairs, *(perceiver.metric for perceiver in self.perceivers)}
        for metric, least in (("ms_ssim", MS_SSIM_SIDE), ("lpips", LPIPS_SIDE), ("ppl", LPIPS_SIDE)):
            if metric in asked and min(shape[1:]) < least:
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


def short_count(count: int) -> str:
    """10,000 -> ``10k``; other counts as they are."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)


def protocol_of(reference: ImageStream, split: str) -> dict[str, Any]:
    """How every fingerprint begins: which images a number is about, and how they were treated."""
    return {
        "data": reference.name,
        "data_digest": reference.digest,
        "split": split,
        "count": len(reference),
        "size": shape_of(reference),
        "resize": reference.resize,
        "format": reference.format,
        "genae": VERSION,
    }


def shape_of(stream: ImageStream) -> str:
    """CxHxW of its images."""
    return "x".join(map(str, stream.image_shape))
