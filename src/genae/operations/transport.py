"""Pictures of one set carried to another."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from genae.data.transforms import to_uint8
from genae.errors import GenaeError, nearest
from genae.latent.optimal_maps import MAPS, part_of_the_way
from genae.metrics.features import FeatureNetwork
from genae.metrics.reconstruction import mse
from genae.operations.operation import Answer, Operation, expect_fits, expect_pictures
from genae.operations.session import Session
from genae.progress import Progress, silent
from genae.reports import figures

BY = ("flow", *MAPS)
MOST_MEASURED = 1000
"""Images of the source's test split, at most, that `measure` looks at."""


@dataclass(frozen=True)
class Transport(Operation):
    """Pictures of the set ``source`` carried to the set ``target``: classes and attributes of the run's data.

    ``by`` are maps (`Model.transport`): by default the flow if there is one, and those in closed form. ``strengths``
    are shares of the way, by default the whole one, or quarters of it where there is one map. ``prior`` is the flow's.
    """

    reads_data: ClassVar[bool] = True

    source: str = ""
    target: str = ""
    by: tuple[str, ...] = ()
    strengths: tuple[float, ...] = ()
    prior: str = ""

    def __post_init__(self) -> None:
        if not (self.source and self.target):
            raise GenaeError("source or target is missing; expected two sets such as 3 and 8")
        if self.source == self.target:
            raise GenaeError(f"source and target are both {self.source!r}; expected two sets")
        for by in self.by:
            if by not in BY:
                raise GenaeError(f"by is {by!r}; {nearest(by, BY)}")
        for strength in self.strengths:
            if not 0 <= strength <= 1:
                raise GenaeError(f"strength is {strength:g}; expected 0 (the picture as it is) to 1 (carried)")

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """A row for every map and strength, and the reconstructions that they start from.

        In numbers: how far codes were carried, in the deviation of the source's codes; the errors against the pictures;
        and the classes that are recognised, where there is a classifier already.
        """
        expect_pictures(len(pictures), 1)
        model, codes = session.model, session.encode(pictures, "code")
        carried = dict(self.carried(session, codes))
        images = {name: model.decode(row) for name, row in carried.items()}
        deviation = session.sets.spread(self.source).deviation
        classifier = session.sets.classifier(self.target)
        numbers: dict[str, object] = {}
        for name, row in carried.items():
            classes = _classes(classifier, images[name]).tolist() if classifier else []
            numbers[name] = {
                "distance": (_lengths(row - codes) / deviation).tolist(),
                "mse": mse(images[name], pictures).tolist(),
                "recognised": [session.data.classes[number] for number in classes],
            }
        return Answer({**images, "reconstruction": session.decoded(pictures)}, {}, numbers)

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae transport`'s: pictures, their reconstructions, and a column for every map and strength."""
        expect_pictures(len(pictures), 1)
        codes = session.model.encode(pictures)
        carried = dict(self.carried(session, codes))
        expect_fits(len(pictures) * (len(carried) + 2), "images")
        columns = [pictures, *(session.model.decode(row) for row in (codes, *carried.values()))]
        names = ["image", "rebuilt", *carried]
        title = f"From {self.source} to {self.target}"
        return figures.grid(torch.stack(columns, 1), columns=names, title=title, cell=96)  # room for the names

    def arrays(self, session: Session, pictures: Tensor) -> dict[str, Tensor]:
        """The carried codes, by one map at one strength."""
        return {"codes": self.carried_alone(session, session.model.encode(pictures))}

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        expect_pictures(count, 1)
        flags = self.flags("source", "target")
        return ["transport", "--from", self.source, "--to", self.target, "--count", str(count), *flags]

    def is_ready(self, session: Session) -> bool:
        """Whether every map is learned."""
        return session.sets.are_learned(self.source, self.target, self.maps(session))

    def maps(self, session: Session) -> tuple[str, ...]:
        """The maps that are shown."""
        if self.by:
            return self.by
        return BY if self.prior or session.sets.has_flow(self.source, self.target) else tuple(MAPS)

    def carried(self, session: Session, codes: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Codes [N, D] carried by every map, as far as every strength says, each with its name."""
        maps = self.maps(session)
        strengths = self.strengths or ((0.25, 0.5, 0.75, 1.0) if len(maps) == 1 else (1.0,))
        for by in maps:
            whole = session.sets.map(self.source, self.target, by, self.prior)(codes)
            for strength in strengths:
                name = by if strength == 1 else f"{by} {strength:g}"
                yield name, part_of_the_way(codes, whole, strength)

    def carried_alone(self, session: Session, codes: Tensor) -> Tensor:
        """Codes [N, D] carried by the one map, at the one strength. Raises `GenaeError` where there are several."""
        if len(self.by) != 1 or len(self.strengths) > 1:
            raise GenaeError("a file holds the codes of one map at one strength; choose the map, and the strength")
        return next(iter(dict(replace(self, strengths=self.strengths or (1.0,)).carried(session, codes)).values()))


class Carried(NamedTuple):
    """What `measure` says of a map: means over images."""

    recognised: float
    """Share that the classifier takes for the target's; NaN without one."""
    distance: float
    """How far codes were carried: root mean square, in the deviation of the source's codes."""
    mse: float
    """Of the carried images against those that they were, values in [-1, 1]."""
    round_trip: float
    """The error of the codes on the way to the target and back, as ``distance``; NaN for what is not a whole way."""


def measure(
    session: Session, operation: Transport, classifier: FeatureNetwork | None, progress: Progress = silent
) -> dict[str, Carried]:
    """Carry the source's test images, and measure each map and strength.

    Beside them, to compare: the reconstructions that they start from, and those of other images of the target, which
    any map that keeps something of an image stays nearer than. Raises `GenaeError`.
    """
    sets, source, target = session.sets, operation.source, operation.target
    model, deviation = session.model, sets.spread(source).deviation
    indices, others = (sets[name].indices("test")[:MOST_MEASURED] for name in (source, target))
    for name, there in ((source, indices), (target, others)):
        if not len(there):
            raise GenaeError(f"{name!r} has no images in the test split to measure a map with")
    back = {by: sets.map(target, source, by, operation.prior) for by in operation.maps(session)}
    measured: dict[str, list[Tensor]] = {}
    done = 0
    for part in indices.split(model.batch):
        images = sets[source].data.images(part)
        codes = model.encode(images)
        paired = others[torch.arange(done, done + len(part)) % len(others)]
        of_target = model.encode(sets[target].data.images(paired))
        rows = {"reconstruction": codes, **dict(operation.carried(session, codes)), f"other {target}": of_target}
        for name, row in rows.items():
            x = model.decode(row)
            hits = _classes(classifier, x) == session.data.classes.index(target) if classifier else None
            returned = _lengths(back[name](row) - codes) / deviation if name in back else None
            columns = (hits, _lengths(row - codes) / deviation, mse(x, images), returned)
            absent = torch.full((len(part),), torch.nan)
            measured.setdefault(name, []).append(torch.stack([absent if c is None else c.double() for c in columns]))
        done += len(part)
        progress("images carried", done, len(indices))
    return {name: _mean(torch.cat(parts, 1)) for name, parts in measured.items()}


def _mean(columns: Tensor) -> Carried:
    """Of hits, distances, errors and errors of round trips [4, N]."""
    means, roots = columns.mean(1).tolist(), columns.square().mean(1).sqrt().tolist()
    return Carried(means[0], roots[1], means[2], roots[3])


def _lengths(away: Tensor) -> Tensor:
    """Root mean square [N] of the numbers of each row [N, D]."""
    return away.square().mean(1).sqrt()


def _classes(classifier: FeatureNetwork, images: Tensor) -> Tensor:
    """The number of the class [N] that each image is taken for."""
    probabilities = classifier(to_uint8(images)).probabilities
    assert probabilities is not None
    return probabilities.argmax(1)
