"""Every registered autoencoder and prior keeps the protocol."""

import copy
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch import Tensor, nn

from genae.autoencoders import AUTOENCODERS
from genae.distributed import gradients as buckets
from genae.errors import GenaeError
from genae.priors import PRIORS
from genae.protocol import Autoencoder, Part, Prior, Update, defines, draw, frozen, networks_of, reseed, working_on
from genae.training.config import Config
from genae.training.loop import Loop
from genae.training.start import train

CODES = 6


def random_codes(random_batches, images: int, part: Part) -> Iterator[Tensor]:
    for batch in random_batches(images, part):
        yield batch.flatten(1)[:, :CODES]


def subject(tiny_model, lively, random_batches, name: str, **options: Any) -> tuple[Autoencoder | Prior, Any]:
    """A tiny model of either registry, and its stream of batches."""
    if name in AUTOENCODERS:
        return tiny_model(name, **options), random_batches
    cls = PRIORS[name]
    prior = cls((1, 2, CODES // 2), width=8, blocks=1, patch=1) if cls.spatial else cls(CODES)
    return lively(prior), partial(random_codes, random_batches)


LEARNED = [name for name, prior in PRIORS.items() if defines(prior, "step")]


everything = pytest.mark.parametrize("name", [*AUTOENCODERS, *LEARNED])


# The discrepancy of a batch is not the mean of those of its parts; like batch statistics, it is that of a part.
PAIRWISE = {"wae-mmd"}


# So is the deviation over groups of four images that PGGAN's and StyleGAN's critics see, in parts of fewer.
GROUPED = {"pggan", "stylegan"}


# So is the divergence of a batch of codes, which processes join and parts do not.
JOINED = {"age", "balanced-pioneer", "pioneer"}


TWICE = {"vae-gan"}  # differentiate a forward pass twice


ALIKE = {"pggan", "pioneer", "soft-intro-vae"}  # compiled as stylegan, balanced-pioneer and intro-vae are


additive = pytest.mark.parametrize(
    "name", [n for n in (*AUTOENCODERS, *LEARNED) if n not in PAIRWISE | GROUPED | JOINED]
)


with_encoder = pytest.mark.parametrize(
    "name", [name for name, model in AUTOENCODERS.items() if model.encode is not Autoencoder.encode]
)


class Recording(Loop):
    """Keeps the gradients of every update as the optimisers see them."""

    def _step(self, update: Update, index: int) -> None:
        if not hasattr(self, "gradients"):
            self.gradients: list[Tensor] = []
        self.gradients.append(torch.cat([p.grad.flatten() for p in self._parameters(update) if p.grad is not None]))
        super()._step(update, index)


def gradients(
    tiny_model, lively, random_batches, name: str, accumulate: int = 1, **options: Any
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of the updates of one iteration, and the parameters after it."""
    model, batches = subject(tiny_model, lively, random_batches, name, **options)
    loop = Recording(model, batches, accumulate=accumulate)
    loop.iteration(0, 1e-3)
    return loop.gradients, [p.detach().clone() for p in model.parameters()]


def assert_close(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).norm() <= tolerance * b.norm() + 1e-9, f"relative error {(a - b).norm() / b.norm():.1e}"


@everything
def test_exactly_the_listed_networks_move(name: str, tiny_model, lively, random_batches) -> None:
    model, batches = subject(tiny_model, lively, random_batches, name)
    moved: set[str] = set()

    class Watching(Loop):
        def _step(self, update: Update, index: int) -> None:
            before = {n: copy.deepcopy(list(net.parameters())) for n, net in self.networks.items()}
            super()._step(update, index)
            now = {
                n
                for n, net in self.networks.items()
                if any(not torch.equal(a, b) for a, b in zip(net.parameters(), before[n], strict=True))
            }
            assert now == {self.names[id(net)] for net in update.trains}
            moved.update(now)

    loop = Watching(model, batches)
    loop.iteration(0, 1e-3)
    assert moved == set(networks_of(model)), "every network is trained by some update"


@everything
def test_no_network_gets_gradients_that_nobody_asked_for(name: str, tiny_model, lively, random_batches) -> None:
    model, batches = subject(tiny_model, lively, random_batches, name)

    class Watching(Loop):
        def _step(self, update: Update, index: int) -> None:
            listed = {id(p) for p in self._parameters(update)}
            strays = [n for n, p in self.model.named_parameters() if p.grad is not None and id(p) not in listed]
            assert not strays
            super()._step(update, index)

    Watching(model, batches).iteration(0, 1e-3)


@additive
@pytest.mark.parametrize("parts", [3, 4])
def test_accumulation_equals_the_large_batch(name: str, parts: int, tiny_model, lively, random_batches) -> None:
    if name in LEARNED and 8 % parts:
        return  # nobody divides their batches
    # Batch statistics are those of a part, here as everywhere: compared without them.
    assert_close(
        gradients(tiny_model, lively, random_batches, name, accumulate=parts, norm="none")[0],
        gradients(tiny_model, lively, random_batches, name, norm="none")[0],
        1e-3,
    )


def test_a_slope_that_is_taken_now_and_then_is_taken_for_every_part_or_none(tiny_model, lively, random_batches) -> None:
    terms = []
    for accumulate in (1, 2):
        model, batches = subject(tiny_model, lively, random_batches, "style-alae", slope_every=2)
        records = Loop(model, batches, accumulate=accumulate).iteration(8, 1e-3)  # the second iteration: none
        terms.append({key for record in records for key in record.values})
    assert "slope" not in terms[0]
    assert terms[0] == terms[1]


def _in_float64(patch: pytest.MonkeyPatch) -> None:
    """What is equal but for rounding then differs by nothing that training could enlarge."""
    torch.set_default_dtype(torch.float64)
    patch.setattr(Tensor, "float", Tensor.double)  # losses and batch normalisation compute in float32 at least


def _worker(
    rank: int, processes: int, tiny_model, lively, random_batches, rendezvous: str, names: list[str], out: str
) -> None:
    torch.set_num_threads(1)
    _in_float64(pytest.MonkeyPatch())
    buckets.BUCKET = 1000  # bytes, so that several travel for each network
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=processes)
    results = {name: gradients(tiny_model, lively, random_batches, name) for name in names}
    if rank == 0:
        torch.save(results, out)
    dist.destroy_process_group()


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_equal_one_with_the_whole_batch(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request, tiny_model, lively, random_batches
) -> None:
    names = [name for name in (*AUTOENCODERS, *LEARNED) if name not in PAIRWISE]
    if processes == 3:  # which do not divide a batch of 8
        names = ["stacked-wae", "style-alae", "vae-gan", "age"]
    meet, out = str(tmp_path / "meet"), str(tmp_path / "out.pt")
    mp.spawn(_worker, (processes, tiny_model, lively, random_batches, meet, names, out), nprocs=processes)
    results = torch.load(out)
    request.addfinalizer(lambda: torch.set_default_dtype(torch.float32))
    _in_float64(monkeypatch)
    for name in names:
        for ours, theirs in zip(results[name], gradients(tiny_model, lively, random_batches, name), strict=True):
            assert_close(ours, theirs, 1e-9)


@everything
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_parameters_stay_finite(name: str, precision: str, tiny_model, lively, random_batches) -> None:
    model, batches = subject(tiny_model, lively, random_batches, name)
    loop = Loop(model, batches, precision=precision)
    for i in range(5):
        records = loop.iteration(8 * i, 1e-3)
        assert all(v.dtype == torch.float32 and v.isfinite() for r in records for v in r.values.values())
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
@everything
def test_compiled_equals_eager(name: str, tiny_model, lively, random_batches) -> None:
    if name in ALIKE:
        return
    results = []
    for compiled in (False, True):
        torch.compiler.reset()
        model, batches = subject(tiny_model, lively, random_batches, name, levels=1, depth=1)
        loop = Recording(model, batches, compiled=compiled)
        if compiled and name in TWICE:
            with pytest.raises(GenaeError, match="train it without --compile"):
                loop.iteration(0, 1e-3)
            return
        loop.iteration(0, 1e-3)
        results.append(loop.gradients)
    assert_close(results[1], results[0], 1e-3)


@pytest.mark.parametrize("name", AUTOENCODERS)
@pytest.mark.parametrize("at", [8, 24, 40])
def test_resume_is_bit_exact_at_any_iteration(name: str, at: int, tmp_path: Path, tiny_options) -> None:
    def config(images: int) -> Config:
        options = tiny_options(name)
        return Config(name, "digits", images=images, precision="float32", flip=True, device="cpu", options=options)

    train(config(56), tmp_path / "whole")
    train(config(at), tmp_path / "parts")
    train(config(56), tmp_path / "parts")
    for file in ("model.safetensors", "optimisers.safetensors"):
        whole, parts = (tmp_path / run / "checkpoints" / "images-000000056" / file for run in ("whole", "parts"))

        a, b = load_file(whole), load_file(parts)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_shapes_and_ranges(name: str, tiny_model, random_batches) -> None:
    model = tiny_model(name).eval()
    x = next(random_batches(0, Part()))
    codes = model.encode(x) if model.has_encoder else torch.zeros(8, 6)
    decoded = model.decode(codes)
    # patch-vae: parts x (numbers of a part, and one cell of 8 x 8 pixels); glow: as many as an image has
    width = {"patch-vae": 16 * (6 + 1), "glow": 64}.get(name, 6)
    assert codes.shape == (8, width)
    assert decoded.shape == x.shape
    assert decoded.abs().max() <= 1
    assert model.stage(0).batch_size == 8
    for prior in model.priors.values():
        generator = torch.Generator().manual_seed(0)
        assert prior.sample(5, generator).shape == (5, width)


@with_encoder
def test_frozen_codes_leave_the_model_as_it_was(name: str, tiny_model, random_batches) -> None:
    model = tiny_model(name)
    before = copy.deepcopy(model.state_dict())
    codes = model.encode_frozen(next(random_batches(0, Part())))
    assert not codes.requires_grad
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("sizes", [(2, 2, 2, 2), (2, 3, 3)])
def test_draw_does_not_depend_on_the_division_of_the_batch(sizes: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    whole = draw(torch.randn, 8, 2)
    parts = []
    for index, size in enumerate(sizes):
        torch.manual_seed(3)
        with working_on(Part(index, len(sizes), 8)):
            parts.append(draw(torch.randn, size, 2))
    assert torch.equal(whole, torch.cat(parts))


def test_random_numbers_start_anew_on_the_device_in_use_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: seeded.append(str(device)) or nullcontext())
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: seeded.append(f"cuda {seed}"))
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: seeded.append(f"mps {seed}"))
    for device, expected in (("cpu", []), ("cuda:1", ["cuda:1", "cuda 5"]), ("mps", ["mps 5"])):
        seeded.clear()
        reseed(5, torch.device(device))
        assert seeded == expected
        assert torch.initial_seed() == 5


def test_frozen_lets_gradients_through_and_computes_none() -> None:
    network = nn.Linear(3, 1)
    x = torch.ones(2, 3, requires_grad=True)
    with frozen(network):
        network(x).sum().backward()
    assert x.grad is not None
    assert network.weight.grad is None
    assert network.weight.requires_grad


def test_the_learning_rate_is_annealed_by_images(tiny_model) -> None:
    model = tiny_model("stacked-wae", anneal=100)
    rates = [model.stage(images).learning_rate for images in (0, 50, 100, 500)]
    assert rates == pytest.approx([1e-3, 5e-4, 0, 0])


def numbered(count: int, *_: int, device: object = None) -> Tensor:
    """In place of random numbers: which rows of the whole draw are taken."""
    return torch.arange(count)


def rows(count: int = 2) -> list[int]:
    return draw(numbered, count).tolist()


def test_draw_in_two_generators_side_by_side() -> None:
    def algorithm() -> Iterator[list[int]]:
        while True:
            yield rows()

    first, second = algorithm(), algorithm()
    for _ in range(3):
        for generator, part, expected in ((first, Part(0, 2), [0, 1]), (second, Part(1, 2), [2, 3])):
            with working_on(part):
                assert next(generator) == expected
        assert next(first) == [0, 1], "outside every part, the whole"


def test_draw_in_parts_within_parts() -> None:
    with working_on(Part(1, 4)):
        with working_on(Part(2, 3)):
            assert rows() == [4, 5]
        assert rows() == [2, 3]
        with pytest.raises(ZeroDivisionError), working_on(Part(3, 4)):
            raise ZeroDivisionError
        assert rows() == [2, 3]
    assert rows() == [0, 1]


def test_draw_in_two_threads_at_once() -> None:
    both = threading.Barrier(2, timeout=10)

    def work(part: Part) -> list[list[int]]:
        with working_on(part):
            both.wait()
            inside = rows()
            both.wait()
        both.wait()
        return [inside, rows()]

    with working_on(Part(2, 4)), ThreadPoolExecutor(2) as threads:
        assert list(threads.map(work, [Part(0, 2), Part(1, 2)])) == [[[0, 1], [0, 1]], [[2, 3], [0, 1]]]
        assert rows() == [4, 5]
