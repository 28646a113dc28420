"""Fully connected networks over codes."""

from torch import Tensor, nn

from genae.networks.layers import initialise_normal


class Dense(nn.Module):
    """[B, inputs] -> [B, outputs] through hidden layers of equal width (AAAE, Table III: three of 512).

    ``leak`` None gives eLU (encoders, decoders, generators), a number leaky ReLU of that slope (critics).
    """

    def __init__(
        self, inputs: int, outputs: int, width: int = 512, hidden_layers: int = 3, leak: float | None = None
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(hidden_layers):
            layers += [nn.Linear(inputs, width), nn.ELU() if leak is None else nn.LeakyReLU(leak)]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, outputs))
        initialise_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
