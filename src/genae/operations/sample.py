"""New images."""

from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from genae.errors import GenaeError
from genae.model import Model
from genae.operations.operation import Answer, Operation, expect_between, expect_fits
from genae.operations.session import Session
from genae.reports import figures

COUNT = 64
ALL = "all"
"""Stands for every class, unless a class is called so."""


class Drawn(NamedTuple):
    """What `Sample.drawn` gives."""

    codes: Tensor
    """[N, D]; of models with styles [N, layers, D]."""
    classes: list[str]
    """The class of each that was asked for; empty where none was."""


@dataclass(frozen=True)
class Sample(Operation):
    """New images of one prior, by default the model's first.

    A prior that knows classes can be ``given`` some of them, or ``all``. Of several there are ``count`` images each, by
    default `figures.EACH`; else 64.
    """

    prior: str = ""
    count: int | None = None
    seed: int = 0
    truncation: float = 1.0
    given: tuple[str, ...] = ()
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if self.count is not None:
            expect_between("count", self.count, 1)

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """One row; its numbers have the ``classes`` of the images."""
        self._expect_fits(session.model)
        codes, classes = self.drawn(session.model)
        images = {"samples": session.model.decode(codes)}
        return Answer(images, numbers={"classes": classes}, codes=codes if codes.ndim == 2 else None)

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae sample`'s: a sheet, or of several classes a row for each."""
        self._expect_fits(session.model)
        model = session.model
        prior, classes = self.prior_of(model), self.classes(model)
        title = figures.sample_title(prior, self.seed, self.truncation, self.guidance)
        codes, _ = self.drawn(model)
        images = model.decode(codes)
        if len(classes) > 1:
            return figures.class_grid(images.unflatten(0, (len(classes), -1)), classes, title)
        return figures.sheet(images, f"Class {classes[0]}. {title}" if classes else title)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        given = [word for name in self.given for word in ("--given", name)]
        return ["sample", *self.flags("given"), *given]

    def limit(self, most: int) -> None:
        """Of samples."""
        expect_between("count", (self.count or COUNT) * max(1, len(self.given)), 1, most)

    def drawn(self, model: Model) -> Drawn:
        """The codes, class after class. Raises `GenaeError`."""
        prior, classes, number = self.prior_of(model), self.classes(model), self._number(model)
        of_each = [name for name in classes for _ in range(number)]
        codes = model.sample_codes(number * max(1, len(classes)), self.seed, prior, of_each or None, self.guidance)
        codes = codes if self.truncation == 1 else model.truncate(codes, self.truncation, prior, of_each or None)
        return Drawn(codes, of_each)

    def classes(self, model: Model) -> list[str]:
        """The names of the classes that are given, each once."""
        known = model.classes(self.prior_of(model))
        names: list[str] = []
        for text in self.given:
            if text == ALL and known and ALL not in known:
                names += known
            else:
                names += [text] if text in known else [part.strip() for part in text.split(",")]
        return list(dict.fromkeys(names))

    def prior_of(self, model: Model) -> str:
        """The name of the prior that is sampled. Raises `GenaeError` for a model without one."""
        if not self.prior and not model.priors:
            raise GenaeError(f"{model.name} ({model.config.model}) has no prior to sample from")
        return self.prior or model.first_prior(conditional=bool(self.given))

    def _number(self, model: Model) -> int:
        """Samples of each class, or of the prior."""
        return self.count or (figures.EACH if len(self.classes(model)) > 1 else COUNT)

    def _expect_fits(self, model: Model) -> None:
        expect_fits(self._number(model) * max(1, len(self.classes(model))), "samples")
