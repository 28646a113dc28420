"""How often an iteration waits for a GPU: values read from the device, and constants sent to it, for every model.

No GPU is needed. Tensors are PyTorch's fake ones on device "cuda": they have shapes and a device and no values, every
operation is checked for mixed devices, and each that a GPU would have to wait for is counted in a whole iteration:
forward passes, backward passes and Adam. A loop that never waits keeps a GPU busy.

    python benchmarks/device_reads.py [--precision bfloat16]
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import get_gradient_edge
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genae.autoencoders import AUTOENCODERS
from genae.priors import PRIORS
from genae.protocol import Autoencoder, Part, Prior, defines
from genae.training.average import Average
from genae.training.config import option_types
from genae.training.loop import Loop

aten = torch.ops.aten
READS = {aten._local_scalar_dense, aten.is_nonzero, aten.equal, aten.item}
"""One value comes back."""
SIZED_BY_VALUES = {aten.nonzero, aten.masked_select, aten._unique2, aten.unique_dim, aten.bincount}
"""The size of the result is read back; so it is of an index that is a mask."""
TINY = {"width": 4, "code_dim": 6, "prior_dim": 3, "prior_width": 8, "batch_size": 8, "levels": 2, "depth": 2}
CODES = 6


class Crossings(TorchDispatchMode):
    """Counts what crosses between host and device, by name of the operation.

    ``reads`` make the host wait for the device; ``sent`` are copies of the host's tensors to it. A fake tensor has no
    value: what reads one gets 0.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.reads: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count it."""
        kwargs = kwargs or {}
        packet, name = call.overloadpacket, call.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        ours = [t.device.type == self.device for t in tensors]
        if packet in READS and any(ours):
            self.reads[name] += 1
            return False if packet in (aten.is_nonzero, aten.equal) else tensors[0].dtype.is_floating_point * 0.0 or 0
        masks = [t.dtype in (torch.bool, torch.uint8) for t in tensors[1:]]
        if any(ours) and (packet in SIZED_BY_VALUES or (packet in (aten.index, aten.index_put_) and any(masks))):
            self.reads[name] += 1
        if packet is aten.lift_fresh and any(ours):
            self.sent[name] += 1
        result = call(*args, **kwargs)
        if packet in (aten._to_copy, aten.copy_):
            there = result.device.type == self.device
            source = tensors[-1].device.type == self.device
            if there != source:
                (self.sent if there else self.reads)[name] += 1
        if packet in (aten.index, aten.index_put_) and ours[0] and not all(ours):
            self.sent[name] += 1
        return result


def on_device(model: nn.Module, device: str) -> nn.Module:
    """The same model with parameters and buffers that are fake tensors on ``device``; inside a `FakeTensorMode`."""
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, t in tensors.items():
                if t is not None:
                    fake = torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=device)
                    tensors[name] = nn.Parameter(fake, t.requires_grad) if isinstance(t, nn.Parameter) else fake
    return model


def run_backward(
    roots: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    _: bool,
    create_graph: bool,
    inputs: Sequence[Tensor],
    *__: bool,
    **kind: bool,
) -> tuple[Tensor | None, ...] | None:
    """PyTorch's backward pass over its own graph, node by node.

    Its engine asks the driver of an accelerator for streams, which fails where there is none. What the engine checks
    of each gradient is checked here: device, and after conversion type and shape. Graphs are kept.
    """
    targets = [get_gradient_edge(x) for x in inputs]
    order = _from_roots_down([root.grad_fn for root in roots], {edge.node for edge in targets})
    arrived: dict[Any, dict[int, Tensor]] = {node: {} for node in order}

    def arrive(node: Any, slot: int, gradient: Tensor | None) -> None:
        if gradient is None or node not in arrived:
            return
        wanted = node._input_metadata[slot]
        assert gradient.device == wanted.device, f"{node.name()} got a gradient on {gradient.device}"
        gradient = gradient.sum_to_size(wanted.shape).to(wanted.dtype)
        before = arrived[node].get(slot)
        arrived[node][slot] = gradient if before is None else before + gradient

    with torch.set_grad_enabled(create_graph):
        for root, gradient in zip(roots, gradients, strict=True):
            arrive(root.grad_fn, root.output_nr, torch.ones_like(root) if gradient is None else gradient)
        for node in order:
            if not hasattr(node, "variable") and arrived[node]:  # not a parameter
                slots = [arrived[node].get(slot) for slot in range(len(node._input_metadata))]
                results = node.apply(*slots) if hasattr(node, "_forward_cls") else node(*slots)
                results = results if isinstance(results, tuple) else (results,)
                for (following, slot), result in zip(node.next_functions, results, strict=False):
                    arrive(following, slot, result)
    found = tuple(arrived.get(edge.node, {}).get(edge.output_nr) for edge in targets)
    if not kind.get("accumulate_grad", False):
        return found
    for x, gradient in zip(inputs, found, strict=True):
        if gradient is not None:
            x.grad = gradient if x.grad is None else x.grad + gradient
    return None


def _from_roots_down(roots: Sequence[Any], targets: set[Any]) -> list[Any]:
    """Every node on a path to a target, each after all that lead to it."""
    leads: dict[Any, bool] = {}
    finished: list[Any] = []
    waiting: list[tuple[Any, bool]] = [(root, False) for root in roots]
    while waiting:
        node, seen = waiting.pop()
        following = [f for f, _ in node.next_functions if f is not None]
        if seen:
            leads[node] = node in targets or any(leads[f] for f in following)
            finished.append(node)
        elif node not in leads:
            leads[node] = False
            waiting += [(node, True), *((f, False) for f in following if f not in leads)]
    return [node for node in reversed(finished) if leads[node]]


@contextmanager
def fake_device() -> Iterator[FakeTensorMode]:
    """Inside, tensors are fake; what would call a GPU's driver has a stand-in, so that none is needed."""
    with ExitStack() as stack:
        for name, stand_in in {
            "torch.autograd._engine_run_backward": run_backward,
            "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,  # so that autocast is on
            "torch.cuda.is_bf16_supported": lambda *_, **__: True,
            "genae.training.loop.reseed": lambda seed, device: None,
        }.items():
            stack.enter_context(patch(name, stand_in))
        yield stack.enter_context(FakeTensorMode())


def subjects() -> Iterator[tuple[str, Callable[[], Autoencoder | Prior], int]]:
    """Name, a function that builds it, and the number of images at which to look, of every model and learned prior."""

    def tiny(name: str, side: int, **options: Any) -> Callable[[], Autoencoder]:
        own = option_types(AUTOENCODERS[name])
        return partial(AUTOENCODERS[name], (1, side, side), **{k: v for k, v in (TINY | options).items() if k in own})

    for name in AUTOENCODERS:
        yield name, tiny(name, 8), 0
        if "growth" in option_types(AUTOENCODERS[name]):
            yield f"{name}, 64 pixels", tiny(name, 64, most_channels=8), 0
            yield f"{name}, a level blended in", tiny(name, 8, growth=80), 200
    for name, prior in PRIORS.items():
        if defines(prior, "step"):
            options = {"solver_steps": 2} if name.startswith("flow-") else {}
            options |= {"width": 8, "blocks": 1, "patch": 1} if prior.spatial else {}
            yield f"prior {name}", partial(prior, (1, 2, CODES // 2) if prior.spatial else CODES, **options), 0
    yield "prior flow-matching, 5 components", partial(PRIORS["flow-matching"], CODES, components=5, solver_steps=2), 0


def batches_on(device: str, model: Autoencoder | Prior) -> Callable[[int, Part], Iterator[Tensor]]:
    """Endless batches that are on the device already, of the resolution at hand."""

    def batches(images: int, _: Part) -> Iterator[Tensor]:
        shape = (1, *[model.stage(images).resolution] * 2) if isinstance(model, Autoencoder) else (CODES,)
        while True:
            yield torch.empty(8, *shape, device=device)

    return batches


def crossings(model: Autoencoder | Prior, images: int, precision: str, device: str = "cuda") -> tuple[Crossings, int]:
    """Of the second iteration, and the tensors that a moving average copies after it."""
    average = Average(model, 1000) if isinstance(model, Autoencoder) else None
    with fake_device():
        on_device(model, device)
        loop = Loop(model, batches_on(device, model), precision=precision)
        with Crossings(device):
            loop.iteration(images, 1e-3)  # the first one makes what the optimisers keep
        with Crossings(device) as counts:
            loop.iteration(images, 1e-3)
        copied = 0
        if average:
            on_device(average.model, device)
            with patch.object(Tensor, "copy_", autospec=True) as copy:
                average.update(model, 8)  # type: ignore[arg-type]
            copied = copy.call_count
    return counts, copied


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    precision = parser.parse_args().precision
    print(f"torch {torch.__version__}, {precision}; per iteration, on a fake GPU")
    print(f"{'model':36} {'read':>5} {'sent':>5} {'copied by a moving average':>27}")
    for name, build, images in subjects():
        counts, copied = crossings(build(), images, precision)
        detail = ", ".join(f"{n} {kind}" for kind, n in (counts.reads + counts.sent).items())
        print(f"{name:36} {counts.reads.total():5} {counts.sent.total():5} {copied:27}   {detail}")


if __name__ == "__main__":
    main()
