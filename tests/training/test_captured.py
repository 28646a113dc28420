"""Captured iterations equal those of the loop: on a GPU where there is one, and on a stand-in for its graphs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genae.autoencoders import AUTOENCODERS
from genae.errors import GenaeError
from genae.protocol import Autoencoder, Part
from genae.training.captured import CapturedLoop
from genae.training.config import Config
from genae.training.loop import Loop, Record
from genae.training.start import train

DENSE = {"networks": "dense", "norm": "none"}
MODELS = {
    "ae": DENSE,
    "vae": DENSE,
    "vamp-vae": DENSE,
    "veegan": DENSE,
    "bigan": DENSE,
    "latent-regressor": DENSE,
    "alae": {},
    "stacked-wae": {},
    "aaae": {},
    "vae-gan": DENSE,
    "wae-mmd": DENSE,
    "wae-gan": DENSE,
    "alice": DENSE,
    "wgan-gp": {},
    "age": DENSE,
    "intro-vae": DENSE,
    "soft-intro-vae": DENSE,
    "glow": {},
}


class Tape(TorchDispatchMode):
    """A CUDA graph played on the CPU: it notes every operation, undoes them all, and repeats them on the same memory.

    What an iteration does in Python alone happens once, while it is noted, and is missing when it is repeated.
    """

    now: "Tape | None" = None

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if call is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        if call._schema.is_mutable or call is torch.ops.aten.native_batch_norm.default:  # whose schema hides it
            self.before += [(t, t.detach().clone()) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        found = call(*args, **kwargs)
        self.operations.append((call, args, kwargs, found))
        return found

    def replay(self) -> None:
        with torch.no_grad():
            for call, args, kwargs, noted in self.operations:
                found = call(*args, **kwargs)
                for mine, new in zip(tree_leaves(noted), tree_leaves(found), strict=True):
                    if isinstance(mine, Tensor) and mine.data_ptr() != new.data_ptr():
                        mine.detach().copy_(new)

    @contextlib.contextmanager
    def capturing(self) -> Iterator[None]:
        Tape.now = self
        try:
            with self:
                yield
        except RuntimeError:  # CUDA's end of a failed capture raises, too, while the first error is handled
            raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904
        finally:
            Tape.now = None
            with torch.no_grad():
                for tensor, value in reversed(self.before):
                    tensor.detach().copy_(value)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A GPU, or this CPU with `Tape` for its graphs."""
    if torch.cuda.is_available():
        return torch.device("cuda")

    class Stream:
        def wait_stream(self, other: "Stream") -> None: ...

    for name, stand_in in {
        "CUDAGraph": Tape,
        "graph": Tape.capturing,
        "is_current_stream_capturing": lambda: Tape.now is not None,
        "Stream": lambda device: Stream(),
        "current_stream": lambda device: Stream(),
        "stream": lambda stream: contextlib.nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return torch.device("cpu")


class Uncaptured(CapturedLoop):
    """Warms up for ever."""

    def iteration(self, images: int, learning_rate: float) -> list[Record]:
        self.warm = 0
        return super().iteration(images, learning_rate)


def trained(
    random_batches, kind: type[Loop], model: Autoencoder, device: torch.device
) -> tuple[list[Record], list[Tensor]]:
    """What ten iterations report, and the weights after them; the learning rate falls."""

    def batches(images: int, part: Part) -> Iterator[Tensor]:
        for x in random_batches(images, part):
            yield x.to(device)

    loop = kind(model.to(device), batches, betas=model.betas)
    records = [record for images in range(0, 120, 12) for record in loop.iteration(images, 1e-3 / (1 + images))]
    return records, [p.detach() for p in model.parameters()]


@pytest.mark.parametrize("name", MODELS)
def test_replayed_iterations_equal_the_loops(name: str, device: torch.device, tiny_model, random_batches) -> None:
    reference = Loop if name == "ae" else Uncaptured  # which draws no random numbers
    reported, weights = trained(random_batches, reference, tiny_model(name, **MODELS[name]), device)
    again, replayed = trained(random_batches, CapturedLoop, tiny_model(name, **MODELS[name]), device)
    for mine, its in zip(replayed, weights, strict=True):
        torch.testing.assert_close(mine, its)
    for record, other in zip(again, reported, strict=True):
        assert (record.images, record.name) == (other.images, other.name)
        torch.testing.assert_close(dict(record.values), {key: v.float() for key, v in other.values.items()})


def test_what_waits_for_the_device_cannot_be_captured(device: torch.device, tiny_model, random_batches) -> None:
    model = tiny_model("ae")
    plain = model.step

    def waiting(batches: Iterator[Tensor], images: int) -> Iterator[Any]:
        for update in plain(batches, images):
            update.loss.item()
            yield update

    model.step = waiting  # type: ignore[method-assign]
    with pytest.raises(GenaeError, match="cannot be captured.*capturing; leave out --capture"):
        trained(random_batches, CapturedLoop, model, device)


@pytest.mark.parametrize("name", [name for name, model in AUTOENCODERS.items() if model.steady])
def test_steady_models_compute_the_same_after_any_number_of_images(name: str, tiny_model, random_batches) -> None:
    def losses(images: int) -> list[Tensor]:
        model = tiny_model(name)
        torch.manual_seed(0)
        return [update.loss.detach() for update in model.step(random_batches(0, Part(0, 1)), images)]

    for first, later in zip(losses(0), losses(12 * 10_007), strict=True):
        assert torch.equal(first, later)


def test_where_there_is_nothing_to_capture(tmp_path: Path) -> None:
    with pytest.raises(GenaeError, match="--capture is for CUDA GPUs; this training is on cpu"):
        train(Config("ae", "digits", capture=True, device="cpu"), tmp_path)
    with pytest.raises(GenaeError, match="capture and compile cannot be combined"):
        Config("ae", "digits", capture=True, compile=True)
    with pytest.raises(GenaeError, match="capture and accumulate cannot be combined"):
        Config("ae", "digits", capture=True, accumulate=2)
