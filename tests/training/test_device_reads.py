"""A GPU without surprises, on fake tensors: nothing is read from it or sent to it, and no devices are mixed."""

import copy
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genae import distributed
from genae.autoencoders import AUTOENCODERS
from genae.networks.layers import BatchNorm
from genae.priors import PRIORS
from genae.protocol import Autoencoder, Prior, Update, defines
from genae.training.average import Average
from genae.training.loop import Loop

# mps cannot be faked: PyTorch for Linux has no device guard for it, so that not even a slice of a fake tensor is made.


def load_benchmark() -> Any:
    """benchmarks/device_reads.py as a module."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "device_reads.py"
    spec = importlib.util.spec_from_file_location("device_reads", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["device_reads"] = module
    spec.loader.exec_module(module)
    return module


reads = load_benchmark()
SUBJECTS = {name: (build, images) for name, build, images in reads.subjects()}


@pytest.mark.parametrize(
    ("name", "precision"),
    [(name, "float32") for name in SUBJECTS] + [(name, "bfloat16") for name in SUBJECTS if "64 pixels" not in name],
)
def test_an_iteration_neither_waits_for_a_gpu_nor_mixes_devices(name: str, precision: str) -> None:
    """Forward, backward, Adam, then what a trained model does."""
    build, images = SUBJECTS[name]
    model = build()
    with reads.fake_device():
        reads.on_device(model, "cuda")
        loop = Loop(model, reads.batches_on("cuda", model), precision=precision)
        with reads.Crossings("cuda") as crossings:
            records = loop.iteration(images, 1e-3)
        assert all(value.device.type == "cuda" for record in records for value in record.values.values())
        x = next(loop.batches(images, None))
        use(model.eval(), x)
    assert (crossings.reads, crossings.sent) == ({}, {})


def use(model: Autoencoder | Prior, x: Tensor) -> None:
    """Encode, decode, sample: everything stays on the device."""
    with torch.no_grad():
        priors = model.priors.values() if isinstance(model, Autoencoder) else [model]
        codes = [prior.sample(5, torch.Generator()) for prior in priors]
        codes += [prior.decode(prior.encode(c)) for prior, c in zip(priors, codes, strict=True) if prior.has_encoder]
        codes += [model.encode(x)] if model.has_encoder else []
        results = [model.decode(code) for code in codes] if isinstance(model, Autoencoder) else []
    assert {t.device.type for t in codes + results} == {"cuda"}


@pytest.mark.parametrize("name", [name for name, prior in PRIORS.items() if not defines(prior, "step")])
def test_priors_in_closed_form_stay_on_the_device(name: str) -> None:
    prior = PRIORS[name](reads.CODES)
    with reads.fake_device():
        use(reads.on_device(prior, "cuda"), torch.empty(5, reads.CODES, device="cuda"))


class Wasteful(Autoencoder):
    """Does to a GPU what no model may do."""

    def __init__(self) -> None:
        super().__init__((1, 8, 8), 8, 1e-3)
        self.encoder = nn.Linear(64, 2)

    def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        c = self.encoder(next(batches).flatten(1))
        if c.sum() > 0:  # a read
            c = -c
        scale = torch.tensor([1.0, 2.0], device=c.device)  # sent
        scale = scale + torch.ones(2).to(c.device)  # sent
        rows = c.detach()[torch.arange(3)]  # sent
        c.detach().cpu()  # a read
        yield Update((c * scale).square().sum() + rows.sum() * float(c.detach().mean()), [self.encoder])  # a read


def test_reads_and_constants_are_seen() -> None:
    counts, _ = reads.crossings(Wasteful(), 0, "float32")
    assert counts.reads == {"_local_scalar_dense": 2, "_to_copy": 1}
    made = counts.sent.pop("lift_fresh", 0)  # PyTorch 2.11's name for a constant that is made on the device
    assert counts.sent == {"_to_copy": 2 - made, "index": 1}


def test_devices_that_are_mixed_are_refused() -> None:
    class Mixed(Wasteful):
        def step(self, batches: Iterator[Tensor], images: int) -> Iterator[Update]:
            yield Update((self.encoder(next(batches).flatten(1)) * torch.ones(2)).sum(), [self.encoder])

    with pytest.raises(RuntimeError, match="two (different )?devices,? cuda:0(,| and) cpu"):
        reads.crossings(Mixed(), 0, "float32")


@pytest.mark.parametrize("name", ["ae", "wgan-gp", "style-alae", "patch-vae"])
def test_the_backward_pass_of_the_fake_device_is_pytorchs(
    name: str, tiny_model, random_batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients: list[list[Tensor]] = []

    class Recording(Loop):
        def _step(self, update: Update, index: int) -> None:
            gradients[-1] += [p.grad for p in self._parameters(update) if p.grad is not None]
            for parameters in self.parameters.values():  # not stepped: Adam makes much of a rounding error
                for p in parameters:
                    p.grad = None

    for engine in (torch.autograd._engine_run_backward, reads.run_backward):
        monkeypatch.setattr(torch.autograd, "_engine_run_backward", engine)
        gradients.append([])
        Recording(tiny_model(name), random_batches).iteration(0, 1e-3)
    for mine, its in zip(*gradients, strict=True):
        # sums of large terms round as these do: PatchVAE's largest gradient is 19
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-6 * max(1.0, float(its.abs().max())))


def test_batch_normalisation_over_processes_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, stand_in in {
        "active": lambda: True,
        "world_size": lambda: 2,
        "summed": lambda x: x,
        "gathered": lambda x: torch.stack([x, x]),
    }.items():
        monkeypatch.setattr(distributed, name, stand_in)
    layer = BatchNorm(3)
    with reads.fake_device():
        reads.on_device(layer, "cuda")
        x = torch.empty(4, 3, 2, 2, device="cuda", requires_grad=True)
        with reads.Crossings("cuda") as crossings:
            layer(x).square().sum().backward(inputs=[x, *layer.parameters()])
        assert x.grad.device.type == "cuda"
    assert (crossings.reads, crossings.sent) == ({}, {})


def test_a_moving_average_copies_what_changes_and_no_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []
    plain = Tensor.copy_
    monkeypatch.setattr(Tensor, "copy_", lambda mine, its: copied.append(its) or plain(mine, its))
    for name, expected in (("style-alae", 0), ("ae", 18)):  # mean, variance and count of six normalisations
        model, _ = SUBJECTS[name][0](), copied.clear()
        other = copy.deepcopy(model)
        Average(model, 1000).update(other, 8)
        assert len(copied) == expected


@pytest.mark.parametrize("name", [name for name in AUTOENCODERS if name.startswith("style")])
def test_growth_is_kept_in_weights_files_and_followed_by_an_average(name: str) -> None:
    model = SUBJECTS[f"{name}, a level blended in"][0]()
    average = Average(model, 1000)
    model.images_seen = 200
    state = model.state_dict()
    assert next(iter(state)) == "images_seen"
    assert (state["images_seen"].dtype, state["images_seen"].shape) == (torch.int64, ())
    average.update(model, 8)
    assert average.model.now[0] == model.now[0] == 1
    fresh = SUBJECTS[f"{name}, a level blended in"][0]()
    fresh.load_state_dict(state)
    assert fresh.images_seen == 200
    del state["images_seen"]
    with pytest.raises(RuntimeError, match="Missing key.*images_seen"):
        fresh.load_state_dict(state)
