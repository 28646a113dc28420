"""Codes that a prior samples, the same for the same seed."""

import torch
from torch import Tensor

from genae.data.sampler import mix_seed
from genae.errors import GenaeError
from genae.networks.arithmetic import exact_float32
from genae.protocol import ConditionalPrior, Given, Prior

PIECE = 256
MOST_GUIDANCE = 100
"""Beyond it, a flow leaves the codes."""


@exact_float32()
def sample_codes(prior: Prior, count: int, seed: int, given: Given | None = None) -> Tensor:
    """Codes [count, D] on the CPU, of the classes ``given`` [count] where the prior is told them.

    They are drawn in pieces of fixed size: the first 16 of 10,000 samples are the 16 that a person gets who wants no
    more.
    """
    generator = torch.Generator().manual_seed(mix_seed("sample", seed))
    pieces = -(-count // PIECE)
    with torch.no_grad():
        if given is None or not isinstance(prior, ConditionalPrior):
            return torch.cat([prior.sample(PIECE, generator) for _ in range(pieces)])[:count].cpu()
        padded = torch.cat([given.labels, given.labels[-1:].expand(pieces * PIECE - count)])
        parts = [prior.sample(PIECE, generator, given._replace(labels=part)) for part in padded.split(PIECE)]
        return torch.cat(parts)[:count].cpu()


def expect_guidance(guidance: float) -> None:
    """Raise `GenaeError` for a guidance that no prior takes."""
    if not isinstance(guidance, int | float):
        raise GenaeError(f"guidance is {guidance!r}; expected a number such as 2")
    if not 0 < guidance <= MOST_GUIDANCE:
        raise GenaeError(
            f"guidance is {guidance:g}; expected a number above 0, at most {MOST_GUIDANCE}: 1 is the class as it is"
        )
