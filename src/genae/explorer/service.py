"""What the explorer's addresses ask for: one model, the pictures on its page, and maps of its data."""

import io
import shlex
from collections import OrderedDict

import torch
from torch import Tensor

from genae.data.sampler import shuffled
from genae.errors import GenaeError
from genae.explorer.encoding import File, Json, figure_png, json_of, png
from genae.explorer.requests import MOST_IMAGES, MapRequest, OperationRequest, PilesRequest, checked_indices
from genae.explorer.tray import Tray
from genae.explorer.worker import Worker
from genae.operations.answers import Answer
from genae.operations.atlas import Atlas, class_colour, map_picture
from genae.operations.render import Renderer, command, described
from genae.reports.figures import save_animation
from genae.storage import arrays_as_bytes

MOST_MAPS = 4
"""Maps that are kept."""


class Explorer:
    """Answers for one page. Its methods take what requests ask for; the addresses call them in a worker's thread.

    ``run`` and ``data_root`` stand in the command lines that the page shows, as the person has given them.
    """

    def __init__(self, renderer: Renderer, run: str, data_root: str | None = None) -> None:
        self.renderer = renderer
        self.run = run
        self.data_root = data_root
        self.tray = Tray(renderer.model)
        # What takes long (encoding the training images) has a worker of its own: pictures are drawn meanwhile.
        self.quick, self.slow = Worker("quick"), Worker("slow")
        self._maps: OrderedDict[MapRequest, Atlas] = OrderedDict()

    def give_up(self) -> None:
        """Refuse what is waited for: the server ends."""
        self.quick.give_up()
        self.slow.give_up()

    def worker_for(self, request: OperationRequest) -> Worker:
        """The slow worker, if the operation has to learn from the training images first."""
        return self.quick if self.renderer.is_ready(request.name, request.settings) else self.slow

    # The model, and the pictures on the page

    def describe(self) -> Json:
        """What the page has to know of the model."""
        return described(self.renderer, self.run)

    def take_data(self, split: str, start: int, count: int) -> Json:
        """Put images of a split on the page, from the one in place ``start`` of a fixed random order."""
        data = self.renderer.data
        indices = data.split(split)
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
        data = self.renderer.data
        return data.images(torch.tensor(checked_indices(indices, len(data.pixels)), dtype=torch.long))

    # Operations

    def answer(self, request: OperationRequest) -> Json:
        """Images and numbers for the page; what the user can mend is in ``error``."""
        pictures = self.tray.images(request.pictures)
        return json_of(self.renderer.answer(request.name, pictures, request.settings))

    def figure(self, request: OperationRequest) -> File:
        """The figure that the command line writes."""
        pictures = self.tray.images(request.pictures)
        drawn = self.renderer.figure(request.name, pictures, request.settings)
        return File(figure_png(drawn), f"{request.name}.png", "image/png")

    def animation(self, request: OperationRequest) -> File:
        """The animation that the command line writes."""
        buffer = io.BytesIO()
        save_animation(self.renderer.frames(self.tray.images(request.pictures), request.settings), buffer)
        return File(buffer.getvalue(), f"{request.name}.gif", "image/gif")

    def pictures(self, request: OperationRequest) -> File:
        """The pictures themselves, for the command line's ``--data``."""
        return File(self.tray.zipped(request.pictures), "pictures.zip", "application/zip")

    def codes(self, request: OperationRequest) -> File:
        """The codes that an answer was decoded from. Raises `GenaeError` where it was not."""
        answer = self.renderer.answer(request.name, self.tray.images(request.pictures), request.settings)
        if answer.error or answer.codes is None:
            raise GenaeError(answer.error or "these images were not decoded from codes of one vector each")
        return File(arrays_as_bytes({"codes": answer.codes}, space="code"), "codes.npz", "application/zip")

    def commands(self, request: OperationRequest) -> Json:
        """The command lines that write the figure, and the animation of an interpolation."""
        count = len(self.tray.images(request.pictures))
        kinds = (False, True) if request.name == "interpolate" else (False,)
        lines = [
            command(self.run, request.name, request.settings, count, self.data_root, animation=kind) for kind in kinds
        ]
        return {"commands": [shlex.join(line) for line in lines]}

    # Directions and maps: they look at the training images

    def learn(self, direction: str | None) -> None:
        """Learn a direction by its name, or without one what `Anomaly` compares with, so that it will be quick."""
        if direction is None:
            self.renderer.detector()
        else:
            self.renderer.direction(direction)

    def save_direction(self, piles: PilesRequest) -> Json:
        """Save a direction to the run that two piles of pictures show."""
        having, lacking = self.tray.images(piles.having), self.tray.images(piles.lacking)
        path = self.renderer.save_direction(piles.name, having, lacking)
        return {"saved": str(path), "directions": self.renderer.saved_directions()}

    def map(self, request: MapRequest) -> Json:
        """Places, errors and labels of the images of a map, and the colour of every class that occurs."""
        atlas, names = self._map(request), self.renderer.data.classes
        numbers = [] if atlas.labels is None else atlas.labels.tolist()
        return {
            "x": atlas.places[:, 0].tolist(), "y": atlas.places[:, 1].tolist(),
            "labels": [names[number] for number in numbers] or None,
            "classes": [{"name": names[number], "colour": class_colour(number)} for number in sorted(set(numbers))],
            "errors": atlas.errors.tolist(), "images": atlas.indices.tolist(),
        }  # fmt: skip

    def map_figure(self, request: MapRequest, colour: str) -> File:
        """The map that the command line writes."""
        return File(map_picture(self._map(request), self.renderer.data.classes, colour), "map.png", "image/png")

    def map_codes(self, request: MapRequest) -> File:
        """The codes of a map, their places, and the numbers of their images."""
        atlas = self._map(request)
        arrays = {"codes": atlas.codes, "places": atlas.places, "indices": atlas.indices}
        return File(arrays_as_bytes(arrays, space="code"), "codes.npz", "application/zip")

    def map_commands(self, request: MapRequest, colour: str) -> Json:
        """The command line that writes the map."""
        flags = ["--split", request.split, "--count", str(request.count), "--method", request.method]
        root = ["--data-root", self.data_root] if self.data_root else []
        line = ["genae", "map", self.run, *root, *flags, "--colour", colour, "--out", "map.png"]
        return {"commands": [shlex.join(line)]}

    def map_worker(self, request: MapRequest) -> Worker:
        """The slow worker, if the map has not been drawn yet."""
        return self.quick if request in self._maps else self.slow

    def place(self, request: MapRequest, x: float, y: float) -> Json:
        """What the model makes of a place on a map."""
        code = self._map(request).code_at(x, y)
        return json_of(Answer({"place": self.renderer.model.decode(code)}))

    def _map(self, request: MapRequest) -> Atlas:
        if request not in self._maps:
            atlas = Atlas(self.renderer.model, self.renderer.data, request.split, request.count, request.method)
            while len(self._maps) >= MOST_MAPS:
                self._maps.popitem(last=False)
            self._maps[request] = atlas
        return self._maps[request]
