"""Seconds per iteration of StyleALAE (three updates): genae's loop against the authors' arithmetic written plainly.

Both train networks of the same weights, at the final level of a growing model, with the same batch and Adam, in
float32, in one process and in turn. The plain side doubles a map and convolves it, convolves and then pools, blurs with
a depthwise convolution, takes each statistic where it is needed, and makes a new pass for every term. Random images: no
data are read.

    python benchmarks/style_throughput.py [--device cuda] [--size 64] [--batch 16] [--width 64] [--rounds 4]
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from turns import add_device, machine, of_genae, seconds_of

from genae.autoencoders.style_alae import StyleAdversarialLatentAutoencoder
from genae.protocol import Part
from genae.training.loop import Loop

RATE = 0.0015


def build(arguments: argparse.Namespace, **options: object) -> StyleAdversarialLatentAutoencoder:
    """The same weights on every call."""
    torch.manual_seed(0)
    return StyleAdversarialLatentAutoencoder(
        (3, arguments.size, arguments.size), code_dim=256, width=arguments.width,
        most_channels=arguments.most_channels, batch_size=str(arguments.batch), mixing=0.0, **options,
    ).to(arguments.device)  # fmt: skip


@cache
def taps(device: torch.device) -> Tensor:
    """[1, 2, 1] along both axes, made once."""
    line = torch.tensor([1.0, 2.0, 1.0], device=device) / 4
    return torch.outer(line, line)


def blurred(x: Tensor) -> Tensor:
    """A depthwise convolution."""
    return F.conv2d(x, taps(x.device).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


def convolved(layer: nn.Module, x: Tensor) -> Tensor:
    """An ordinary convolution with a layer's weights."""
    weight = layer.weight * layer.scale
    return F.conv2d(x, weight.transpose(0, 1) if layer.change == "double" else weight, padding=layer.size // 2)


def plain_encoder(encoder: nn.Module, x: Tensor) -> Tensor:
    """E, step by step."""

    def read(reading: nn.Module, x: Tensor) -> Tensor:
        mean = x.mean((2, 3))
        deviation = torch.sqrt((x - mean[:, :, None, None]).square().mean((2, 3)) + 1e-8)
        return reading.linear(torch.cat([mean, deviation], 1))

    top = encoder.from_colours[-1]
    x = F.leaky_relu(convolved(top.convolution, x) + top.bias[:, None, None], 0.2)
    w = torch.zeros((), device=x.device)
    for block in reversed(encoder.blocks):
        x = F.leaky_relu(convolved(block.first, x) + block.biases[0][:, None, None], 0.2)
        w = w + read(block.readings[0], x)
        x = F.avg_pool2d(convolved(block.second, blurred(F.instance_norm(x))), 2)
        x = F.leaky_relu(x + block.biases[1][:, None, None], 0.2)
        w = w + read(block.readings[1], x)
        x = F.instance_norm(x)
    return w


def plain_decoder(decoder: nn.Module, w: Tensor) -> Tensor:
    """G, step by step."""

    def styled(layer: nn.Module, x: Tensor) -> Tensor:
        x = x + layer.strength[:, None, None] * torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        x = F.instance_norm(F.leaky_relu(x + layer.bias[:, None, None], 0.2), eps=1e-8)
        scale, shift = layer.style(w)[:, :, None, None].chunk(2, 1)
        return x * (1 + scale) + shift

    x = decoder.blocks[0].constant.expand(len(w), -1, -1, -1)
    for i, block in enumerate(decoder.blocks):
        if i:
            x = blurred(convolved(block.first, F.interpolate(x, scale_factor=2)))
        x = styled(block.styled[1], convolved(block.second, styled(block.styled[0], x)))
    last = decoder.to_colours[-1]
    return convolved(last.convolution, x) + last.bias[:, None, None]


def plain(model: StyleAdversarialLatentAutoencoder, x: Tensor) -> Callable[[], None]:
    """One iteration of Algorithm 1."""
    encoder, decoder, critic, mapping = model.encoder, model.decoder, model.critic, model.mapping.mapping
    steps = {n: torch.optim.Adam(n.parameters(), RATE, (0.0, 0.99)) for n in (encoder, decoder, critic, mapping)}

    def update(loss: Tensor, *networks: nn.Module) -> None:
        for optimiser in steps.values():
            optimiser.zero_grad()
        loss.backward()
        for network in networks:
            steps[network].step()

    def z() -> Tensor:
        return torch.randn(len(x), model.mapping.latent_dim, device=x.device)

    def iteration() -> None:
        real_x = x.clone().requires_grad_()
        with torch.no_grad():
            fake = plain_decoder(decoder, mapping(z()))
        real = critic(plain_encoder(encoder, real_x))
        (slope,) = torch.autograd.grad(real.sum(), real_x, create_graph=True)
        loss = F.softplus(critic(plain_encoder(encoder, fake))).mean() + F.softplus(-real).mean()
        update(loss + 5 * slope.square().sum((1, 2, 3)).mean(), encoder, critic)

        for network in (encoder, critic):
            network.requires_grad_(False)
        update(
            F.softplus(-critic(plain_encoder(encoder, plain_decoder(decoder, mapping(z()))))).mean(), mapping, decoder
        )
        for network in (encoder, critic):
            network.requires_grad_(True)

        with torch.no_grad():
            w = mapping(z())
        update(F.mse_loss(plain_encoder(encoder, plain_decoder(decoder, w)), w), encoder, decoder)

    return iteration


def ours(
    model: StyleAdversarialLatentAutoencoder, x: Tensor, kind: type[Loop] = Loop, **options: object
) -> Callable[[], None]:
    """One iteration as `genae train` runs it."""
    model = model.to(memory_format=torch.channels_last)
    seen = [0]

    def batches(_: int, __: Part) -> Iterator[Tensor]:
        while True:
            yield x.contiguous(memory_format=torch.channels_last).clone()

    loop = kind(model, batches, betas=model.betas, **options)  # type: ignore[arg-type]

    def iteration() -> None:
        loop.iteration(seen[0], RATE)
        seen[0] += len(x)

    return iteration


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("size", 64), ("batch", 16), ("width", 64), ("most-channels", 256), ("rounds", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    add_device(parser)
    arguments = parser.parse_args()
    device = arguments.device
    x = (torch.rand(arguments.batch, 3, arguments.size, arguments.size) * 2 - 1).to(device)
    print(f"{machine(device)}, {vars(arguments)}")
    lazy = 16
    sides = {"plain": plain(build(arguments), x)}
    # Not steady: levels grow, and some iterations can go without the slope.
    sides |= of_genae(lambda kind, **options: ours(build(arguments), x, kind, **options), device, steady=False)
    # Of sixteen iterations one takes the slope: its time and that of one without are weighed accordingly.
    without = ours(build(arguments, slope_every=10**9), x)
    times: dict[str, list[float]] = {name: [] for name in (*sides, f"genae, slope every {lazy}th")}
    for run in (*sides.values(), without, without):  # the very first iteration takes the slope
        run()
    for _ in range(arguments.rounds):
        for name, run in (*sides.items(), ("without", without)):
            seconds = seconds_of(run, device)
            if name == "without":
                times[f"genae, slope every {lazy}th"].append((times["genae"][-1] + (lazy - 1) * seconds) / lazy)
            else:
                times[name].append(seconds)
    for name, values in times.items():
        ratios = [a / b for a, b in zip(times["plain"], values, strict=True)]
        seconds = statistics.median(values)
        print(
            f"{name:24} {seconds:6.3f} s   {arguments.batch / seconds:6.2f} images/s   "
            f"{statistics.median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
