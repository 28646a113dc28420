"""Images/s of the Stacked Wasserstein Autoencoder: genae's loop against the plainest correct PyTorch loop.

Both train the same networks, with the same weights, batch size and optimiser settings, in float32, on MNIST padded to
32 x 32, in one process and in turn. The plain loop is what a person writes from the paper's Algorithm 1: a Dataset with
per-image transforms and a DataLoader, a forward pass per update, ``loss.backward()``, ``torch.optim.Adam``. genae's is
also measured with bfloat16.

On a GPU such a DataLoader is what takes the time, so that the plain loop also gets batches by indexing images that lie
on the device: that side is the one to compare with. genae's loop also replays captured iterations there.

    python benchmarks/swae_throughput.py --data-root FOLDER [--device cuda] [--width 16] [--rounds 5] [--iterations 10]
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from turns import Run, add_device, machine, of_genae, seconds_of

from genae.autoencoders.swae import StackedWassersteinAutoencoder
from genae.data.sources import ImageData, open_data
from genae.errors import GenaeError
from genae.networks.convolution import Conv2d, ConvTranspose2d
from genae.networks.layers import placed
from genae.protocol import Part, Update
from genae.training.config import Config
from genae.training.loop import Loop, Record
from genae.training.trainer import Trainer

BATCH, SHAPE = 64, (1, 32, 32)


class Pictures(Dataset):
    """MNIST as a person would serve it: one image at a time, with transforms."""

    def __init__(self, data: ImageData) -> None:
        self.pictures = [v2.functional.to_pil_image(p) for p in data.stored(data.split("train"))]
        self.transform = v2.Compose(
            [v2.Pad(2), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.pictures[index])


def plain(model: StackedWassersteinAutoencoder, loading: Iterator[Tensor]) -> Callable[[], None]:
    """One iteration of Algorithm 1, written plainly."""
    encoder, decoder, critic = model.encoder, model.decoder, model.critic

    def adam(*networks: torch.nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam([p for n in networks for p in n.parameters()], lr=1e-4, betas=(0.5, 0.9))

    critic_step, autoencoder_step = adam(critic), adam(encoder, decoder)
    steps = [(prior, adam(prior.critic), adam(prior.encoder, prior.decoder)) for prior in model.priors.values()]

    def iteration() -> None:
        x = next(loading)
        with torch.no_grad():
            fake = decoder(encoder(x))
        loss = F.softplus(-critic(x)).mean() + F.softplus(critic(fake)).mean()
        critic_step.zero_grad()
        loss.backward()
        critic_step.step()

        x_hat = decoder(encoder(x))
        loss = F.mse_loss(x_hat, x) + 0.001 * F.softplus(-critic(x_hat)).mean()
        autoencoder_step.zero_grad()
        loss.backward()
        autoencoder_step.step()

        for _ in range(model.inner_steps):
            x = next(loading)
            for prior, prior_critic_step, prior_step in steps:
                with torch.no_grad():
                    z_hat = prior.encode(encoder(x))
                z = prior.latent(BATCH)
                loss = F.softplus(-prior.critic(z)).mean() + F.softplus(prior.critic(z_hat)).mean()
                prior_critic_step.zero_grad()
                loss.backward()
                prior_critic_step.step()

                with torch.no_grad():
                    h0 = encoder(x)
                z_hat = prior.encode(h0)
                loss = F.mse_loss(prior.decode(z_hat), h0) + F.softplus(-prior.critic(z_hat)).mean()
                prior_step.zero_grad()
                loss.backward()
                prior_step.step()

    return iteration


def loaded(data: ImageData, workers: int, device: str) -> Iterator[Tensor]:
    """Epoch after epoch of a DataLoader."""
    on_gpu = device.startswith("cuda")
    loader = DataLoader(Pictures(data), BATCH, shuffle=True, drop_last=True, num_workers=workers, pin_memory=on_gpu)
    while True:
        for x in loader:
            yield x.to(device, non_blocking=on_gpu)


def indexed(data: ImageData, device: str) -> Iterator[Tensor]:
    """Random images of those that lie on the device as floats."""
    images = data.images(data.split("train")).to(device)
    while True:
        yield images[torch.randint(len(images), (BATCH,), device=device)]


class Timed(Loop):
    """Adds up the time in forward passes, backward passes and optimisers; the rest is the framework."""

    useful = 0.0

    def _backward(self, update: Update, parts: float, index: int, before: Sequence[Record]) -> None:
        start = time.perf_counter()
        super()._backward(update, parts, index, before)
        self.useful += time.perf_counter() - start


def timed(loop: Timed) -> None:
    """Wrap what the algorithm and the optimisers do."""
    step = loop.model.step

    def watched(batches: Iterator[Tensor], images: int) -> Iterator[Update]:
        generator = step(batches, images)
        while True:
            start = time.perf_counter()
            update = next(generator, None)
            loop.useful += time.perf_counter() - start
            if update is None:
                return
            yield update

    loop.model.step = watched  # type: ignore[method-assign]
    for optimiser in loop.optimisers.values():

        def stepping(*args: object, inner: Callable[..., None] = optimiser.step) -> None:
            start = time.perf_counter()
            inner(*args)
            loop.useful += time.perf_counter() - start

        optimiser.step = stepping  # type: ignore[method-assign]


def genae_loop(
    model: StackedWassersteinAutoencoder, data: ImageData, kind: type[Loop] = Loop, **options: object
) -> tuple[Callable[[], None], Loop, list[float]]:
    """One iteration as `genae train` runs it, its loop, and the seconds that making batches took."""
    run = Trainer(Config("stacked-wae", "mnist"), None, data, model, lambda event: None)  # type: ignore[arg-type]
    waiting = [0.0]

    def batches(images: int, part: Part) -> Iterator[Tensor]:
        before = run.waiting
        for x in run.batches(images, part):
            waiting[0] += run.waiting - before
            before = run.waiting
            yield x

    loop = kind(model, batches, betas=model.betas, **options)  # type: ignore[arg-type]
    seen = [0]

    def iteration() -> None:
        records = loop.iteration(seen[0], 1e-4)
        seen[0] += BATCH
        assert records

    return iteration, loop, waiting


def build(width: int, device: str) -> StackedWassersteinAutoencoder:
    """The same weights on every call."""
    torch.manual_seed(0)
    return StackedWassersteinAutoencoder(SHAPE, width=width, batch_size=BATCH).to(device)


def as_pytorch_has_it(model: StackedWassersteinAutoencoder) -> StackedWassersteinAutoencoder:
    """The same layers and weights, run by PyTorch's convolutions."""
    theirs = {Conv2d: torch.nn.Conv2d, ConvTranspose2d: torch.nn.ConvTranspose2d}
    for module in model.modules():
        if type(module) in theirs:
            module.__class__ = theirs[type(module)]
    return model


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=10)
    add_device(parser)
    arguments = parser.parse_args()
    device = arguments.device
    try:
        small = open_data("mnist", data_root=arguments.data_root)
        padded = open_data("mnist", data_root=arguments.data_root, size=32, fit="pad")
    except GenaeError as error:
        print(f"skipped: {error}")
        return
    print(f"{machine(device)}, width {arguments.width}, batch {BATCH}")
    padded = padded.to(torch.device(device))

    def fresh() -> StackedWassersteinAutoencoder:
        return placed(build(arguments.width, device), torch.device(device))

    def as_plain(batches: Iterator[Tensor]) -> Run:
        return plain(as_pytorch_has_it(build(arguments.width, device)), batches)

    sides = {f"plain, {w} workers": as_plain(loaded(small, w, device)) for w in (0, 2)}
    if device != "cpu":
        sides["plain, by indexing"] = as_plain(indexed(padded, device))
    plain_sides = list(sides)
    sides |= of_genae(lambda kind, **options: genae_loop(fresh(), padded, kind, **options)[0], device)
    if device == "cpu":  # a GPU still works when the host's clock has stopped
        sides["genae"], loop, waiting = genae_loop(fresh(), padded, Timed)
        timed(loop)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for run in sides.values():
        for _ in range(5):
            run()
    shares = []
    for _ in range(arguments.rounds):
        for name, run in sides.items():
            if device == "cpu":
                loop.useful, waiting[0] = 0.0, 0.0
            elapsed = seconds_of(run, device, arguments.iterations)
            rates[name].append(arguments.iterations * BATCH / elapsed)
            if name == "genae" and device == "cpu":
                shares.append(1 - (loop.useful - waiting[0]) / elapsed)
    for name, values in rates.items():
        print(f"{name:20} {statistics.median(values):9.1f} images/s (min {min(values):.1f}, max {max(values):.1f})")
    for name in rates:
        for base in plain_sides if name not in plain_sides else ():
            ratios = [a / b for a, b in zip(rates[name], rates[base], strict=True)]
            print(f"{name} / {base}: {statistics.median(ratios):.2f}x (min {min(ratios):.2f}, max {max(ratios):.2f})")
    if shares:
        print(f"time outside forward, backward and optimiser (data included): {statistics.median(shares):.2%}")


if __name__ == "__main__":
    main()
