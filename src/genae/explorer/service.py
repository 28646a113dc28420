"""What the explorer's addresses ask for: one model, the pictures on its page, and maps of its data."""

import io
from dataclasses import replace

import torch
from torch import Tensor

from genae.data.sampler import shuffled
from genae.errors import GenaeError
from genae.explorer.encoding import File, Json, figure_png, json_of, png
from genae.explorer.requests import MOST_IMAGES, OperationRequest, PilesRequest, checked_indices
from genae.explorer.tray import Tray
from genae.explorer.worker import Worker
from genae.operations import Answer, Operation, Session, command, described
from genae.operations.interpolate import Interpolate
from genae.operations.map import Map
from genae.reports.figures import save_animation
from genae.settings.parser import shell_line
from genae.storage import arrays_as_bytes


class Explorer:
    """Answers for one page. Its methods take what requests ask for; the addresses call them in a worker's thread.

    ``run`` and ``data_root`` stand in the command lines that the page shows, as the person has given them.
    """

    def __init__(self, session: Session, run: str, data_root: str | None = None) -> None:
        self.session = session
        self.run = run
        self.data_root = data_root
        self.tray = Tray(session.model)
        # What takes long (encoding the training images) has a worker of its own: pictures are drawn meanwhile.
        self.quick, self.slow = Worker("quick"), Worker("slow")

    def give_up(self) -> None:
        """Refuse what is waited for: the server ends."""
        self.quick.give_up()
        self.slow.give_up()

    def worker_for(self, operation: Operation) -> Worker:
        """The slow worker, if the operation has to learn from the training images first."""
        return self.quick if operation.is_ready(self.session) else self.slow

    # The model, and the pictures on the page

    def describe(self) -> Json:
        """What the page has to know of the model."""
        return described(self.session, self.run)

    def take_data(self, split: str, start: int, count: int, of: str = "") -> Json:
        """Put images of a split on the page, from the one in place ``start`` of a fixed random order.

        ``of`` a class or attribute: those of its images.
        """
        data = self.session.data
        indices = self.session.sets[of].indices(split) if of else data.split(split)
        first = max(0, start)
        number = min(max(0, count), MOST_IMAGES, max(0, len(indices) - first))
        taken = indices[shuffled(first, number, len(indices), seed=0)] if number else indices[:0]
        names = [] if data.labels is None else [data.classes[i] for i in data.labels[taken].tolist()]
        return {"pictures": self.tray.add(data.images(taken)), "labels": names, "total": len(indices)}

    def take_images(self, indices: object) -> Json:
        """Put images of the run's data on the page, by their numbers."""
        return {"pictures": self.tray.add(self._data_images(indices))}

    def data_png(self, index: int) -> bytes:
        """An image of the run's data as a PNG file."""
        return png(self._data_images([index])[0])

    def _data_images(self, indices: object) -> Tensor:
        data = self.session.data
        return data.images(torch.tensor(checked_indices(indices, len(data)), dtype=torch.long))

    # Operations: each raises `GenaeError` for what the user can mend

    def answer(self, request: OperationRequest) -> Json:
        """Images and numbers for the page."""
        return json_of(request.operation.answer(self.session, self.tray.images(request.pictures)))

    def figure(self, request: OperationRequest) -> File:
        """The figure that the command line writes."""
        figure = request.operation.figure(self.session, self.tray.images(request.pictures))
        return File(figure_png(figure), f"{request.name}.png", "image/png")

    def animation(self, request: OperationRequest) -> File:
        """The animation that the command line writes, of an interpolation alone."""
        if not isinstance(request.operation, Interpolate):
            raise GenaeError(f"{request.name} has no animation; expected interpolate")
        buffer = io.BytesIO()
        save_animation(request.operation.frames(self.session, self.tray.images(request.pictures)), buffer)
        return File(buffer.getvalue(), f"{request.name}.gif", "image/gif")

    def pictures(self, request: OperationRequest) -> File:
        """The pictures themselves, for the command line's ``--data``."""
        return File(self.tray.zipped(request.pictures), "pictures.zip", "application/zip")

    def codes(self, request: OperationRequest) -> File:
        """The codes that the answer was decoded from."""
        arrays = request.operation.arrays(self.session, self.tray.images(request.pictures))
        return File(arrays_as_bytes(arrays, space="code"), "codes.npz", "application/zip")

    def commands(self, request: OperationRequest) -> Json:
        """The command lines that write the figure, and the animation of an interpolation."""
        count = len(self.tray.images(request.pictures))
        files = [(request.operation, f"{request.name}.png")]
        if isinstance(request.operation, Interpolate):
            files.append((replace(request.operation, square=False), f"{request.name}.gif"))
        lines = [command(self.run, drawn, count, out, self.data_root) for drawn, out in files]
        return {"commands": [shell_line(line) for line in lines]}

    def place(self, drawn: Map, x: float, y: float) -> Json:
        """What the model makes of a place on a map."""
        code = drawn.atlas(self.session).code_at(x, y)
        return json_of(Answer({"place": self.session.model.decode(code)}))

    # What is learned from the training images, or from pictures

    def learn(self, direction: str | None, likelihood: str) -> None:
        """Learn a direction by its name, or without one what `Anomaly` compares with, so that it will be quick."""
        if direction is None:
            self.session.detector(likelihood)
        else:
            self.session.direction(direction)

    def save_direction(self, piles: PilesRequest) -> Json:
        """Save a direction to the run that two piles of pictures show."""
        having, lacking = self.tray.images(piles.having), self.tray.images(piles.lacking)
        path = self.session.save_direction(piles.name, having, lacking)
        return {"saved": str(path), "directions": self.session.saved_directions()}
