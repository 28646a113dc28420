"""How unusual pictures are to a model, and where."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from genae.data.sources import ImageData
from genae.operations.detector import Anomalies, Detector
from genae.operations.operation import Answer, Operation, expect_pictures
from genae.operations.session import Session
from genae.reports.figures import grid, in_colour, lit
from genae.storage import write_atomically


@dataclass(frozen=True)
class Anomaly(Operation):
    """How strange pictures are, and where; ``likelihood`` is a prior whose density tells how rare a code is."""

    likelihood: str = ""

    reads_data: ClassVar[bool] = True

    def answer(self, session: Session, pictures: Tensor) -> Answer:
        """Heat, and the numbers of `Anomalies`."""
        expect_pictures(len(pictures), 1)
        detector = session.detector(self.likelihood)
        judged = detector.judge(pictures)
        numbers = {
            "score": judged.score.tolist(), "error": judged.error.tolist(), "rarity": judged.rarity.tolist(),
            "nats": judged.nats.tolist(), "anomalous": judged.anomalous.tolist(), "threshold": detector.threshold,
        }  # fmt: skip
        return Answer({}, {"strange": judged.heat}, numbers)

    def figure(self, session: Session, pictures: Tensor) -> Image.Image:
        """`genae anomaly`'s: pictures, the strangest first, their reconstructions, and where these fail."""
        expect_pictures(len(pictures), 1)
        return anomaly_grid(session.detector(self.likelihood), pictures)

    def command(self, count: int) -> list[str]:
        """Arguments of the command line."""
        expect_pictures(count, 1)
        return ["anomaly", "--count", str(count), *self.flags()]

    def is_ready(self, session: Session) -> bool:
        """Whether the detector is learned."""
        return session.knows_detector(self.likelihood)


def anomaly_grid(detector: Detector, pictures: Tensor) -> Image.Image:
    """Pictures, the strangest first, their reconstructions, and where these fail, with the scores."""
    judged = detector.judge(pictures)
    order = judged.score.argsort(descending=True, stable=True)
    images, heat = pictures[order], judged.heat[order]
    rows = torch.stack([in_colour(images), in_colour(detector.model.reconstruct(images)), lit(images, heat)])
    scores = [f"{score:.1f}" for score in judged.score[order].tolist()]
    title = f"The strangest images; one held-out image in a hundred passes {detector.threshold:.1f}"
    return grid(rows, ["image", "reconstruction", "where it fails"], scores, title)


def write_table(judged: Anomalies, data: ImageData, indices: Tensor, path: Path) -> None:
    """A line for every image: number, file name if there is one, score, error, rarity, with a likelihood nats, and
    whether it is anomalous."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    columns = {"score": judged.score, "error": judged.error, "rarity": judged.rarity}
    if len(judged.nats):
        columns["nats"] = judged.nats
    columns["anomalous"] = judged.anomalous.int()
    writer.writerow(["image", "name", *columns])
    for index, *values in zip(indices.tolist(), *(column.tolist() for column in columns.values()), strict=True):
        name = data.names[index] if data.names else ""
        writer.writerow([index, name, *(f"{value:.6g}" for value in values)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lines.getvalue())
