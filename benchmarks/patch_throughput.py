"""Images/s of PatchVAE's iteration at 32 pixels: genae's loop against the plain formulation.

Both train the paper's networks (1.6 million parameters) with the same weights, batch and Adam, in one process and in
turn, on random images. The plain side has three convolutions for the three heads, expands appearances over the grid,
uses PyTorch's memory format and plain Adam. The authors' code also runs the decoder twice and throws one result away:
that is a side of its own.

    python benchmarks/patch_throughput.py [--device cuda] [--batch 128] [--rounds 5] [--iterations 3]
"""

import argparse
import copy
import statistics
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from turns import Run, add_device, machine, of_genae, rates_in_turn, seconds_of, show

from genae.autoencoders.patch_vae import PatchVae
from genae.protocol import Part
from genae.training.loop import Loop

SHAPE, RATE = (3, 32, 32), 1e-4


def build(batch: int, device: str) -> PatchVae:
    """The same weights on every call."""
    torch.manual_seed(0)
    return PatchVae(SHAPE, batch_size=batch).to(device)


def plain(model: PatchVae, x: Tensor, decodes: int = 1) -> Callable[[], None]:
    """One iteration, step by step."""
    model = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    parts, size = model.heads.parts, model.heads.part_dim
    weight, bias = model.heads.convolution.weight, model.heads.convolution.bias
    cuts = [parts * size, parts * size, parts]
    optimiser = torch.optim.Adam(model.parameters(), RATE, (0.5, 0.999))

    def iteration() -> None:
        maps = model.encoder(x)
        heads = [
            torch.nn.functional.conv2d(maps, w, b, padding=1)
            for w, b in zip(weight.split(cuts), bias.split(cuts), strict=True)  # type: ignore[union-attr]
        ]
        mean, log_variance = (head.unflatten(1, (parts, size)) for head in heads[:2])
        probability = heads[2].sigmoid()
        shares = probability.detach()[:, :, None].expand_as(mean)
        total = shares.sum((3, 4)) + 1e-7
        mean = (shares * mean).sum((3, 4)) / total
        variance = ((shares * log_variance.exp().clamp(1e-7, 1e7)).sum((3, 4)) + 1e-7) / total
        appearance = mean + variance.sqrt() * torch.randn_like(mean)
        noise = torch.rand_like(probability).clamp(1e-6, 1 - 1e-6)
        occurrence = (heads[2] + noise.logit()).sigmoid()
        code = appearance[..., None, None].expand(-1, -1, -1, *model.grid) * occurrence[:, :, None]
        for _ in range(decodes):
            x_hat = model.decoder(code.flatten(1, 2))
        looks = (variance + mean.square() - 1 - variance.log()).flatten(1).sum(1).mean() / 2
        p = probability.clamp(1e-7, 1 - 1e-7)
        places = p * (p / model.rate).log() + (1 - p) * ((1 - p) / (1 - model.rate)).log()
        loss = (x_hat - x).square().sum((1, 2, 3)).mean() + looks + 10 * places.sum((1, 2, 3)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return iteration


def ours(model: PatchVae, x: Tensor, kind: type[Loop] = Loop, **options: object) -> Callable[[], None]:
    """One iteration as `genae train` runs it."""
    model = model.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)

    def batches(_: int, __: Part) -> Iterator[Tensor]:
        while True:
            yield x

    loop = kind(model, batches, betas=model.betas, **options)  # type: ignore[arg-type]
    return lambda: loop.iteration(0, RATE) and None


def bound(model: PatchVae, x: Tensor, repeats: int = 10) -> float:
    """Seconds of an iteration's convolutions alone: forward, and the gradients that training needs, layer by layer."""
    model = model.to(memory_format=torch.channels_last)
    inputs: dict[torch.nn.Module, Tensor] = {}
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    hooks = [
        layer.register_forward_pre_hook(lambda m, i: inputs.__setitem__(m, i[0].detach().clone())) for layer in layers
    ]
    model.through(x.contiguous(memory_format=torch.channels_last), 0)
    for hook in hooks:
        hook.remove()
    total = 0.0
    for layer, taken in inputs.items():
        given = taken.requires_grad_(layer is not layers[0])  # the image needs no gradient
        wanted = [p for p in (given, *layer.parameters()) if p.requires_grad]
        gradients = torch.ones_like(layer(given))

        def both(
            layer: torch.nn.Module = layer, given: Tensor = given, wanted: list[Tensor] = wanted, to: Tensor = gradients
        ) -> None:
            torch.autograd.grad(layer(given), wanted, to)

        total += statistics.median(seconds_of(both, x.device) for _ in range(repeats))
    return total


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch", 128), ("rounds", 5), ("iterations", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    add_device(parser)
    arguments = parser.parse_args()
    batch, device = arguments.batch, arguments.device
    x = (torch.rand(batch, *SHAPE) * 2 - 1).to(device)
    print(f"{machine(device)}, {vars(arguments)}")
    sides: dict[str, Run] = {
        "plain": plain(build(batch, device), x),
        "plain, two decodes": plain(build(batch, device), x, 2),
    }
    # Not steady: the temperature falls with every iteration.
    sides |= of_genae(lambda kind, **options: ours(build(batch, device), x, kind, **options), device, steady=False)
    sides["genae, plain Adam"] = ours(build(batch, device), x, fused=False)
    rates = rates_in_turn(sides, rounds=arguments.rounds, iterations=arguments.iterations, images=batch, device=device)
    show(rates, "plain", "plain, two decodes")
    alone = bound(build(batch, device), x)
    print(f"the convolutions alone, as PyTorch runs them in float32: {1000 * alone:.0f} ms an iteration, "
          f"so at most {batch / alone:,.0f} images/s")  # fmt: skip


if __name__ == "__main__":
    main()
