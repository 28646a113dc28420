"""Images/s of the dense ALAE: genae's loop against the plainest correct PyTorch loop, and the bound of this machine.

Both train the same networks with the same weights, batch size and optimiser settings on MNIST, in one process and in
turn: the plain loop in float32, genae's also with bfloat16 autocast, and with PyTorch's default library for float32
products where another is faster (`training/precision.py`). The plain loop is what a person writes from Algorithm 1:
fresh z and a fresh forward pass for each update (genae's first two share their fakes), gradients for whatever a loss
depends on, one ``torch.optim.Adam`` for each network, batches by indexing. The bound counts the floating-point
operations of one iteration (matrix products alone) and divides by the rate that this machine reaches on the largest
product of the networks: no loop with the same products can be faster.

On a CUDA GPU, genae's loop also replays captured iterations (`--capture`).

    python benchmarks/alae_throughput.py --data-root FOLDER [--device cuda] [--width 1024] [--rounds 5]
"""

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from turns import add_device, machine, of_genae, rates_in_turn, seconds_of, show, with_pytorchs_products

from genae.autoencoders.alae import AdversarialLatentAutoencoder
from genae.data.sources import ImageData, open_data
from genae.errors import GenaeError
from genae.training.config import Config
from genae.training.loop import Loop
from genae.training.precision import fast_float32
from genae.training.trainer import Trainer

BATCH, SHAPE, CODE = 128, (1, 28, 28), 50


def build(width: int, device: str) -> AdversarialLatentAutoencoder:
    """The same weights on every call."""
    torch.manual_seed(0)
    return AdversarialLatentAutoencoder(SHAPE, code_dim=CODE, width=width, batch_size=BATCH).to(device)


def plain(model: AdversarialLatentAutoencoder, data: ImageData) -> Callable[[], None]:
    """One iteration of Algorithm 1, written plainly."""
    encoder, decoder, critic, mapping = model.encoder, model.decoder, model.critic, model.priors["mapping"].mapping
    pixels = data.images(data.split("train"))
    device = pixels.device

    def adam(*networks: torch.nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam([p for n in networks for p in n.parameters()], lr=0.002, betas=(0.0, 0.99))

    steps = {network: adam(network) for network in (encoder, decoder, critic, mapping)}

    def update(loss: Tensor, *networks: torch.nn.Module) -> None:
        for network in networks:
            steps[network].zero_grad()
        loss.backward()
        for network in networks:
            steps[network].step()

    def iteration() -> None:
        x = pixels[torch.randint(len(pixels), (BATCH,), device=device)].requires_grad_()
        with torch.no_grad():
            fake = decoder(mapping(torch.randn(BATCH, CODE, device=device)))
        real = critic(encoder(x))
        (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        loss = F.softplus(critic(encoder(fake))).mean() + F.softplus(-real).mean()
        loss = loss + model.slope_weight / 2 * slope.square().flatten(1).sum(1).mean()
        update(loss, encoder, critic)

        loss = F.softplus(-critic(encoder(decoder(mapping(torch.randn(BATCH, CODE, device=device)))))).mean()
        update(loss, mapping, decoder)

        with torch.no_grad():
            w = mapping(torch.randn(BATCH, CODE, device=device))
        update(F.mse_loss(encoder(decoder(w)), w), encoder, decoder)

    return iteration


def ours(
    model: AdversarialLatentAutoencoder, data: ImageData, kind: type[Loop] = Loop, **options: object
) -> Callable[[], None]:
    """One iteration as `genae train` runs it."""
    run = Trainer(Config("alae", "mnist"), None, data, model, lambda event: None)  # type: ignore[arg-type]
    loop = kind(model, run.batches, betas=model.betas, **options)  # type: ignore[arg-type]
    seen = [0]

    def iteration() -> None:
        loop.iteration(seen[0], 0.002)
        seen[0] += BATCH

    return iteration


def peak(width: int, device: str) -> float:
    """Floating-point operations per second of the networks' largest product."""
    a, b = torch.randn(BATCH, width, device=device), torch.randn(width, width, device=device)
    seconds = min(seconds_of(lambda: a @ b, device, 10) for _ in range(20))
    return 10 * 2 * BATCH * width * width / seconds


class Products(TorchDispatchMode):
    """Adds up the floating-point operations of matrix products."""

    operations = 0

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if call in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            a, b = args[-2:]
            self.operations += 2 * a.shape[0] * a.shape[1] * b.shape[1]
        return call(*args, **(kwargs or {}))


def operations(iteration: Callable[[], None]) -> int:
    """Floating-point operations of one iteration's matrix products."""
    with Products() as products:
        iteration()
    return products.operations


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root")
    add_device(parser)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=20)
    arguments = parser.parse_args()
    try:
        data = open_data("mnist", data_root=arguments.data_root)
    except GenaeError as error:
        print(f"skipped: {error}")
        return
    print(f"{machine(arguments.device)}, width {arguments.width}, batch {BATCH}")
    data = data.to(torch.device(arguments.device))

    def fresh() -> AdversarialLatentAutoencoder:
        return build(arguments.width, arguments.device)

    device = arguments.device
    sides = {"plain": plain(fresh(), data)}
    sides |= of_genae(lambda kind, **options: ours(fresh(), data, kind, **options), device)
    sides["genae, plain Adam"] = ours(fresh(), data, fused=False)
    sides["genae, PyTorch's products"] = with_pytorchs_products(ours(fresh(), data))
    rates = rates_in_turn(sides, rounds=arguments.rounds, iterations=arguments.iterations, images=BATCH, device=device)
    show(rates, "plain")
    for name in ("plain", "genae"):
        count = operations(sides[name])
        with fast_float32(torch.device(device)) if name == "genae" else nullcontext():
            rate = peak(arguments.width, device)
        print(
            f"{name}: {count / BATCH / 1e6:.1f} million operations an image; at this machine's "
            f"{rate / 1e9:.0f} billion a second no more than {rate * BATCH / count:.0f} images/s"
        )


if __name__ == "__main__":
    main()
