"""Pictures and their reconstructions."""

from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from genae.metrics.reconstruction import mse, psnr
from genae.operations.operation import Answer, Operation, expect_pictures
from genae.operations.session import Session
from genae.reports import figures


@dataclass(frozen=True)
class Reconstruct(Operation):
    """Pictures, what each path (through the code, through a prior) gives back, and where that fails."""

    truncation: float = 1.0

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """A row for every path, and the error of the first relative to its largest. In numbers: errors, and by how many
        of 255 grey levels a row differs from the first at most."""
        expect_pictures(len(pictures), 1)
        model = session.model
        if self.truncation != 1:
            rows = {"code": model.reconstruct(pictures, "code", self.truncation)}
        else:
            rows = {space: model.decode(session.encode(pictures, space), space) for space in model.spaces or ["code"]}
        first = next(iter(rows.values()))
        wrong = (first - pictures).square().mean(1, keepdim=True)
        numbers = {
            name: {
                "mse": mse(x_hat, pictures).tolist(),
                "psnr": psnr(x_hat, pictures).clamp_max(100).tolist(),
                "difference": float((x_hat - first).abs().max()) * 127.5,
            }
            for name, x_hat in rows.items()
        }
        heat = {"error": (wrong / wrong.max().clamp_min(1e-12)).sqrt()}
        return Answer(rows, heat, numbers, session.encode(pictures, "code"))

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae reconstruct`'s."""
        expect_pictures(len(pictures), 1)
        return figures.reconstruction_grid(session.model, pictures, self.truncation)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        expect_pictures(count, 1)
        return ["reconstruct", "--count", str(count), *self.flags()]
