"""Codes/s of training flow matching, in float32 and bfloat16, against genae 0.1.0's step and a plain PyTorch loop.

    OMP_NUM_THREADS=1 python benchmarks/flow_matching.py [--components 50] [--batch-size 512]

All sides train the same network on codes of 128 numbers, in turn. genae 0.1.0 placed all noise by a mixture, of one
component too, and copied all parameters into one vector for the average. The plain loop has PyTorch's own average.
"""

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from genae.losses import mse
from genae.priors.flow_matching import FlowMatchingPrior
from genae.protocol import Part, Update, draw, normal
from genae.training.loop import Loop

try:
    from turns import Run, add_device, machine, rates_in_turn, show
except ModuleNotFoundError:  # imported as a part of a package
    from benchmarks.turns import Run, add_device, machine, rates_in_turn, show

CODES = 128
COUNT = 20_000


class Former(FlowMatchingPrior):
    """With the step of genae 0.1.0."""

    def step(self, codes: Iterator[Tensor], images: int) -> Iterator[Update]:
        """As `FlowMatchingPrior.step`."""
        x_1 = next(codes)
        with torch.no_grad():
            cumulated = self.source.posterior(x_1).cumsum(1)
            ticket = draw(torch.rand, len(x_1), 1, device=x_1.device) * cumulated[:, -1:]
            component = torch.searchsorted(cumulated, ticket)[:, 0].clamp_max(cumulated.shape[1] - 1)
            x_0 = self.source.place(component, normal(*x_1.shape, like=x_1))
        t = draw(torch.rand, len(x_1), 1, device=x_1.device)
        error = mse(self.velocity(torch.lerp(x_0, x_1, t), t), x_1 - x_0)
        yield Update(error, [self.velocity], {"velocity_mse": error})

        with torch.no_grad():
            kept = 0.5 ** (len(x_1) / min(self.half_life, 1 + images / 4))
            self.average.lerp_(parameters_to_vector(self.velocity.parameters()), 1 - kept)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--components", type=int, default=0, help="of the mixture that the noise comes from")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--iterations", type=int, default=5, help="in a round")
    add_device(parser)
    arguments = parser.parse_args()
    device, batch = arguments.device, arguments.batch_size
    torch.manual_seed(0)
    codes = torch.randn(COUNT, CODES)
    there = codes.to(device)

    def batches(images: int, _: Part) -> Iterator[Tensor]:
        while True:
            yield there[torch.arange(images, images + batch, device=device) % COUNT]

    def of_genae(kind: type[FlowMatchingPrior], precision: str) -> Run:
        torch.manual_seed(0)
        prior = kind(CODES, width=arguments.width, components=arguments.components)
        if arguments.components:
            prior.fit(codes)
        loop = Loop(prior.to(device), batches, precision=precision)
        seen = iter(range(0, 10**12, batch))
        return lambda: loop.iteration(next(seen), 1e-3)

    def plain(precision: str) -> Run:
        network = FlowMatchingPrior(CODES, width=arguments.width).velocity.to(device)
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.998))
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)

        def iteration() -> None:
            x_1 = there[torch.randint(COUNT, (batch,), device=device)]
            x_0, t = torch.randn_like(x_1), torch.rand(batch, 1, device=device)
            optimiser.zero_grad()
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16"):
                velocity = network(x_0 + t * (x_1 - x_0), t)
            torch.nn.functional.mse_loss(velocity.float(), x_1 - x_0).backward()
            optimiser.step()
            average.update_parameters(network)

        return iteration

    sides: dict[str, Run] = {}
    for name, precision in (("", "float32"), (", bf16", "bfloat16")):
        sides |= {
            f"genae{name}": of_genae(FlowMatchingPrior, precision),
            f"genae 0.1.0{name}": of_genae(Former, precision),
            f"plain{name}": plain(precision),
        }
    print(machine(device), "- codes/s, and the ratio to genae 0.1.0 and to the plain loop, both in float32")
    rates = rates_in_turn(sides, rounds=arguments.rounds, iterations=arguments.iterations, images=batch, device=device)
    show(rates, "genae 0.1.0", "plain")


if __name__ == "__main__":
    main()
