"""Iterations replayed as a CUDA graph: one launch instead of one for each kernel."""

import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from genae.errors import GenaeError, reason
from genae.protocol import Autoencoder, Part
from genae.training.loop import Loop, Record

WARM_UP = 3  # iterations before the capture: what CUDA and the optimisers make once must be there


class CapturedLoop(Loop):
    """A `Loop` on a CUDA device, in one process, whose iterations after the first three replay one captured graph.

    Only for models that are ``steady``. Batches are copied into the graph's own tensors. The device's random numbers
    start anew with every iteration, from the seed and the images seen, whether it is captured, replayed or neither: so
    a resumed run, which captures anew, draws the same. ``options`` are those of `Loop`.
    """

    def __init__(self, model: Autoencoder, batches: Callable[[int, Part], Iterator[Tensor]], **options: Any) -> None:
        super().__init__(model, self._inputs, **options)
        self.source = batches
        self.inputs: list[Tensor] = []
        self.warm = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.reported: list[tuple[str, list[str]]] = []
        for optimiser in self.optimisers.values():
            optimiser.param_groups[0] |= {"capturable": True, "lr": torch.zeros((), device=self.device)}

    def iteration(self, images: int, learning_rate: float) -> list[Record]:
        """As `Loop.iteration`."""
        if self.warm < WARM_UP:
            self.warm += 1
            return self._warm_up(images, learning_rate)
        if self.graph is None:
            self.inputs = [x.detach().clone() for x in self.inputs]
            self._capture(images)
        for x, new in zip(self.inputs, islice(self.source(images, Part(0, 1)), len(self.inputs)), strict=True):
            x.copy_(new)
        self._set_learning_rate(learning_rate)
        self._reseed(images, 0)
        self.graph.replay()  # type: ignore[union-attr]
        values = iter(self.values.clone())  # the next replay overwrites them
        return [Record(images, name, {key: next(values) for key in keys}) for name, keys in self.reported]

    def _warm_up(self, images: int, learning_rate: float) -> list[Record]:
        """An iteration on a stream of its own, as captures need it before them."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        self.inputs = []
        with torch.cuda.stream(stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            records = super().iteration(images, learning_rate)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        return records

    def _capture(self, images: int) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):  # nothing is computed: what the iteration would launch is written down
                records = super().iteration(images, 0.0)
                self.values = torch.stack([v.float().mean() for r in records for v in r.values.values()])
        except RuntimeError as error:
            why = reason(error.__context__ or error)  # the end of a failed capture raises an error of its own
            raise GenaeError(
                f"an iteration of {type(self.model).__name__} cannot be captured: {why}; leave out --capture"
            ) from error
        self.reported = [(record.name, list(record.values)) for record in records]
        self.graph = graph

    def _inputs(self, images: int, part: Part) -> Iterator[Tensor]:
        """The batches of an iteration that is warming up, kept; of a captured one, the tensors that it will read."""
        if torch.cuda.is_current_stream_capturing():
            yield from (x.detach() for x in self.inputs)  # an algorithm may ask for gradients at its batch
            return
        for x in self.source(images, part):
            self.inputs.append(x)
            yield x

    def _set_learning_rate(self, learning_rate: float) -> None:
        if not torch.cuda.is_current_stream_capturing():
            for optimiser in self.optimisers.values():
                optimiser.param_groups[0]["lr"].fill_(learning_rate)

    def _reseed(self, images: int, index: int) -> None:
        if index == 0 and not torch.cuda.is_current_stream_capturing():
            super()._reseed(images, index)
