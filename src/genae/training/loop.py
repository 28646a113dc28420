"""The one training loop: it steps whatever networks an algorithm's updates name."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genae import distributed
from genae.data.sampler import mix_seed
from genae.distributed.gradients import summed_gradients
from genae.errors import GenaeError
from genae.networks.layers import batch_norm_explained
from genae.protocol import (
    Autoencoder,
    ConditionalPrior,
    Part,
    Prior,
    ProtocolError,
    Update,
    networks_of,
    reseed,
    working_on,
)
from genae.training.precision import fast_float32


class Record(NamedTuple):
    """What one update reported: kept as tensors, so that logging does not wait for the device."""

    images: int
    name: str
    values: dict[str, Tensor]


class Loop:
    """Steps the networks of ``model``: one Adam per network, gradients only for the networks that an update names.

    ``batches(images, part)`` gives the endless stream of batches of one iteration for one part of the whole batch;
    ``precision`` is ``float32`` or ``bfloat16`` (autocast; parameters, losses and optimisers stay float32);
    ``accumulate`` splits each batch of a process into that many parts, whose gradients are averaged;
    ``fused`` False takes PyTorch's plain Adam; ``labels`` gives those of the batches, for a `ConditionalPrior`.
    """

    def __init__(
        self,
        model: Autoencoder | Prior,
        batches: Callable[[int, Part], Iterator[Tensor]],
        *,
        betas: tuple[float, float] = (0.5, 0.9),
        seed: int = 0,
        precision: str = "float32",
        accumulate: int = 1,
        compiled: bool = False,
        fused: bool = True,
        labels: Callable[[int, Part], Iterator[Tensor]] | None = None,
    ) -> None:
        self.model = model
        self.batches = batches
        self.labels = labels
        self.seed = seed
        self.precision = precision
        self.accumulate = accumulate
        self.networks = networks_of(model)
        self.names = {id(network): name for name, network in self.networks.items()}
        # Listed once: walking over modules for every update would cost as much as a small network's forward pass.
        self.parameters = {name: list(network.parameters()) for name, network in self.networks.items()}
        self.device = next(model.parameters()).device
        self.optimisers = {
            name: torch.optim.Adam(parameters, betas=betas, fused=fused) for name, parameters in self.parameters.items()
        }
        self.compiled = compiled
        if compiled:
            # All instances of a class share one recompile limit; several priors soon pass the default of 8.
            torch._dynamo.config.recompile_limit = max(64, 8 * len(self.networks))
            for network in self.networks.values():
                network.compile()

    def iteration(self, images: int, learning_rate: float) -> list[Record]:
        """Run one iteration of the algorithm after ``images`` images."""
        self._set_learning_rate(learning_rate)
        with fast_float32(self.device):
            return self._updates(images)

    def _updates(self, images: int) -> list[Record]:
        first, count = distributed.rank() * self.accumulate, distributed.world_size() * self.accumulate
        batch = self.model.stage(images).batch_size if isinstance(self.model, Autoencoder) else 0
        parts = [Part(first + i, count, batch) for i in range(self.accumulate)]
        steps = [self._begun(images, part) for part in parts]
        records: list[Record] = []
        index = 0
        while True:
            update: Update | None = None
            for step, part in zip(steps, parts, strict=True):
                update = self._advance(step, part, images, index)
                if update is None:
                    break
                last = part is parts[-1]  # gradients of earlier parts wait for its own
                with summed_gradients(self._parameters(update), distributed.world_size() if last else 1):
                    self._backward(update, count / part.weight, index, records)
                values = {"loss": update.loss, **update.terms}
                terms = {key: value.detach() for key, value in values.items()}
                if part.weight != 1:  # the mean over parts and processes is that of the whole batch
                    terms = {key: value * part.weight for key, value in terms.items()}
                records.append(Record(images, self._name(update), terms))
            if update is None:
                return records
            self._step(update, index)
            index += 1

    def _begun(self, images: int, part: Part) -> Iterator[Update]:
        """The algorithm's iteration for a part, at its start."""
        if self.labels is not None and isinstance(self.model, ConditionalPrior):
            return self.model.step(self.batches(images, part), images, self.labels(images, part))
        return self.model.step(self.batches(images, part), images)

    def _set_learning_rate(self, learning_rate: float) -> None:
        for optimiser in self.optimisers.values():
            optimiser.param_groups[0]["lr"] = learning_rate

    def _advance(self, step: Iterator[Update], part: Part, images: int, index: int) -> Update | None:
        """Run the algorithm to its next yield, with fresh random numbers and a fresh autocast region."""
        self._reseed(images, index)
        half = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with working_on(part), half, batch_norm_explained():
            update = next(step, None)
        if update is not None:
            self._check(update, index)
        return update

    def _reseed(self, images: int, index: int) -> None:
        reseed(mix_seed("iteration", self.seed, images, index), self.device)

    def _check(self, update: Update, index: int) -> None:
        if not isinstance(update, Update):
            raise ProtocolError(f"update {index + 1}: step yielded {type(update).__name__}; expected an Update")
        if not update.trains:
            raise ProtocolError(f"update {index + 1} trains no network; list at least one")
        for network in update.trains:
            if id(network) not in self.names:
                raise ProtocolError(
                    f"update {index + 1} trains a {type(network).__name__} that is not one of the model's networks "
                    f"({', '.join(self.networks)})"
                )
        where = f"update {index + 1} ({self._name(update)})"
        if update.loss.numel() != 1:
            raise ProtocolError(f"{where}: the loss has shape {list(update.loss.shape)}; expected a scalar")
        if not torch.is_grad_enabled():
            raise ProtocolError(f"{where} was yielded inside torch.no_grad(); end every with block before yielding")
        for name, parameters in self.parameters.items():
            if not all([p.requires_grad for p in parameters]):
                raise ProtocolError(
                    f"{where} was yielded while {name!r} is frozen; end every with block before yielding"
                )
        if not update.loss.requires_grad:
            raise ProtocolError(f"{where}: the loss does not depend on any network; it was computed without gradient")

    def _backward(self, update: Update, parts: float, index: int, before: Sequence[Record]) -> None:
        """``parts`` divides the loss, so that gradients of all parts add up to those of the whole batch."""
        parameters = self._parameters(update)
        if update.keep_graph and self.compiled:
            # Seen with torch 2.15: the second backward pass through a compiled network is silently wrong.
            raise GenaeError(
                f"{type(self.model).__name__} differentiates a forward pass twice, which compiled networks get wrong; "
                "train it without --compile"
            )
        try:
            (update.loss / parts).backward(inputs=parameters, retain_graph=update.keep_graph)
        except RuntimeError as error:
            where = f"update {index + 1} ({self._name(update)})"
            if "second time" in str(error):
                earlier = ", ".join(dict.fromkeys(record.name for record in before)) or "an earlier update"
                raise ProtocolError(
                    f"{where} goes again through a forward pass that was already released ({earlier}): "
                    "yield the earlier update with keep_graph=True"
                ) from error
            if "modified by an inplace operation" in str(error):
                raise ProtocolError(
                    f"{where} goes through a forward pass of networks that were stepped since: compute it anew"
                ) from error
            raise

    def _step(self, update: Update, index: int) -> None:
        names = [self.names[id(network)] for network in update.trains]
        for name in names:
            if all(p.grad is None for p in self.parameters[name]):
                raise ProtocolError(
                    f"update {index + 1} ({self._name(update)}): the loss does not reach {name!r}; "
                    "it received no gradient"
                )
        for name in names:
            self.optimisers[name].step()
            # Fused Adam changes parameters unseen by autograd: without this a stale graph would go unnoticed.
            torch.autograd.graph.increment_version(self.parameters[name])
        for parameters in self.parameters.values():  # all: a compiled backward pass ignores ``inputs=``
            for p in parameters:
                p.grad = None

    def _parameters(self, update: Update) -> list[nn.Parameter]:
        return [p for network in update.trains for p in self.parameters[self.names[id(network)]]]

    def _name(self, update: Update) -> str:
        return "+".join(self.names[id(network)] for network in update.trains)
