"""New images."""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from genae.errors import GenaeError
from genae.model import Model
from genae.operations.operation import Answer, Operation, expect_between, expect_fits
from genae.operations.session import Session
from genae.reports import figures


@dataclass(frozen=True)
class Sample(Operation):
    """New images of one prior, by default the model's first."""

    prior: str = ""
    count: int = 64
    seed: int = 0
    truncation: float = 1.0
    given: str = ""
    """The class of all samples, where the prior knows classes."""
    guidance: float = 1.0

    def __post_init__(self) -> None:
        expect_between("count", self.count, 1)

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """One row."""
        model = session.model
        codes = model.sample_codes(self.count, self.seed, self._prior(model), self.given or None, self.guidance)
        if self.truncation != 1:
            codes = model.truncate(codes, self.truncation, self._prior(model))
        return Answer({"samples": model.decode(codes)}, codes=codes if codes.ndim == 2 else None)

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae sample`'s."""
        expect_fits(self.count, "samples")
        prior = self._prior(session.model)
        return figures.sample_grid(
            session.model, self.count, self.seed, prior, self.truncation, self.given, self.guidance
        )

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        return ["sample", *self.flags()]

    def limit(self, most: int) -> None:
        """Of samples."""
        expect_between("count", self.count, 1, most)

    def _prior(self, model: Model) -> str:
        if not self.prior and not model.priors:
            raise GenaeError(f"{model.name} ({model.config.model}) has no prior to sample from")
        return self.prior or model.first_prior(conditional=bool(self.given))
