"""Fully connected networks over codes."""

from torch import Tensor, nn

from genae.networks.layers import initialise_normal

LEAK = 0.1  # of critics' leaky ReLU, AAAE Table III


class Dense(nn.Module):
    """[B, inputs] -> [B, outputs] through hidden layers of equal width (AAAE, Table III: three of 512).

    ``leak`` None gives eLU (encoders, decoders, generators), a number leaky ReLU of that slope (critics).
    ``initial`` weights: ``normal`` is N(0, 0.01^2) (Table III). ``kaiming`` is N(0, 1 / inputs) in the hidden layers
    (He et al. 2015, gain 1), which keeps the variance of a signal from layer to layer, where the former divides it by
    20 in each layer of width 512; the last layer stays N(0, 0.01^2), so that a tanh after it starts unsaturated.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int = 512,
        hidden_layers: int = 3,
        leak: float | None = None,
        initial: str = "normal",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(hidden_layers):
            layers += [
                nn.Linear(inputs, width),
                nn.ELU(inplace=True) if leak is None else nn.LeakyReLU(leak, inplace=True),
            ]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, outputs))
        if initial not in ("normal", "kaiming"):
            raise ValueError(f"initial weights are {initial!r}; expected 'normal' or 'kaiming'")
        initialise_normal(self)
        if initial == "kaiming":
            for layer in self.layers[:-1]:
                if isinstance(layer, nn.Linear):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
