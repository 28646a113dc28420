"""A trained model, as a person uses it: encode, decode, reconstruct, sample, interpolate, edit."""

import json
import math
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from genae import distributed
from genae.data.images import Images, as_images
from genae.data.sampler import mix_seed
from genae.data.sources import ImageData, open_data
from genae.errors import GenaeError, nearest
from genae.latent import mixing, paths
from genae.latent.directions import direction
from genae.latent.optimal_maps import MAPS, Map, part_of_the_way, spread_of
from genae.latent.places import Places, best_places, swapped
from genae.networks.arithmetic import exact_float32
from genae.networks.layers import placed
from genae.priors.flow_matching import flows_of
from genae.priors.gaussian import GaussianPrior
from genae.priors.sampling import expect_guidance, sample_codes
from genae.progress import Progress, silent
from genae.protocol import Autoencoder, ConditionalPrior, Given, PartCoder, Prior
from genae.rows import Rows, filled
from genae.storage import load_tensors, load_weights, read_metadata, weights_digest
from genae.training.checkpoint import AVERAGE, RunFolder
from genae.training.config import Config, parse_range
from genae.training.kept_codes import kept_codes
from genae.training.prior_fit import Fit
from genae.training.start import build_model

MOST_STEPS = 1000
"""Of a solver: with more, nothing is gained."""
BATCH = 256
"""Images of a batch, at most."""
CHECKPOINTS = {"best.safetensors": "best", AVERAGE: "average", "model.safetensors": "checkpoint"}
"""Weights file of a run -> what a record calls it."""


class Model:
    """Verbs over a trained autoencoder and its priors; no gradients, evaluation mode, in batches (`batch`).

    Images are [N, C, H, W] in [-1, 1], codes [N, D], both float32 on the CPU; `encode` also takes other
    forms of images. A ``space`` is ``code`` or the name of a prior; a ``prior`` is a name in `priors`, by default the
    first. ``given`` is what a prior that knows classes is told: the name of one, or a name for each row; ``guidance``
    is how strongly it heeds it, where it is a flow.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        config: Config,
        device: torch.device,
        name: str,
        trained_on: str,
        folder: Path | None = None,
        checkpoint: str = "",
    ) -> None:
        self.digest = weights_digest(autoencoder)
        """Hash of the weights, without those of priors that were fitted later."""
        self.autoencoder = placed(autoencoder, device).eval()
        self.config = config
        self.device = device
        self.name = name
        self.trained_on = trained_on
        """`ImageData.digest` of the training data."""
        self.folder = folder
        """Of the run; None for a weights file."""
        self.checkpoint = checkpoint
        """Which of the run's weights these are, in words; empty for a weights file."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.autoencoder.image_shape

    @property
    def batch(self) -> int:
        """Images of a batch: as many as the last stage of training takes, at most 256."""
        return min(BATCH, self.autoencoder.full_size_batch)

    @property
    def priors(self) -> list[str]:
        """Names of the priors that can be sampled."""
        return list(self.autoencoder.priors)

    @property
    def code_shape(self) -> tuple[int, ...]:
        """(D,), or (c, h, w) where a code is a map; codes are rows [N, D] all the same."""
        return self.autoencoder.code_shape

    @property
    def code_dim(self) -> int:
        """D of codes [N, D]."""
        return math.prod(self.code_shape)

    @property
    def spaces(self) -> list[str]:
        """Where images can be encoded: ``code``, and the priors that have an encoder."""
        if not self.autoencoder.has_encoder:
            return []
        return ["code", *(name for name, prior in self.autoencoder.priors.items() if prior.has_encoder)]

    def classes(self, prior: str) -> tuple[str, ...]:
        """The names of the classes that a prior can be told; none for most."""
        source = self._prior(prior)
        return source.classes if isinstance(source, ConditionalPrior) else ()

    def is_guided(self, prior: str) -> bool:
        """Whether guidance changes what a prior makes of a class."""
        source = self._prior(prior)
        return isinstance(source, ConditionalPrior) and source.is_guided

    def given(self, prior: str, given: str | Sequence[str], count: int, guidance: float = 1.0) -> Given:
        """What a prior is told of ``count`` codes: one class for all, or one for each.

        Raises `GenaeError` for an unknown class, and for a prior that knows none.
        """
        classes = self.classes(prior)
        if not classes:
            able = [name for name in self.priors if self.classes(name)]
            hint = f"priors that do: {', '.join(able)}" if able else "genae prior RUN flow --given label fits one"
            raise GenaeError(f"the {prior} prior of {self.name} knows no classes; {hint}")
        if not isinstance(given, str | Sequence):
            raise GenaeError(f"given is {given!r}; expected the name of a class, such as {classes[0]!r}, or a list")
        names = [given] * count if isinstance(given, str) else [*given]
        if len(names) != count:
            raise GenaeError(f"{len(names)} classes are given for {count} codes; expected one for all, or one for each")
        places = {name: place for place, name in enumerate(classes)}
        for name in dict.fromkeys(names):
            if name not in places:
                raise GenaeError(f"the {prior} prior of {self.name} knows no class {name!r}; {nearest(name, classes)}")
        expect_guidance(guidance)
        if guidance != 1 and not self.is_guided(prior):
            raise GenaeError(
                f"guidance is {guidance:g}, and the {prior} prior of {self.name} has none; it is for flows that "
                "were fitted with --given: leave it out"
            )
        return Given(torch.tensor([places[name] for name in names], device=self.device), guidance)

    def encode(self, images: Images, space: str = "code", given: str | Sequence[str] | None = None) -> Tensor:
        """Images -> codes, or a prior's latent variables z.

        Images may be floats [N, C, H, W] in [-1, 1] (tensor or NumPy array, any precision), uint8 from 0 to 255
        ([N, C, H, W] or [N, H, W, C]), Pillow's pictures, or paths of pictures or folders, which are brought to the
        size of the model. Raises `GenaeError` for anything else, for NaN, and for models without encoder.
        """
        images = self._images(images)
        self._expect_encoder(space)
        codes = self._batched(self.autoencoder.encode, images)
        return self.up(codes, space, given)

    def up(self, codes: Tensor, space: str, given: str | Sequence[str] | None = None) -> Tensor:
        """Codes [N, D] -> a prior's z [N, d]. Raises `GenaeError`."""
        self._expect_encoder(space)
        return self._through_prior(space, "encode", codes, given)

    def down(self, z: Tensor, space: str, given: str | Sequence[str] | None = None, guidance: float = 1.0) -> Tensor:
        """A prior's z [N, d] -> codes [N, D]. Raises `GenaeError`."""
        return self._through_prior(space, "decode", z, given, guidance)

    def encode_data(self, data: ImageData, indices: Tensor, space: str = "code") -> Tensor:
        """Codes of a data set's images, or a prior's z, in memory; the images are never all there. See `encoded`."""
        return filled(self.encoded(data, indices, space), len(indices))

    def encoded(
        self, data: ImageData, indices: Tensor, space: str = "code", progress: Progress = silent
    ) -> Iterator[Tensor]:
        """Codes [b, D] of a data set's images, or a prior's z, batch by batch: for what is larger than memory.

        Under torchrun processes share the work; each gets all codes, to the last bit those that one process encodes.
        Raises `GenaeError` as `encode`, before anything is encoded.
        """
        self._expect_encoder(space)
        batches = distributed.in_order(indices.split(self.batch), data.images, partial(self.encode, space=space))

        def reported() -> Iterator[Tensor]:
            done = 0
            for codes in batches:
                yield codes
                done += len(codes)
                progress("images encoded", done, len(indices))

        return reported()

    def width(self, space: str = "code") -> int:
        """Numbers in a code, or in a prior's z."""
        return self.code_dim if space == "code" else self._prior(space).latent(1, torch.Generator()).shape[1]

    @property
    def layers(self) -> int:
        """Layers that can each take a code of their own: 1 for models without styles."""
        return self.autoencoder.layers

    def decode(
        self,
        codes: Tensor | np.ndarray,
        space: str = "code",
        given: str | Sequence[str] | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Codes, or a prior's z -> images. Models with styles also take codes of every layer [N, layers, D].

        Raises `GenaeError` for codes of another shape, and for NaN.
        """
        codes = as_codes(codes)
        expected = self.width(space)
        layered = space == "code" and self.layers > 1
        shapes = [(expected,), (self.layers, expected)] if layered else [(expected,)]
        if tuple(codes.shape[1:]) not in shapes:
            wanted = " or ".join(f"[N, {', '.join(map(str, shape))}]" for shape in shapes)
            raise GenaeError(f"codes have shape {list(codes.shape)}; {self.name} expects {wanted} in space {space!r}")
        check_finite(codes)
        return self._batched(self.autoencoder.decode, self.down(codes, space, given, guidance))

    def reconstruct(
        self,
        images: Images,
        space: str = "code",
        truncation: float = 1.0,
        given: str | Sequence[str] | None = None,
    ) -> Tensor:
        """Images -> images, through the code or through a prior (SWAE Fig. 5a); ``truncation`` as in `sample`."""
        codes = self.encode(images, space, given)
        return self.decode(codes if truncation == 1 else self.truncate(codes, truncation), space, given)

    def sample_codes(
        self,
        count: int,
        seed: int = 0,
        prior: str | None = None,
        given: str | Sequence[str] | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Draw codes [count, D] from a prior; the same for the same seed. Raises `GenaeError`.

        Where a class is given and no prior is named, it is the first that knows classes.
        """
        expect_whole("count", count, 1)
        expect_whole("seed", seed)
        name = prior or self.first_prior(conditional=given is not None)
        if given is None and guidance != 1:
            raise GenaeError(
                f"guidance is {guidance:g}, and no class is given; name one with given, or leave guidance out"
            )
        told = None if given is None else self.given(name, given, count, guidance)
        return sample_codes(self._prior(name), count, seed, told)

    def sample(
        self,
        count: int,
        seed: int = 0,
        prior: str | None = None,
        truncation: float = 1.0,
        given: str | Sequence[str] | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Draw images from a prior; the same for the same seed.

        With ``truncation`` psi below 1 codes are brought nearer to the prior's mean code: fewer failures, less variety.
        """
        codes = self.sample_codes(count, seed, prior, given, guidance)
        return self.decode(codes if truncation == 1 else self.truncate(codes, truncation, prior, given))

    @property
    def densities(self) -> list[str]:
        """Names of the priors that have a density in closed form (`log_density`)."""
        return [name for name, prior in self.autoencoder.priors.items() if prior.has_density]

    def log_density(self, codes: Tensor | np.ndarray, prior: str) -> Tensor:
        """log p(code) [N], in nats, of codes [N, D] under a prior; for nats per dimension divide by D.

        Raises `GenaeError` for a prior without a density in closed form.
        """
        return self._batched(self.density(prior).log_density, as_codes(codes))

    def density(self, prior: str) -> Prior:
        """The prior of this name, if it has a density in closed form; else raises `GenaeError`."""
        source = self._prior(prior)
        if not source.has_density:
            wanted = f"one of {', '.join(self.densities)}" if self.densities else "a flow, a mixture or a Gaussian"
            raise GenaeError(f"the {prior} prior of {self.name} has no density in closed form; expected {wanted}")
        return source

    def truncate(
        self, codes: Tensor, psi: float, prior: str | None = None, given: str | Sequence[str] | None = None
    ) -> Tensor:
        """Codes [N, D] -> centre + psi (code - centre); of models with styles the coarse layers alone, [N, layers, D].

        The centre is the mean of 10,000 codes that the prior samples (`latent.mixing.truncate`); where classes are
        given, each code's is the mean of 1,000 codes of its class.
        """
        if not 0 <= psi <= 1:
            raise GenaeError(f"truncation is {psi:g}; expected 0 (the mean code) to 1 (no truncation)")
        if given is None:
            centre = self.sample_codes(10_000, 0, prior).mean(0)
        else:
            names = [given] * len(codes) if isinstance(given, str) else given
            means = {name: self.sample_codes(1_000, 0, prior, name).mean(0) for name in dict.fromkeys(names)}
            centre = torch.stack([means[name] for name in names])
            centre = centre[:, None] if self.layers > 1 else centre
        return mixing.truncate(mixing.every_layer(codes, self.layers) if self.layers > 1 else codes, centre, psi)

    def mix(self, destinations: Images, sources: Images, band: str) -> Tensor:
        """Images [S, N, C, H, W]: each of the destinations [N, ...] with the styles of each source [S, ...] in a band.

        ``band`` is ``coarse``, ``middle``, ``fine`` or resolutions such as ``4-8`` (ALAE Fig. 9). `GenaeError`.
        """
        layers = self.band_layers(band)
        into, out_of = (mixing.every_layer(self.encode(images), self.layers) for images in (destinations, sources))
        rows = [mixing.mix(into, style.expand_as(into), layers) for style in out_of]
        return self.decode(torch.cat(rows)).unflatten(0, (len(rows), -1))

    def band_layers(self, band: str) -> list[int]:
        """Numbers of the layers of a band. Raises `GenaeError` for models without styles."""
        if self.layers == 1:
            raise GenaeError(
                f"{self.name} ({self.config.model}) has one code for the whole image; expected a model with styles, "
                "such as style-alae"
            )
        return mixing.band_layers(band, self.layers)

    def interpolate(self, a: Images, b: Images, steps: int = 9, space: str = "code", kind: str = "linear") -> Tensor:
        """Images [N, steps, C, H, W] on the way from images a to b, ends included (SWAE Fig. 7).

        ``kind`` is ``linear`` or ``spherical``.
        """
        if kind not in paths.PATHS:
            raise GenaeError(f"path is {kind!r}; {nearest(kind, paths.PATHS)}")
        expect_whole("steps", steps, 2)
        start, end = self.encode(a, space), self.encode(b, space)
        if len(start) != len(end):
            raise GenaeError(f"there are {len(start)} images a and {len(end)} images b; expected one b for each a")
        codes = paths.path(start, end, steps, kind)
        return self.decode(codes.flatten(0, 1), space).unflatten(0, (steps, len(start))).transpose(0, 1)

    def traverse(self, count: int, steps: int = 9, prior: str | None = None, seed: int = 0) -> Tensor:
        """Images [count, 2, steps, C, H, W] on two straight ways between the same two samples: in the prior's latent
        variables z, and in codes (ALAE Fig. 4). Raises `GenaeError` for a prior without latent variables."""
        expect_whole("count", count, 1)
        expect_whole("steps", steps, 2)
        name = prior or self.first_prior()
        if not self._prior(name).has_latent:
            raise GenaeError(f"prior {name!r} has no latent variables to traverse")
        z = self._prior(name).latent(2 * count, torch.Generator().manual_seed(mix_seed("traverse", seed)))
        codes = self.down(z, name)
        ways = [
            self.decode(paths.path(ends[:count], ends[count:], steps).flatten(0, 1), space)
            for ends, space in ((z, name), (codes, "code"))
        ]
        return torch.stack([way.unflatten(0, (steps, count)).transpose(0, 1) for way in ways], 1)

    def manifold(self, images: Images, rows: int = 8, columns: int = 8, space: str = "code") -> Tensor:
        """Images [rows, columns, C, H, W] between the codes of four images (SWAE Fig. 6)."""
        corners = self.encode(images, space)
        if len(corners) != 4:
            raise GenaeError(f"{len(corners)} images were given; expected the four corners")
        codes = paths.grid(corners, rows, columns)
        return self.decode(codes.flatten(0, 1), space).unflatten(0, (rows, columns))

    def direction(self, images: Images, has: Tensor | Sequence[bool], name: str = "attribute") -> Tensor:
        """Direction [D] of an attribute in code space, from images and booleans [N] (SWAE 4.3).

        ``has`` may be a tensor, an array or a list of booleans, or of 0 and 1. Raises `GenaeError`.
        """
        codes = self.encode(images)
        return direction(codes, as_booleans(has, len(codes)), name)

    def edit(
        self, codes: Tensor | np.ndarray, along: Tensor, strengths: Sequence[float], band: str | None = None
    ) -> Tensor:
        """Images [N, len(strengths), C, H, W] of codes moved along a direction (SWAE Fig. 8 and 9).

        ``band``: of models with styles, move the codes of these layers alone (as `mix` names them).
        """
        try:
            steps = [float(strength) for strength in strengths]
        except (TypeError, ValueError):
            steps = []
        if not steps:
            raise GenaeError(f"strengths is {strengths!r}; expected a list of numbers such as [-1, 0, 1]")
        codes, along = as_codes(codes), torch.as_tensor(along)
        if codes.ndim != 2 or tuple(along.shape) != (codes.shape[1],):
            raise GenaeError(
                f"codes have shape {list(codes.shape)} and the direction {list(along.shape)}; expected [N, D] and [D]"
            )
        by = torch.stack([step * along for step in steps]).expand(len(codes), -1, -1)
        moved = self.moved(codes[:, None].expand_as(by).flatten(0, 1), by.flatten(0, 1), band)
        return self.decode(moved).unflatten(0, (len(codes), len(strengths)))

    def moved(self, codes: Tensor, by: Tensor, band: str | None = None) -> Tensor:
        """Codes [N, D] + ``by``; with a ``band``, codes of every layer [N, layers, D] that are moved in its layers."""
        if band is None:
            return codes + by
        start, end = (mixing.every_layer(part, self.layers) for part in (codes, codes + by))
        return mixing.mix(start, end, self.band_layers(band))

    def transport(
        self,
        codes: Tensor | np.ndarray,
        source: str | Rows,
        target: str | Rows,
        by: str = "flow",
        strength: float = 1.0,
        prior: str | None = None,
    ) -> Tensor:
        """Codes [N, D] of one set of images, carried to another: (1 - t) c + t T(c), t from 0 to 1 is the ``strength``.

        By ``flow``, source and target are names of classes, and T is that of `flow_map`. By ``gaussian`` or ``mean``
        they are codes [n, D] of the two sets, and T is a map of `latent.optimal_maps`. Raises `GenaeError`.
        """
        codes = as_codes(codes)
        if codes.ndim != 2 or codes.shape[1] != self.code_dim:
            raise GenaeError(f"codes have shape {list(codes.shape)}; expected [N, {self.code_dim}]")
        check_finite(codes)
        if not 0 <= strength <= 1:
            raise GenaeError(f"strength is {strength:g}; expected 0 (the codes as they are) to 1 (carried)")
        if by != "flow" and by not in MAPS:
            raise GenaeError(f"by is {by!r}; {nearest(by, ('flow', *MAPS))}")
        if isinstance(source, str) and isinstance(target, str):
            if by != "flow":
                raise GenaeError(f"the {by} map is of two sets of codes [n, D], not of names")
            return part_of_the_way(codes, self.flow_map(source, target, prior)(codes), strength)
        if isinstance(source, str) or isinstance(target, str) or by == "flow":
            raise GenaeError("a flow carries codes between two classes that it knows; expected their names")
        carry = MAPS[by](spread_of(source, "the source"), spread_of(target, "the target"))
        return part_of_the_way(codes, carry(codes), strength)

    def flow_map(self, source: str, target: str, prior: str | None = None) -> Map:
        """The map of codes that encodes given one class and decodes given another.

        The prior's z forgets the class and keeps the rest (Su, Song, Meng, Ermon 2023: dual diffusion implicit
        bridges). By default it is the first of `flows_between`. Raises `GenaeError`.
        """
        if source == target:
            raise GenaeError(f"source and target are both {source!r}; expected two classes")
        flows = [name for name in self.priors if self._is_flow(name)]
        name = prior or next(iter([*self.flows_between(source, target), *flows]), None)
        if name is None:
            given = target.removeprefix("not ") if "not " in (source[:4], target[:4]) else "label"
            raise GenaeError(
                f"{self.name} has no flow that knows classes; genae prior RUN flow --given {given} fits one"
            )
        for known in (source, target):
            self.given(name, known, 1)  # refuses an unknown class, and a prior that knows none
        self._expect_encoder(name)
        if self._starts_from_classes(name):
            raise GenaeError(
                f"the {name} prior of {self.name} starts from a mixture for each class, so its z does not forget the "
                "class; fit one without --components"
            )
        return lambda codes: self.down(self.up(codes, name, source), name, target)

    def flows_between(self, source: str, target: str) -> list[str]:
        """Names of the priors that can carry codes between two classes: learned, with an encoder, and told both."""
        return [name for name in self.priors if self._is_flow(name) and {source, target} <= {*self.classes(name)}]

    def _is_flow(self, name: str) -> bool:
        """Whether a prior that is told classes encodes codes. (A Gaussian does, and its map has a closed form.)"""
        prior = self._prior(name)
        carries = prior.has_encoder and not isinstance(prior, GaussianPrior) and not self._starts_from_classes(name)
        return bool(self.classes(name)) and carries

    def _starts_from_classes(self, name: str) -> bool:
        """Whether what a flow makes of a class starts where that of another class does not."""
        return any(flow.source_is_fitted for flow in flows_of(self._prior(name)))

    @property
    def has_parts(self) -> bool:
        """Whether codes say which parts occur where."""
        return self.autoencoder.parts is not None

    @property
    def part_coder(self) -> PartCoder:
        """What splits codes into parts and joins them again. Raises `GenaeError` without parts."""
        if self.autoencoder.parts is None:
            raise GenaeError(f"{self.name} ({self.config.model}) has no parts; expected a patch-vae")
        return self.autoencoder.parts

    @property
    def part_count(self) -> int:
        """How many parts there are. Raises `GenaeError` without parts."""
        return self.part_coder.part_count

    def parts(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Appearances [N, parts, d] and probabilities of occurrence [N, parts, h, w]; `GenaeError` without parts."""
        coder = self.part_coder
        return coder.split(self.encode(images))

    def swap_part(self, images: Tensor, sources: Tensor, part: int, from_part: int | None = None) -> Tensor:
        """Images [N, C, H, W] decoded with the appearance that ``part`` has in the sources, of the same part or of
        another (PatchVAE Fig. 5). Raises `GenaeError`."""
        for number in (part, from_part):
            if number is not None and not 0 <= number < self.part_count:
                raise GenaeError(f"there is no part {number}; the model has parts 0 to {self.part_count - 1}")
        if len(images) != len(sources):
            raise GenaeError(f"there are {len(images)} images and {len(sources)} sources; expected one for each")
        (appearance, occurrence), (source, _) = self.parts(images), self.parts(sources)
        return self.decode(self.part_coder.join(swapped(appearance, source, part, from_part), occurrence))

    def part_places(self, data: ImageData, indices: Tensor, count: int = 50) -> Places:
        """Of some of a data set's images, by their place in ``indices``: where each part is most probable."""
        return best_places((self.parts(data.images(part))[1] for part in indices.split(self.batch)), count)

    def open_data(self, source: str | None = None, data_root: str | None = None, **options: object) -> ImageData:
        """The run's own data, or any other source brought to the size, channels and value range of this model."""
        settings = self.config.data_options() | {"data_root": data_root or self.config.data_root}
        other = source is not None and source != self.config.data
        if other:
            channels, *size = self.image_shape
            settings |= {"size": tuple(size), "channels": channels, "attributes": None, "value_range": None}
        settings |= {key: value for key, value in options.items() if value is not None}
        data = open_data(self.config.data if source is None else source, **settings)
        if other and self.config.value_range and data.store.dtype.is_floating_point:
            low, high = parse_range(self.config.value_range)
            data = replace(data, low=low, high=high)
        if source is None and data.digest != self.trained_on:
            raise GenaeError(
                f"the images, labels or splits of {data.name} are not those that {self.name} was trained on; "
                "name another source with --data"
            )
        if data.image_shape != self.image_shape:
            raise GenaeError(
                f"{data.name} has images of {data.image_shape}; {self.name} was trained on {self.image_shape}"
            )
        return data

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.image_shape))
        priors = ", ".join(self.priors) or "none"
        return f"<Model {self.name}: {self.config.model}, images {shape}, codes of {self.code_dim}, priors {priors}>"

    def _images(self, images: Images) -> Tensor:
        return as_images(images, self.image_shape, self._open)

    def _open(self, source: str | list[Image.Image | str | Path]) -> ImageData:
        """Pictures and files, brought to the size and channels of this model."""
        channels, *size = self.image_shape
        return open_data(source, size=(size[0], size[1]), channels=channels, fit=self.config.fit)

    def _batched(self, function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        with torch.no_grad(), exact_float32():
            parts = (function(part.to(self.device)).float().cpu() for part in rows.split(self.batch))
            return filled(parts, len(rows))

    def _expect_encoder(self, space: str) -> None:
        """Raise `GenaeError` where images cannot be brought to a space."""
        if not self.autoencoder.has_encoder:
            raise GenaeError(f"{self.name} ({self.config.model}) has no encoder: it can sample and decode, not encode")
        if space != "code" and not self._prior(space).has_encoder:
            raise GenaeError(f"the {space} prior of {self.name} has no encoder: images have no z there; use space code")

    def _through_prior(
        self,
        space: str,
        verb: Literal["encode", "decode"],
        rows: Tensor,
        given: str | Sequence[str] | None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Rows [N, ...] through a prior, batch by batch; rows of the space ``code`` are what they are."""
        if space == "code":
            if given is not None:
                raise GenaeError(f"a class is given ({given}), and the space code knows none; name a prior's space")
            return rows
        prior = self._prior(space)
        if given is None:
            return self._batched(prior.encode if verb == "encode" else prior.decode, rows)
        told = self.given(space, given, len(rows), guidance)
        assert isinstance(prior, ConditionalPrior)
        through = prior.encode if verb == "encode" else prior.decode
        labels = iter(told.labels.split(self.batch))
        return self._batched(lambda part: through(part, told._replace(labels=next(labels))), rows)

    def training_codes(self, data: ImageData, run: Path | None, progress: Progress = silent) -> Rows:
        """Codes [N, D] of the training images, read when they are needed.

        They are encoded once, and kept in the ``codes/`` of the run; without a run in a temporary file, for as long as
        they are used. An encoding that was interrupted goes on. Under torchrun processes share the work. Raises
        `GenaeError`.
        """
        if not self.autoencoder.has_encoder:
            raise GenaeError(f"{self.name} ({self.config.model}) has no encoder: there are no codes to fit a prior to")
        train = data.split("train")

        def make(start: int) -> Iterator[Tensor]:
            def report(text: str, done: int, _: int) -> None:
                progress(text, start + done, len(train))

            return self.encoded(data, train[start:], progress=report)

        folder = str(run / "codes") if run else distributed.by_writer(lambda: tempfile.mkdtemp(prefix="genae-codes-"))
        path = Path(folder) / f"train-{self.digest}-{data.digest}.npy"
        earlier = path.with_suffix(".safetensors")  # as genae 0.1 kept them
        if run and distributed.by_writer(lambda: earlier.exists() and not path.exists()):
            return load_tensors(earlier)[0]["codes"]
        codes = kept_codes(path, (len(train), self.code_dim), make, progress)
        if run is None and distributed.rank() == 0:
            weakref.finalize(codes, shutil.rmtree, folder, ignore_errors=True)
        return codes

    def add_priors(self, fitted: Mapping[str, Prior]) -> None:
        """Priors that were fitted later; they can then be used like those that were trained with the model."""
        priors = nn.ModuleDict({**self.autoencoder.priors, **fitted})
        self.autoencoder.priors = cast(Mapping[str, Prior], priors.to(self.device).eval())

    def solve_in(self, steps: int) -> None:
        """Let every prior that is a flow solve its equation in so many steps, instead of those that it was made with.

        Raises `GenaeError` for a model without flows.
        """
        expect_whole("solver-steps", steps, 1)
        if steps > MOST_STEPS:
            raise GenaeError(f"solver-steps is {steps:,}; expected at most {MOST_STEPS:,}")
        flows = [flow for prior in self.autoencoder.priors.values() for flow in flows_of(prior)]
        if not flows:
            raise GenaeError(f"{self.name} has no prior with solver steps; genae prior RUN flow-matching fits one")
        for flow in flows:
            flow.solver_steps = steps

    def outdated_priors(self) -> list[str]:
        """Names of priors in the run that were fitted to the codes of other weights, and are none of this model's."""
        files = sorted((self.folder / "priors").glob("*.safetensors")) if self.folder else []
        return [f.stem for f in files if read_metadata(f).get("weights") != self.digest]

    def check_prior(self, name: str) -> None:
        """Raise `GenaeError` if there is no prior of this name."""
        self._prior(name)

    def first_prior(self, conditional: bool = False) -> str:
        """The name of the first prior; ``conditional``: of the first that knows classes, where there is one.

        Raises `GenaeError` for a model without priors.
        """
        if not self.priors:
            raise GenaeError(f"{self.name} ({self.config.model}) has no prior to sample from")
        able = [name for name in self.priors if self.classes(name)] if conditional else []
        return (able or self.priors)[0]

    def _prior(self, name: str) -> Prior:
        if name not in self.autoencoder.priors and name in self.outdated_priors():
            raise GenaeError(
                f"the prior {name!r} of {self.name} was fitted to other weights of this run: fit it again, or choose "
                "those weights with --checkpoint"
            )
        if name not in self.autoencoder.priors:
            raise GenaeError(f"{self.name} has no prior {name!r}; {nearest(name, self.priors)}")
        return self.autoencoder.priors[name]


def as_codes(codes: object) -> Tensor:
    """Codes as a float32 tensor. Raises `GenaeError` for what is neither a tensor nor a NumPy array of numbers."""
    if isinstance(codes, np.ndarray) and codes.dtype.kind in "uif":
        codes = torch.from_numpy(np.ascontiguousarray(codes))
    if not isinstance(codes, Tensor):
        raise GenaeError(f"codes are of type {type(codes).__name__}; expected a tensor or a NumPy array [N, D]")
    return codes if codes.dtype == torch.float32 else codes.float()


def check_finite(codes: Tensor) -> None:
    """Raise `GenaeError` for codes that hold NaN or infinity."""
    finite = codes.isfinite().flatten(1).all(1)
    if not finite.all():
        raise GenaeError(f"code {int((~finite).nonzero()[0])} holds NaN or infinity; expected finite numbers")


def as_booleans(has: object, count: int) -> Tensor:
    """Booleans [count] as a tensor, from booleans or from 0 and 1. Raises `GenaeError` for anything else."""
    try:
        values = torch.as_tensor(has).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise GenaeError(f"has is of type {type(has).__name__}; expected {count} booleans") from None
    if tuple(values.shape) != (count,):
        raise GenaeError(f"has has shape {list(values.shape)}; expected a boolean for each of the {count} images")
    if not ((values == 0) | (values == 1)).all():
        raise GenaeError(
            f"has holds {values[(values != 0) & (values != 1)][0].item():g}; expected booleans, such as labels == 3"
        )
    return values.bool()


def expect_whole(name: str, value: object, least: int | None = None) -> None:
    """Raise `GenaeError` for what is no whole number, or one below ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or (least is not None and value < least):
        wanted = "a whole number" if least is None else f"a whole number of at least {least}"
        raise GenaeError(f"{name} is {value!r}; expected {wanted}")


def is_run(path: Path | str) -> bool:
    """Whether `load` would take it for a run folder or a weights file."""
    path = Path(path).expanduser()
    return path.suffix == ".safetensors" or any((path / name).exists() for name in ("config.json", "best.safetensors"))


def load(
    run: Path | str, device: str = "auto", *, checkpoint: str | int | None = None, with_fitted_priors: bool = True
) -> Model:
    """A trained model from a run folder (its best weights, else its newest checkpoint) or a weights file.

    ``checkpoint`` chooses other weights of a run: ``best``, ``last``, or a number of images after which a checkpoint
    was kept.
    ``with_fitted_priors``: also the priors that ``genae prior`` fitted to the codes of these weights.

    Raises `GenaeError` for anything else.
    """
    if not isinstance(run, str | Path) or run == "":
        raise GenaeError(f"the run is {run!r}; expected the path of a run folder or of a weights file")
    path = Path(run).expanduser()
    weights = path
    if path.is_dir():
        folder = RunFolder(path)
        newest = folder.weights
        if not newest:
            raise GenaeError(f"{path} holds no trained weights; expected a run folder of genae train")
        weights = newest if checkpoint is None else folder.weights_at(str(checkpoint))
    elif checkpoint is not None:
        raise GenaeError(f"checkpoint is {checkpoint!r}, and {path} is not a run folder; leave the checkpoint out")
    elif not path.exists():
        raise GenaeError(f"there is no run {str(run)!r}; expected a run folder or a weights file")
    tensors, metadata = load_tensors(weights)
    if not {"config", "image_shape", "data"} <= metadata.keys():
        raise GenaeError(f"{weights} does not hold a genae model")
    config = Config.from_json(metadata["config"], str(weights))
    channels, height, width = json.loads(metadata["image_shape"])
    model = build_model(config, (channels, height, width))
    load_weights(model, tensors, weights)
    of_run = path.is_dir()
    loaded = Model(
        model, config, distributed.start(device), path.name, metadata["data"], path if of_run else None,
        _which(model, weights, int(metadata.get("images", 0))) if of_run else "",
    )  # fmt: skip
    if with_fitted_priors:
        loaded.add_priors(fitted_priors(path / "priors", loaded.digest))
    return loaded


def _which(model: Autoencoder, weights: Path, images: int) -> str:
    """Which of a run's weights a file holds, in words."""
    return "imported" if model.origin else f"{CHECKPOINTS[weights.name]} after {images:,} images"


def fitted_priors(folder: Path, digest: str) -> dict[str, Prior]:
    """The priors of `genae prior` in a run's ``priors/`` that were fitted to codes of the weights with this hash."""
    priors: dict[str, Prior] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors, metadata = load_tensors(file)
        if metadata.get("weights") == digest:
            fit = Fit(**json.loads(metadata["fit"]))
            shape = json.loads(metadata.get("code_shape", f"[{metadata['code_dim']}]"))
            priors[file.stem] = fit.build(tuple(shape), json.loads(metadata.get("classes", "[]")))
            try:
                load_weights(priors[file.stem], tensors, file)
            except GenaeError as error:
                again = f"fit it again with genae prior {folder.parent} {fit.kind} --name {file.stem}, or delete it"
                raise GenaeError(f"{error}; {again}") from None
    return priors
