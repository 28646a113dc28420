"""Codes that a prior samples, the same for the same seed."""

import torch
from torch import Tensor

from genae.data.sampler import mix_seed
from genae.networks.arithmetic import exact_float32
from genae.protocol import Prior

PIECE = 256


@exact_float32()
def sample_codes(prior: Prior, count: int, seed: int) -> Tensor:
    """Codes [count, D] on the CPU, drawn in pieces of fixed size: the first 16 of 10,000 samples are the 16 that a
    person gets who wants no more."""
    generator = torch.Generator().manual_seed(mix_seed("sample", seed))
    with torch.no_grad():
        return torch.cat([prior.sample(PIECE, generator) for _ in range(-(-count // PIECE))])[:count].cpu()
